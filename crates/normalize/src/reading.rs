//! What is known about a record before it is read: its input, its receipt, how its id is made.

use model::event::EventFlags;
use model::id::EventId;
use model::time::Timestamp;

/// What is known about records before they are read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The name of the door through which they came.
    pub input: &'a str,
    /// When we got them; `None` for what has no receipt (a scan, an import).
    pub received: Option<Timestamp>,
    /// The current time: the time of what has none, and the year of a syslog line that names none.
    pub now: Timestamp,
    /// Whether they are demo or self-test data.
    pub synthetic: bool,
    /// How a record without an id of its own gets one.
    pub ids: Ids<'a>,
}

/// How a record without an id of its own gets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids<'a> {
    /// It is new by construction: the log makes the id.
    New,
    /// Derived from the `Idempotency-Key` of the request and the index of the record in it.
    Request {
        /// The key as it was sent.
        key: &'a str,
    },
    /// Derived from the file and the offset of the record in it.
    File {
        /// What tells this file from the next of the same name.
        file: &'a str,
    },
}

impl Reading<'_> {
    /// Returns the id of a record and the flags that go with it.
    ///
    /// `own_id` is what its `source` calls it; `place` is its index in the request or its offset in the file.
    pub(crate) fn id_of(&self, source: &str, own_id: Option<&str>, place: u64) -> (EventId, u8) {
        let synthetic = if self.synthetic { EventFlags::SYNTHETIC } else { 0 };
        let derived = match (own_id, self.ids) {
            (Some(own_id), _) => EventId::of_source(self.input, source, own_id),
            (None, Ids::Request { key }) => EventId::of_request(self.input, key, place),
            (None, Ids::File { file }) => EventId::of_file(self.input, file, place),
            (None, Ids::New) => return (EventId::default(), synthetic),
        };
        (derived, synthetic | EventFlags::REPEATABLE)
    }

    /// The time of a record that names none.
    pub(crate) fn time_of_receipt(&self) -> Timestamp {
        self.received.unwrap_or(self.now)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 2026-11-20T12:00:00Z.
    pub(crate) const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    /// A request at noon through the input `door`.
    pub(crate) const AT_NOON: Reading<'static> =
        Reading { input: "door", received: Some(NOON), now: NOON, synthetic: false, ids: Ids::New };

    #[test]
    fn noon_is_noon() {
        assert_eq!(NOON.to_string(), "2026-11-20T12:00:00Z");
    }

    #[test]
    fn an_id_of_its_own_goes_before_key_and_file() {
        let in_file = Reading { ids: Ids::File { file: "f" }, ..AT_NOON };
        let in_request = Reading { ids: Ids::Request { key: "k" }, synthetic: true, ..AT_NOON };
        let own = (EventId::of_source("door", "s", "1"), EventFlags::REPEATABLE);
        assert_eq!(AT_NOON.id_of("s", Some("1"), 7), own);
        assert_eq!(in_file.id_of("s", Some("1"), 7), own);
        assert_eq!(AT_NOON.id_of("s", None, 7), (EventId::default(), 0));
        assert_eq!(in_file.id_of("s", None, 7), (EventId::of_file("door", "f", 7), EventFlags::REPEATABLE));
        let flags = EventFlags::REPEATABLE | EventFlags::SYNTHETIC;
        assert_eq!(in_request.id_of("s", None, 7), (EventId::of_request("door", "k", 7), flags));
    }
}
