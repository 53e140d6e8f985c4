//! The event: one normalised observation, as bytes that are the same in memory, in the log and in a replay.
//!
//! [`EventWriter`] encodes, [`EventView`] reads in place. Nothing is copied between the door and the detector.
//!
//! ```text
//! version u8 · flags u8 · id u128 · time i64 · received i64        (34 bytes, little endian)
//! then fields until the end: tag u8 · length (LEB128) · bytes
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::entity::{Entity, EntityKind};
use crate::id::EventId;
use crate::severity::Severity;
use crate::time::Timestamp;

/// The first byte of every encoded event. A change of the encoding is a new number, and the old one stays readable.
pub const ENCODING_VERSION: u8 = 1;

const HEAD_BYTES: usize = 34;
const ID_AT: usize = 2;
const RECEIVED_AT: usize = 26;

/// What is true or not of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFlags(pub u8);

impl EventFlags {
    /// Demo or self-test data.
    pub const SYNTHETIC: u8 = 1;
    /// The id was derived, so the same event may come again.
    pub const REPEATABLE: u8 = 2;
    /// There is a time of receipt. What `scan` and `import` read has none, and so is never ahead of it.
    pub const HAS_RECEIPT: u8 = 4;
    /// The log source is complete: a dimension that is not named is known not to apply.
    pub const LOGSOURCE_COMPLETE: u8 = 8;

    /// Whether `flag` is set.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// A text field that every event may have. The number is the tag of the encoding and is never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TextField {
    /// The event's own source, or the name of its input.
    Source = 1,
    /// The door through which it came.
    Input = 2,
    /// Sigma's product.
    Product = 3,
    /// Sigma's category.
    Category = 4,
    /// Sigma's service.
    Service = 5,
    /// The user or another principal.
    User = 6,
    /// The host.
    Host = 7,
    /// The HTTP method.
    Method = 8,
    /// The path of the request with its query, as it was sent.
    Path = 9,
    /// The user agent.
    UserAgent = 10,
    /// The text of the event.
    Message = 11,
    /// The referring page.
    Referer = 12,
    /// The protocol version of the request.
    Protocol = 13,
    /// The severity that the source wrote, in its own words.
    SourceSeverity = 14,
    /// The name of the format that read it.
    Format = 15,
    /// A finding: the name of the other tool's rule.
    FindingRule = 16,
    /// A finding: the other tool's id of this alert.
    FindingId = 17,
    /// A finding: its title.
    FindingTitle = 18,
    /// A finding: the rank of its severity, one digit.
    FindingSeverity = 19,
    /// A finding: its kind, as `type` of an alert.
    FindingKind = 20,
    /// The other end of the connection.
    DestinationIp = 21,
    /// The country of the client, as the source or enrichment says.
    Country = 22,
    /// A mark: the crawler that the address was found to be, as `googlebot`.
    VerifiedCrawler = 23,
    /// A mark: the crawler that the client called itself, and that its address was found not to be.
    FalseCrawler = 24,
    /// A mark: `true` when the answer is what a decision in force made of it.
    Enforced = 25,
    /// A mark: what a fetched list says of the user agent, `crawler`.
    Client = 26,
}

impl TextField {
    const COUNT: usize = 27;

    /// The text fields that rules and people know by name.
    pub const NAMED: [(&'static str, Self); 13] = [
        ("source", Self::Source),
        ("input", Self::Input),
        ("user", Self::User),
        ("host", Self::Host),
        ("method", Self::Method),
        ("path", Self::Path),
        ("user_agent", Self::UserAgent),
        ("message", Self::Message),
        ("referer", Self::Referer),
        ("protocol", Self::Protocol),
        ("severity", Self::SourceSeverity),
        ("dst_ip", Self::DestinationIp),
        ("country", Self::Country),
    ];

    /// What only our own doors write, under the names by which rules ask for it: no sender can claim it of an event.
    pub const MARKS: [(&'static str, Self); 4] = [
        ("http.verified_crawler", Self::VerifiedCrawler),
        ("http.false_crawler", Self::FalseCrawler),
        ("http.enforced", Self::Enforced),
        ("http.client", Self::Client),
    ];
}

const TAG_IP4: u8 = 64;
const TAG_IP6: u8 = 65;
const TAG_STATUS: u8 = 66;
const TAG_BYTES: u8 = 67;
const TAG_ORIGINAL_JSON: u8 = 70;
const TAG_ORIGINAL_TEXT: u8 = 71;
const TAG_EXTRA: u8 = 80;

/// The record as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original<'a> {
    /// A JSON object, validated.
    Json(&'a str),
    /// A line or another text.
    Text(&'a str),
    /// None was kept.
    None,
}

/// Encodes one event at the end of a buffer.
#[derive(Debug)]
pub struct EventWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> EventWriter<'a> {
    /// Begins an event; the id may be left at its default where the log is to make one.
    pub fn new(out: &'a mut Vec<u8>, id: EventId, time: Timestamp, received: Option<Timestamp>, flags: u8) -> Self {
        let start = out.len();
        let flags = if received.is_some() { flags | EventFlags::HAS_RECEIPT } else { flags & !EventFlags::HAS_RECEIPT };
        out.push(ENCODING_VERSION);
        out.push(flags);
        out.extend_from_slice(&id.0.to_le_bytes());
        out.extend_from_slice(&time.0.to_le_bytes());
        out.extend_from_slice(&received.unwrap_or_default().0.to_le_bytes());
        Self { out, start }
    }

    /// Sets a flag.
    pub fn flag(&mut self, flag: u8) -> &mut Self {
        self.out[self.start + 1] |= flag;
        self
    }

    /// Writes a text field; an empty text is a present, empty field.
    pub fn text(&mut self, field: TextField, value: &str) -> &mut Self {
        self.field(field as u8, &[value.as_bytes()])
    }

    /// Writes the address of the client.
    pub fn client_ip(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(it) => self.field(TAG_IP4, &[&it.octets()]),
            IpAddr::V6(it) => self.field(TAG_IP6, &[&it.octets()]),
        }
    }

    /// Writes the status of the response, `100..=599`.
    pub fn status_code(&mut self, status: u16) -> &mut Self {
        self.field(TAG_STATUS, &[&status.to_le_bytes()])
    }

    /// Writes the size of the response in bytes.
    pub fn response_bytes(&mut self, bytes: u64) -> &mut Self {
        self.field(TAG_BYTES, &[&bytes.to_le_bytes()])
    }

    /// Writes a field of the original that is not in its JSON, under its own name.
    pub fn extra(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(!name.contains('\0'), "the name ends at the first NUL");
        self.field(TAG_EXTRA, &[name.as_bytes(), b"\0", value.as_bytes()])
    }

    /// Writes the record as it was received.
    pub fn original(&mut self, original: Original<'_>) -> &mut Self {
        match original {
            Original::Json(text) => self.field(TAG_ORIGINAL_JSON, &[text.as_bytes()]),
            Original::Text(text) => self.field(TAG_ORIGINAL_TEXT, &[text.as_bytes()]),
            Original::None => self,
        }
    }

    fn field(&mut self, tag: u8, parts: &[&[u8]]) -> &mut Self {
        self.out.push(tag);
        push_varint(self.out, parts.iter().map(|it| it.len() as u64).sum());
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self
    }
}

/// Appends `value` as LEB128.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads LEB128 from the front of `bytes`; returns the number and what follows.
#[must_use]
pub fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Writes the id into an encoded event: the log makes the ids that are new by construction.
pub fn set_id(encoded: &mut [u8], id: EventId) {
    if let Some(place) = encoded.get_mut(ID_AT..ID_AT + 16) {
        place.copy_from_slice(&id.0.to_le_bytes());
    }
}

/// Writes the time of receipt into an encoded event that has one.
pub fn set_received(encoded: &mut [u8], received: Timestamp) {
    if let Some(place) = encoded.get_mut(RECEIVED_AT..RECEIVED_AT + 8) {
        place.copy_from_slice(&received.0.to_le_bytes());
    }
}

/// Adds a text field to an encoded event that ends where `encoded` ends; of a field that is there already the new one counts.
pub fn append_text(encoded: &mut Vec<u8>, field: TextField, value: &str) {
    let start = encoded.len();
    EventWriter { out: encoded, start }.text(field, value);
}

/// One event, read in place.
#[derive(Clone, Debug)]
pub struct EventView<'a> {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// When we got it; `None` for what has no receipt.
    pub received: Option<Timestamp>,
    /// What is true or not of it.
    pub flags: EventFlags,
    /// The address of the client.
    pub client_ip: Option<IpAddr>,
    /// The status of the response.
    pub status_code: Option<u16>,
    /// The size of the response in bytes.
    pub response_bytes: Option<u64>,
    /// The record as it was received.
    pub original: Original<'a>,
    texts: [Option<&'a [u8]>; TextField::COUNT],
    extras: &'a [u8],
}

impl<'a> EventView<'a> {
    /// Reads an encoded event; `None` when the bytes are none.
    #[must_use]
    pub fn of(encoded: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = encoded.split_at_checked(HEAD_BYTES)?;
        if head[0] != ENCODING_VERSION {
            return None;
        }
        let flags = EventFlags(head[1]);
        let mut view = Self {
            id: EventId(u128::from_le_bytes(head[ID_AT..18].try_into().ok()?)),
            time: Timestamp(i64::from_le_bytes(head[18..RECEIVED_AT].try_into().ok()?)),
            received: flags
                .has(EventFlags::HAS_RECEIPT)
                .then_some(Timestamp(i64::from_le_bytes(head[RECEIVED_AT..HEAD_BYTES].try_into().ok()?))),
            flags,
            client_ip: None,
            status_code: None,
            response_bytes: None,
            original: Original::None,
            texts: [None; TextField::COUNT],
            extras: &[],
        };
        while let Some((&tag, after)) = rest.split_first() {
            if tag == TAG_EXTRA && view.extras.is_empty() {
                view.extras = rest;
            }
            let (length, after) = take_varint(after)?;
            let (value, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
            view.take(tag, value)?;
            rest = after;
        }
        Some(view)
    }

    fn take(&mut self, tag: u8, value: &'a [u8]) -> Option<()> {
        match tag {
            TAG_IP4 => self.client_ip = Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?))),
            TAG_IP6 => self.client_ip = Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?))),
            TAG_STATUS => self.status_code = Some(u16::from_le_bytes(value.try_into().ok()?)),
            TAG_BYTES => self.response_bytes = Some(u64::from_le_bytes(value.try_into().ok()?)),
            TAG_ORIGINAL_JSON => self.original = Original::Json(std::str::from_utf8(value).ok()?),
            TAG_ORIGINAL_TEXT => self.original = Original::Text(std::str::from_utf8(value).ok()?),
            _ => {
                if let Some(slot) = self.texts.get_mut(usize::from(tag)) {
                    *slot = Some(value);
                }
            }
        }
        Some(())
    }

    /// Returns a text field, if the event has it.
    #[must_use]
    pub fn text(&self, field: TextField) -> Option<&'a str> {
        self.texts[field as usize].and_then(|it| std::str::from_utf8(it).ok())
    }

    /// Walks over the fields under names of their own.
    pub fn extras(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.extras;
        std::iter::from_fn(move || {
            loop {
                let (&tag, after) = rest.split_first()?;
                let (length, after) = take_varint(after)?;
                let (value, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
                rest = after;
                if tag == TAG_EXTRA {
                    return std::str::from_utf8(value).ok()?.split_once('\0');
                }
            }
        })
    }

    /// Returns the path without its query.
    #[must_use]
    pub fn path_stem(&self) -> Option<&'a str> {
        self.text(TextField::Path).map(|it| it.split_once('?').map_or(it, |(stem, _)| stem))
    }

    /// Returns the query of the path, without the question mark.
    #[must_use]
    pub fn path_query(&self) -> Option<&'a str> {
        self.text(TextField::Path).and_then(|it| it.split_once('?')).map(|(_, query)| query)
    }

    /// Whether the event is itself another tool's alert.
    #[must_use]
    pub fn is_finding(&self) -> bool {
        self.texts[TextField::FindingRule as usize].is_some()
    }

    /// Returns how bad the other tool says its alert is.
    #[must_use]
    pub fn finding_severity(&self) -> Option<Severity> {
        let rank = self.text(TextField::FindingSeverity)?.parse().ok()?;
        Severity::from_rank(rank)
    }

    /// Returns whom the event is about: client address, else user, else host, else source.
    #[must_use]
    pub fn entity(&self) -> Entity {
        if let Some(address) = self.client_ip {
            return Entity::of_ip(address);
        }
        let named = [(EntityKind::User, TextField::User), (EntityKind::Host, TextField::Host)];
        let found = named.into_iter().find_map(|(kind, field)| Some((kind, self.text(field)?)));
        let (kind, value) = found.unwrap_or((EntityKind::Source, self.text(TextField::Source).unwrap_or_default()));
        Entity { kind, value: value.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(out: &mut Vec<u8>) {
        let mut writer = EventWriter::new(out, EventId(7), Timestamp(11), Some(Timestamp(13)), EventFlags::SYNTHETIC);
        writer
            .client_ip("192.0.2.1".parse().unwrap())
            .status_code(404)
            .text(TextField::Path, "/a?b=c")
            .extra("one", "1")
            .text(TextField::User, "ann")
            .extra("two", "")
            .original(Original::Json("{}"));
    }

    #[test]
    fn what_was_written_is_read() {
        let mut bytes = Vec::new();
        sample(&mut bytes);
        let view = EventView::of(&bytes).unwrap();
        assert_eq!((view.id, view.time, view.received), (EventId(7), Timestamp(11), Some(Timestamp(13))));
        assert!(view.flags.has(EventFlags::SYNTHETIC) && !view.flags.has(EventFlags::REPEATABLE));
        assert_eq!((view.status_code, view.text(TextField::User)), (Some(404), Some("ann")));
        assert_eq!((view.path_stem(), view.path_query()), (Some("/a"), Some("b=c")));
        assert_eq!(view.extras().collect::<Vec<_>>(), [("one", "1"), ("two", "")]);
        assert_eq!(view.original, Original::Json("{}"));
        assert_eq!(view.entity().to_string(), "IP: 192.0.2.1");
    }

    #[test]
    fn the_entity_falls_back_step_by_step() {
        let entity = |fields: &[(TextField, &str)]| {
            let mut bytes = Vec::new();
            let mut writer = EventWriter::new(&mut bytes, EventId(1), Timestamp(1), None, 0);
            for (field, value) in fields {
                writer.text(*field, value);
            }
            EventView::of(&bytes).unwrap().entity().to_string()
        };
        let (source, host, user) = ((TextField::Source, "s"), (TextField::Host, "h"), (TextField::User, "u"));
        assert_eq!(entity(&[source, host, user]), "user: u");
        assert_eq!(entity(&[source, host]), "host: h");
        assert_eq!(entity(&[source]), "source: s");
    }

    #[test]
    fn id_and_receipt_can_be_set_afterwards() {
        let mut bytes = Vec::new();
        sample(&mut bytes);
        set_id(&mut bytes, EventId(99));
        set_received(&mut bytes, Timestamp(5));
        let view = EventView::of(&bytes).unwrap();
        assert_eq!((view.id, view.received), (EventId(99), Some(Timestamp(5))));
    }

    #[test]
    fn a_field_is_added_to_what_is_encoded() {
        let mut bytes = Vec::new();
        sample(&mut bytes);
        append_text(&mut bytes, TextField::Enforced, "true");
        append_text(&mut bytes, TextField::User, "ben");
        let view = EventView::of(&bytes).unwrap();
        assert_eq!((view.text(TextField::Enforced), view.text(TextField::User)), (Some("true"), Some("ben")));
        assert_eq!((view.status_code, view.extras().count()), (Some(404), 2));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Some(view) = EventView::of(&bytes) {
                let _ = (view.entity(), view.extras().count());
            }
        }

        #[test]
        fn a_cut_or_flipped_event_is_a_panic_nowhere(at in 0_usize..80, flip in any::<u8>()) {
            let mut bytes = Vec::new();
            sample(&mut bytes);
            let at = at % bytes.len();
            let _ = EventView::of(&bytes[..at]).map(|it| it.extras().count());
            bytes[at] ^= flip;
            let _ = EventView::of(&bytes).map(|it| it.extras().count());
        }

        #[test]
        fn varints_are_read_back(value in any::<u64>()) {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            prop_assert_eq!(take_varint(&out), Some((value, &[][..])));
        }
    }
}
