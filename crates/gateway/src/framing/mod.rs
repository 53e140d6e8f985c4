//! Where one HTTP/1 message ends and the next begins: read strictly, before anything else reads it.
//!
//! Two servers that disagree about it can be made to see different requests in the same bytes. So whatever
//! allows two readings is refused here, whole, and never reaches the parser or the upstream.

mod chunk;
pub(crate) mod guard;
pub(crate) mod head;
mod linger;
pub(crate) mod link;
