//! The systemd journal as `journalctl -o json` and `-o export` write it.
//!
//! An entry has a time in microseconds, a host, a program and a message, and is read like a line of syslog. Its
//! cursor is its id, so that an entry that is exported twice is one event. A message that is no text is a list
//! of byte values in JSON and a field with its length in the export.
//!
//! Source: systemd, "Journal Export Formats".

use std::borrow::Cow;

use model::event::Original;
use model::json::{self, Value};
use model::time::Timestamp;

use crate::draft::Draft;
use crate::formats::syslog::{self, Message};
use crate::formats::{Format, Read, is_object};
use crate::forms::pick;
use crate::framing::Framing;
use crate::member::Member;
use crate::object::Object;
use crate::quote;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// The line of the export format in the list.
pub(super) const EXPORT: Format = Format {
    name: "journal-export",
    about: "the systemd journal, journalctl -o export",
    framing: Framing::Blocks,
    detect: detect_export,
    read: read_export,
};

/// The line of the JSON format in the list.
pub(super) const JSON: Format = Format {
    name: "journal-json",
    about: "the systemd journal, journalctl -o json",
    framing: Framing::Lines,
    detect: detect_json,
    read: read_json,
};

const TIME: &str = "__REALTIME_TIMESTAMP";
const NAMES: [&str; 8] = [TIME, "MESSAGE", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_COMM", "_PID", "SYSLOG_PID", "__CURSOR"];

/// The fields of one entry, in the order of [`NAMES`].
type Fields<'a> = [Option<Cow<'a, str>>; NAMES.len()];

fn detect_json(record: &[u8]) -> bool {
    is_object(record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record))
        && memchr::memmem::find(record, TIME.as_bytes()).is_some()
}

fn detect_export(record: &[u8]) -> bool {
    !is_object(record) && memchr::memmem::find(record, TIME.as_bytes()).is_some()
}

fn read_json(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    let object = Object::parse(record)?;
    if !detect_json(record) {
        return Err(Refusal::missing(TIME));
    }
    let fields: Fields<'_> = pick(object, NAMES).map(|it| it.as_ref().and_then(journal_text));
    write(&fields, Original::Json(object.text()), JSON.name, (reading, offset), out)
}

/// Reads a text, a number, or a list of byte values.
fn journal_text<'a>(member: &Member<'a>) -> Option<Cow<'a, str>> {
    let Value::Array(list) = member.value() else { return member.as_scalar() };
    let bytes: Option<Vec<u8>> = json::elements(list).map(|it| it.parse().ok()).collect();
    Some(Cow::Owned(String::from_utf8_lossy(&bytes?).into_owned()))
}

fn read_export(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    if !detect_export(record) {
        return Err(Refusal::missing(TIME));
    }
    let mut fields: Fields<'_> = [const { None }; NAMES.len()];
    let mut rest = record;
    while let Some((name, value, after)) = take_field(rest) {
        if let Some(index) = NAMES.iter().position(|it| it.as_bytes() == name) {
            fields[index] = Some(String::from_utf8_lossy(value));
        }
        rest = after;
    }
    let text = String::from_utf8_lossy(record);
    write(&fields, Original::Text(&text), EXPORT.name, (reading, offset), out)
}

/// Takes `NAME=value` and a line end, or `NAME`, a line end, the length, the value and a line end.
fn take_field(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let (line, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    if let Some(equals) = memchr::memchr(b'=', line) {
        return Some((&line[..equals], &line[equals + 1..], after));
    }
    let (length, after) = after.split_at_checked(8)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (value, after) = after.split_at_checked(length)?;
    Some((line, value, after.get(1..).unwrap_or_default()))
}

fn write(
    fields: &Fields<'_>,
    original: Original<'_>,
    format: &'static str,
    (reading, offset): (&Reading<'_>, u64),
    out: &mut Vec<u8>,
) -> Result<Read, Refusal> {
    let [time, text, host, identifier, command, pid, syslog_pid, cursor] = fields.each_ref().map(|it| it.as_deref());
    let time = time.ok_or_else(|| Refusal::missing(TIME))?;
    let micros = time.parse().ok().and_then(Timestamp::from_micros);
    let micros = micros.ok_or_else(|| {
        let message = format!("`{TIME}` is `{}`, which is no number of microseconds", quote::shown(time));
        Refusal { field: Some(TIME.to_owned()), ..Refusal::record(Code::BadField, message) }
    })?;
    let mut draft = Draft::new(format, original);
    draft.own_id = cursor.map(Cow::Borrowed);
    syslog::set_message(
        &mut draft,
        Message {
            time: Some(micros),
            host,
            program: identifier.or(command),
            pid: pid.or(syslog_pid),
            text: text.unwrap_or_default(),
        },
    );
    draft.write(reading, offset, out);
    Ok(Read::Event)
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView, TextField};

    use super::*;
    use crate::reading::tests::AT_NOON;

    const SAID: &str = "Failed password for root from 192.0.2.1 port 1 ssh2";

    #[track_caller]
    fn check(format: &Format, record: &[u8], message: &str) {
        let mut out = Vec::new();
        (format.read)(record, 0, &AT_NOON, &mut out).unwrap();
        let view = EventView::of(&out).unwrap();
        assert_eq!(view.time.to_string(), "2023-11-14T22:13:20.123456Z");
        let texts = [TextField::Host, TextField::Service, TextField::Message].map(|it| view.text(it));
        assert_eq!(texts, [Some("host-1"), Some("sshd"), Some(message)]);
        assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE | EventFlags::REPEATABLE));
    }

    #[test]
    fn reads_an_entry_as_json() {
        let entry = |message: &str| {
            format!(
                r#"{{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000123456","_HOSTNAME":"host-1","_PID":"7",
                "SYSLOG_IDENTIFIER":"sshd","MESSAGE":{message}}}"#
            )
        };
        check(&JSON, entry(&format!("\"{SAID}\"")).as_bytes(), SAID);
        check(&JSON, entry("[104,105,27]").as_bytes(), "hi\u{1b}");
        check(&JSON, entry("null").as_bytes(), "");
        check(&JSON, entry("[900]").as_bytes(), "");
    }

    #[test]
    fn reads_an_entry_of_the_export() {
        let head = "__CURSOR=s=1\n__REALTIME_TIMESTAMP=1700000000123456\n_HOSTNAME=host-1\n_COMM=sshd\n";
        check(&EXPORT, format!("{head}MESSAGE={SAID}\n").as_bytes(), SAID);
        check(&EXPORT, format!("{head}MESSAGE={SAID}").as_bytes(), SAID);
        let length = [5, 0, 0, 0, 0, 0, 0, 0];
        check(&EXPORT, &[head.as_bytes(), b"MESSAGE\n", &length, b"a\n\nb=\n"].concat(), "a\n\nb=");
    }

    #[test]
    fn refuses_an_entry_without_a_time() {
        for (format, record) in [
            (&JSON, &br#"{"MESSAGE":"x"}"#[..]),
            (&JSON, br#"{"__REALTIME_TIMESTAMP":"soon"}"#),
            (&EXPORT, b"MESSAGE=x\n"),
            (&EXPORT, b"__REALTIME_TIMESTAMP=99999999999999999999\n"),
        ] {
            assert!((format.read)(record, 0, &AT_NOON, &mut Vec::new()).is_err());
        }
    }
}
