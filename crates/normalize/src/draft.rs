//! An event while it is being read: borrowed fields, written in one go.

use std::borrow::Cow;
use std::net::IpAddr;

use model::event::{EventFlags, EventWriter, Original, TextField};
use model::time::Timestamp;

use crate::reading::Reading;

/// One more than the highest number of a text field.
const SLOTS: usize = TextField::Country as usize + 1;

/// The text fields of which there is at most one each, in the order of their numbers.
const WRITTEN: [TextField; 20] = [
    TextField::Product,
    TextField::Category,
    TextField::Service,
    TextField::User,
    TextField::Host,
    TextField::Method,
    TextField::Path,
    TextField::UserAgent,
    TextField::Message,
    TextField::Referer,
    TextField::Protocol,
    TextField::SourceSeverity,
    TextField::Format,
    TextField::FindingRule,
    TextField::FindingId,
    TextField::FindingTitle,
    TextField::FindingSeverity,
    TextField::FindingKind,
    TextField::DestinationIp,
    TextField::Country,
];

/// An event while it is being read. Nothing of it is in the output before [`Draft::write`].
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// When it happened; `None` is when it was received.
    pub(crate) time: Option<Timestamp>,
    /// What its source calls it; an empty text is no id.
    pub(crate) own_id: Option<Cow<'a, str>>,
    /// The address of the client.
    pub(crate) client_ip: Option<IpAddr>,
    /// The status of the response.
    pub(crate) status_code: Option<u16>,
    /// The size of the response.
    pub(crate) response_bytes: Option<u64>,
    /// Whether a dimension of the log source that is not named is known not to apply.
    pub(crate) is_complete: bool,
    /// The record as it was received.
    pub(crate) original: Original<'a>,
    texts: [Option<Cow<'a, str>>; SLOTS],
    extras: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Draft<'a> {
    /// Begins an event of the named format.
    pub(crate) fn new(format: &'static str, original: Original<'a>) -> Self {
        let mut draft = Self {
            time: None,
            own_id: None,
            client_ip: None,
            status_code: None,
            response_bytes: None,
            is_complete: false,
            original,
            texts: [const { None }; SLOTS],
            extras: Vec::new(),
        };
        draft.set(TextField::Format, format);
        draft
    }

    /// Sets a text field.
    pub(crate) fn set(&mut self, field: TextField, value: impl Into<Cow<'a, str>>) {
        self.texts[field as usize] = Some(value.into());
    }

    /// Sets a text field or leaves it out.
    pub(crate) fn set_option(&mut self, field: TextField, value: Option<Cow<'a, str>>) {
        self.texts[field as usize] = value;
    }

    /// Whether a text field is set.
    pub(crate) fn has(&self, field: TextField) -> bool {
        self.texts[field as usize].is_some()
    }

    /// Adds a field under a name of its own that the original does not have.
    pub(crate) fn extra(&mut self, name: &'a str, value: impl Into<Cow<'a, str>>) {
        self.extras.push((name, value.into()));
    }

    /// Encodes the event at the end of `out`; `place` is its index in the request or its offset in the file.
    pub(crate) fn write(&self, reading: &Reading<'_>, place: u64, out: &mut Vec<u8>) {
        let source = self.texts[TextField::Source as usize].as_deref().unwrap_or(reading.input);
        let own_id = self.own_id.as_deref().filter(|it| !it.is_empty());
        let (id, flags) = reading.id_of(source, own_id, place);
        let time = self.time.unwrap_or_else(|| reading.time_of_receipt());
        let mut writer = EventWriter::new(out, id, time, reading.received, flags);
        if self.is_complete {
            writer.flag(EventFlags::LOGSOURCE_COMPLETE);
        }
        writer.text(TextField::Source, source).text(TextField::Input, reading.input);
        if let Some(address) = self.client_ip {
            writer.client_ip(address);
        }
        if let Some(status) = self.status_code {
            writer.status_code(status);
        }
        if let Some(bytes) = self.response_bytes {
            writer.response_bytes(bytes);
        }
        for field in WRITTEN {
            if let Some(text) = &self.texts[field as usize] {
                writer.text(field, text);
            }
        }
        for (name, value) in &self.extras {
            writer.extra(name, value);
        }
        writer.original(self.original);
    }
}
