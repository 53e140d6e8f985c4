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

/// How much the first version kept of a record, in bytes: a record of that version that is as long as this may have been
/// longer, and an empty one may be one of which nothing was kept.
const KEPT_AT_FIRST_MAX: usize = 64 << 10;
/// The bit that says that a record is demo or self-test data.
const SYNTHETIC: u8 = 1;

/// Encodes a record for the log: the receipt, the texts and the record each with its length, then the length that the
/// record had plus one (0 for an unknown one), and a byte of flags. The first version ended with the record.
#[must_use]
pub fn encode(it: &Quarantined) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + it.record.len());
    out.extend_from_slice(&it.received.0.to_le_bytes());
    for part in [it.input.as_bytes(), it.place.as_bytes(), it.format.as_bytes(), it.reason.as_bytes(), &it.record] {
        push_varint(&mut out, part.len() as u64);
        out.extend_from_slice(part);
    }
    push_varint(&mut out, it.bytes.map_or(0, |it| it.saturating_add(1)));
    out.push(if it.synthetic { SYNTHETIC } else { 0 });
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
    let record = part()?;
    let (bytes, synthetic) = if rest.is_empty() {
        let is_whole = (1..KEPT_AT_FIRST_MAX).contains(&record.len());
        (is_whole.then_some(record.len() as u64), false)
    } else {
        let (bytes, flags) = take_varint(rest)?;
        (bytes.checked_sub(1), flags.first()? & SYNTHETIC != 0)
    };
    Some(Quarantined {
        input,
        place,
        format,
        reason,
        received: Timestamp(i64::from_le_bytes(*received)),
        record,
        bytes,
        synthetic,
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

    fn sample(record: Vec<u8>, bytes: Option<u64>) -> Quarantined {
        Quarantined {
            input: "/var/log/x".into(),
            place: "offset 7".into(),
            format: String::new(),
            reason: "no format reads it".into(),
            received: Timestamp(5),
            record,
            bytes,
            synthetic: bytes == Some(3),
        }
    }

    /// The bytes of the first version.
    fn at_first(it: &Quarantined) -> Vec<u8> {
        let mut bytes = encode(it);
        let mut length = Vec::new();
        push_varint(&mut length, it.bytes.map_or(0, |it| it + 1));
        bytes.truncate(bytes.len() - length.len() - 1);
        bytes
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        for sample in [
            sample(vec![0, 255, 10], Some(3)),
            sample(vec![0, 255, 10], Some(300_000)),
            sample(Vec::new(), None),
            sample(Vec::new(), Some(0)),
        ] {
            let bytes = encode(&sample);
            let first = at_first(&sample).len();
            assert_eq!(decode(&bytes), Some(sample));
            assert!((0..bytes.len()).filter(|it| *it != first).all(|it| decode(&bytes[..it]).is_none()));
        }
    }

    #[test]
    fn a_record_of_the_first_version_is_whole_unless_it_may_have_been_cut() {
        for (length, is_whole) in [(0, false), (1, true), (KEPT_AT_FIRST_MAX - 1, true), (KEPT_AT_FIRST_MAX, false)] {
            let decoded = decode(&at_first(&sample(vec![b'x'; length], None))).unwrap();
            assert_eq!((decoded.record.len(), decoded.is_whole(), decoded.synthetic), (length, is_whole, false));
        }
    }
}
