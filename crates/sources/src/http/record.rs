//! A body that is one record.

use model::intake::{Events, Once, Submission};
use model::time::Timestamp;
use normalize::reading::Reading;
use web::route::Request;

use super::once;

/// Room for what an encoded event has beside the record as it was sent, in bytes.
const HEAD_BYTES: usize = 256;

/// Reads the body of `request` with `read`; what comes back is to be submitted either way.
///
/// A refused record is counted, and its key stays free for a better one.
pub(super) fn read_one<T, E>(
    request: &Request,
    key: Option<String>,
    now: Timestamp,
    read: impl FnOnce(&[u8], u64, &Reading<'_>, &mut Vec<u8>) -> Result<T, E>,
) -> (Submission, Result<T, E>) {
    let input = request.caller.input();
    let mut events = Events { bytes: Vec::with_capacity(request.body.len() + HEAD_BYTES), ends: Vec::new() };
    let once = once::once(key, request);
    let name = once.as_ref().map(Once::name);
    let ids = once::ids(name.as_deref());
    let reading = Reading { input: &input, received: Some(now), now, synthetic: false, ids };
    let result = read(&request.body, 0, &reading, &mut events.bytes);
    if result.is_err() {
        return (Submission { input, rejected: 1, ..Submission::default() }, result);
    }
    events.close();
    (Submission { input, events, once, ..Submission::default() }, result)
}
