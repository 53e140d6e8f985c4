//! The formats of files, one file a format, and the choice among them.
//!
//! A new format is a file here and a line in [`FORMATS`].

mod access_json;
mod cloudtrail;
mod combined;
mod event;
mod journal;
mod sshd;
mod sshd_message;
mod syslog;

use crate::framing::Framing;
use crate::quote;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// Every format, in the order in which a record is tried: those that know their own by a sign come first.
pub const FORMATS: &[Format] = &[
    combined::FORMAT,
    sshd::FORMAT,
    journal::EXPORT,
    journal::JSON,
    cloudtrail::FORMAT,
    access_json::FORMAT,
    event::FORMAT,
];

/// One format of files.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// How its records are told apart.
    pub framing: Framing,
    /// Whether a record looks like this format; cheap, and true for every record that [`Self::read`] takes.
    pub detect: fn(record: &[u8]) -> bool,
    /// Reads one record and writes its event, if it has one, at the end of `out`; on a refusal `out` is as it was.
    pub read: ReadRecord,
}

/// Reads the record at an offset of a file.
pub type ReadRecord = fn(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal>;

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// An event, which was written.
    Event,
    /// Nothing: a blank line or a comment.
    Nothing,
}

/// Returns the format that is called `name` on the command line.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|it| it.name == name)
}

/// Chooses the format of each record of one file.
///
/// The one that read the last record is tried first where the record looks like it, then the others in their
/// order, so that a dirty or mixed file still works; a record is parsed at most once by each format.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sniffer {
    pinned: Option<&'static Format>,
    last: Option<&'static Format>,
}

impl Sniffer {
    /// Chooses among all formats.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every record as `format`.
    #[must_use]
    pub const fn pinned(format: &'static Format) -> Self {
        Self { pinned: Some(format), last: None }
    }

    /// Reads the record at `offset` and writes its event, if it has one, at the end of `out`.
    ///
    /// # Errors
    ///
    /// Returns why the format that looked most like it did not take the record; `out` is then as it was.
    pub fn read(
        &mut self,
        record: &[u8],
        offset: u64,
        reading: &Reading<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Read, Refusal> {
        let record = if offset == 0 { record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record) } else { record };
        if is_nothing(record) {
            return Ok(Read::Nothing);
        }
        if let Some(format) = self.pinned {
            return (format.read)(record, offset, reading, out);
        }
        let mut refusal = None;
        let last = self.last.filter(|it| it.name != event::FORMAT.name).into_iter();
        let others = FORMATS.iter().filter(|it| last.clone().all(|last| last.name != it.name));
        for format in last.clone().chain(others).filter(|it| (it.detect)(record)) {
            match (format.read)(record, offset, reading, out) {
                Ok(read) => {
                    self.last = Some(format);
                    return Ok(read);
                }
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.unwrap_or_else(|| no_format(record)))
    }
}

fn is_nothing(record: &[u8]) -> bool {
    record.trim_ascii_start().first().is_none_or(|it| *it == b'#')
}

fn no_format(record: &[u8]) -> Refusal {
    let message = format!("no format reads `{}`; `--format` names one", quote::shown_bytes(record));
    Refusal::record(Code::BadLine, message)
}

/// Makes one refusal of the complaints about a JSON record.
fn joined(refusals: Vec<Refusal>) -> Refusal {
    let message = refusals.iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; ");
    match refusals.into_iter().next() {
        Some(first) => Refusal { message, ..first },
        None => Refusal::record(Code::BadLine, "refused"),
    }
}

/// Whether a record begins like a JSON object.
fn is_object(record: &[u8]) -> bool {
    record.trim_ascii_start().first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use model::event::{EventView, TextField};
    use proptest::prelude::*;

    use super::*;
    use crate::reading::tests::AT_NOON;

    const COMBINED: &str = r#"192.0.2.1 - - [20/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 512 "-" "Mozilla/5.0""#;
    const SSHD: &str = "Nov 20 10:00:00 host-1 sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2";
    const ISO: &str =
        "2026-11-20T10:00:00.000000+00:00 host-1 sshd-session[1]: Connection closed from 192.0.2.1 port 1 ssh2";
    const NGINX: &str = r#"{"time_iso8601":"2026-11-20T10:00:00+00:00","remote_addr":"192.0.2.1","status":"401",
        "request_method":"GET","request_uri":"/a"}"#;
    const JOURNAL: &str = r#"{"__REALTIME_TIMESTAMP":"1700000000000000","SYSLOG_IDENTIFIER":"sshd","MESSAGE":"hello"}"#;
    const EXPORT: &str = "__REALTIME_TIMESTAMP=1700000000000000\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=hello\n";
    const TRAIL: &str = r#"{"eventVersion":"1","eventSource":"s","eventName":"n","eventTime":"2026-11-20T10:00:00Z"}"#;
    const OWN: &str = r#"{"timestamp":"2026-11-20T10:00:00Z","client_ip":"192.0.2.1","status_code":401}"#;

    #[track_caller]
    fn check(sniffer: &mut Sniffer, record: &[u8], expected: Option<&str>) {
        let mut out = vec![7];
        let actual = sniffer.read(record, 9, &AT_NOON, &mut out);
        let shown = quote::shown_bytes(record);
        match (actual, expected) {
            (Ok(Read::Event), Some(name)) => {
                assert_eq!(EventView::of(&out[1..]).unwrap().text(TextField::Format), Some(name), "{shown}");
            }
            (actual, None) => assert!(actual.is_err() && out == [7], "{shown}: {actual:?}"),
            (actual, _) => panic!("{shown}: {actual:?}"),
        }
    }

    #[test]
    fn the_format_of_each_line_is_found_out() {
        let mut sniffer = Sniffer::new();
        for (record, name) in [
            (COMBINED, "combined"),
            (SSHD, "sshd"),
            (ISO, "sshd"),
            (NGINX, "access-json"),
            (OWN, "event"),
            (JOURNAL, "journal-json"),
            (COMBINED, "combined"),
            (EXPORT, "journal-export"),
            (TRAIL, "cloudtrail"),
            (OWN, "event"),
            (NGINX, "access-json"),
        ] {
            check(&mut sniffer, record.as_bytes(), Some(name));
        }
    }

    #[test]
    fn bad_lines_between_good_ones_are_refused_alone() {
        let mut sniffer = Sniffer::new();
        for bad in [
            &b"complete nonsense"[..],
            b"999.1.1.1 - - [yesterday] \"GET\" x y",
            b"{broken json",
            b"\x00\x01\x02",
            b"\xff\xfe\xfd",
            b"1.2.3.4 broken",
            b"[1,2]",
            b"17",
            b"{\"remote_addr\":\"x\",\"client_ip\":\"x\"}",
        ] {
            check(&mut sniffer, bad, None);
            check(&mut sniffer, COMBINED.as_bytes(), Some("combined"));
        }
    }

    #[test]
    fn blank_lines_and_comments_are_nothing() {
        for line in [&b""[..], b"  ", b"\r", b"# a comment"] {
            assert_eq!(Sniffer::new().read(line, 3, &AT_NOON, &mut Vec::new()), Ok(Read::Nothing));
        }
    }

    #[test]
    fn a_pinned_format_is_the_only_one() {
        let mut sniffer = Sniffer::pinned(by_name("combined").unwrap());
        check(&mut sniffer, COMBINED.as_bytes(), Some("combined"));
        check(&mut sniffer, OWN.as_bytes(), None);
        assert!(by_name("no-such-format").is_none());
    }

    #[test]
    fn a_refusal_tells_what_is_wrong_with_the_likeliest_format() {
        let refusal = Sniffer::new().read(br#"{"client_ip":"x"}"#, 0, &AT_NOON, &mut Vec::new()).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("client_ip"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            for format in FORMATS {
                let mut out = Vec::new();
                let read = (format.read)(&bytes, 0, &AT_NOON, &mut out);
                prop_assert_eq!(read == Ok(Read::Event), !out.is_empty());
            }
        }

        #[test]
        fn a_flipped_line_is_a_panic_nowhere(which in 0_usize..8, at in any::<usize>(), byte in any::<u8>(), cut in any::<usize>()) {
            let samples = [COMBINED, SSHD, ISO, NGINX, JOURNAL, EXPORT, TRAIL, OWN];
            let mut bytes = samples[which].as_bytes().to_vec();
            let (at, cut) = (at % bytes.len(), cut % bytes.len());
            bytes[at] = byte;
            for record in [&bytes[..], &bytes[..cut]] {
                for format in FORMATS {
                    let mut out = Vec::new();
                    let read = (format.read)(record, 0, &AT_NOON, &mut out);
                    prop_assert_eq!(read == Ok(Read::Event), !out.is_empty());
                    prop_assert!(read.is_err() || (format.detect)(record), "{} takes what it does not detect", format.name);
                }
            }
        }
    }
}
