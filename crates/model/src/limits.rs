//! The limits of what one record may be. Each is a constant here or a setting of the edge that enforces it.

/// The largest event, in bytes as sent. A record over it is refused as `too_large`: a longer one is no log line but a file.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// The longest text of one field, in bytes. A record over it is refused as `too_large`.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;

/// How deep JSON may nest; the outermost object is 1. A record over it is refused as `too_deep`.
pub const DEPTH_MAX: usize = 64;

/// How many evidence ids an alert keeps of each end of its events.
pub const EVIDENCE_EACH_END: usize = 10;
