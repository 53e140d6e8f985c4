//! What could not be read: kept in the log with its source, place and reason, until it is replayed or dropped.

use backends::log::{Log, LogError, RecordKind};
use model::event::{push_varint, take_varint};
use model::intake::Quarantined;
use model::time::Timestamp;

/// A quarantined record with its number, under which it is shown and replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the log.
    pub id: u64,
    /// What it is.
    pub quarantined: Quarantined,
}

/// Encodes a record for the log.
#[must_use]
pub fn encode(it: &Quarantined) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + it.record.len());
    out.extend_from_slice(&it.received.0.to_le_bytes());
    for part in [it.input.as_bytes(), it.place.as_bytes(), it.format.as_bytes(), it.reason.as_bytes(), &it.record] {
        push_varint(&mut out, part.len() as u64);
        out.extend_from_slice(part);
    }
    out
}

/// Reads what [`encode`] wrote.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Quarantined> {
    let (received, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut part = || {
        let (length, after) = take_varint(rest)?;
        let (front, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some(front.to_vec())
    };
    let mut text = || String::from_utf8(part()?).ok();
    let (input, place, format, reason) = (text()?, text()?, text()?, text()?);
    Some(Quarantined {
        input,
        place,
        format,
        reason,
        received: Timestamp(i64::from_le_bytes(*received)),
        record: part()?,
    })
}

/// Returns the newest records that are not resolved, newest first, at most `limit`.
///
/// # Errors
///
/// What the log says.
pub fn list(log: &dyn Log, limit: usize) -> Result<Vec<Entry>, LogError> {
    let (mut resolved, mut found) = (std::collections::HashSet::new(), Vec::new());
    log.specials(&mut |record| {
        match record.kind {
            // A record is resolved after it was quarantined, so newest first its resolution comes before it.
            RecordKind::Resolved => {
                resolved.extend(record.bytes.try_into().ok().map(u64::from_le_bytes));
            }
            RecordKind::Quarantined if !resolved.contains(&record.sequence.0) => {
                found.extend(decode(record.bytes).map(|quarantined| Entry { id: record.sequence.0, quarantined }));
            }
            _ => {}
        }
        found.len() < limit
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let sample = Quarantined {
            input: "/var/log/x".into(),
            place: "offset 7".into(),
            format: String::new(),
            reason: "no format reads it".into(),
            received: Timestamp(5),
            record: vec![0, 255, 10],
        };
        let bytes = encode(&sample);
        assert_eq!(decode(&bytes), Some(sample));
        assert!((0..bytes.len()).all(|it| decode(&bytes[..it]).is_none()));
    }
}
