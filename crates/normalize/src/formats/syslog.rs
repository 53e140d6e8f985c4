//! The head of a syslog line as it stands in a file: time, host, program.
//!
//! Two forms: `Nov  1 10:00:00 host program[pid]: message`, which has no year and no zone, and the same with an
//! RFC 3339 time. A priority `<34>` before either is skipped. A time without a zone is read as UTC, and gets
//! the latest year that lies not more than a day ahead of now.
//!
//! Source: RFC 3164, section 4.1; rsyslog, `RSYSLOG_FileFormat`.

use model::event::TextField;
use model::time::{Civil, Timestamp, UtcOffset, number};

use crate::draft::Draft;
use crate::formats::combined::month_of;
use crate::formats::sshd_message;

/// How far ahead of now a time without a year may lie: clocks differ, and zones by half a day.
const AHEAD_MAX_NANOS: i64 = 86_400_000_000_000;

/// How many years back a leap day may lie (1900 and 2100 have none).
const YEARS_BACK_MAX: i64 = 8;

/// One message with who said it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// When it was said.
    pub(super) time: Option<Timestamp>,
    /// The host that said it.
    pub(super) host: Option<&'a str>,
    /// The program, without path and pid.
    pub(super) program: Option<&'a str>,
    /// The process id as it was written.
    pub(super) pid: Option<&'a str>,
    /// What was said.
    pub(super) text: &'a str,
}

/// Whether a record begins with a time of either form.
pub(super) fn begins_with_time(record: &[u8]) -> bool {
    match without_priority(record) {
        [m1, m2, m3, b' ', ..] if m1.is_ascii_alphabetic() => month_of(&[*m1, *m2, *m3]).is_some(),
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-', ..] => true,
        _ => false,
    }
}

/// Reads a line; `None` when it has no such head.
pub(super) fn message(line: &str, now: Timestamp) -> Option<Message<'_>> {
    let line = &line[line.len() - without_priority(line.as_bytes()).len()..];
    let (time, rest) = bsd_time(line, now).or_else(|| iso_time(line))?;
    let (host, rest) = rest.trim_start().split_once(' ')?;
    let (tag, text) = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|it| (it, "")))?;
    let (program, pid) = program_of(tag)?;
    Some(Message { time: Some(time), host: Some(host), program: Some(program), pid, text })
}

fn without_priority(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'<', b'0'..=b'9', b'>', rest @ ..] => rest,
        [b'<', b'0'..=b'9', b'0'..=b'9', b'>', rest @ ..] => rest,
        [b'<', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'>', rest @ ..] => rest,
        _ => bytes,
    }
}

/// Reads `Nov  1 10:00:00 `.
fn bsd_time(line: &str, now: Timestamp) -> Option<(Timestamp, &str)> {
    let (head, rest) = line.split_at_checked(16)?;
    let [m1, m2, m3, b' ', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2, b' '] = *head.as_bytes() else {
        return None;
    };
    let tens = if d1 == b' ' { b'0' } else { d1 };
    let civil = Civil {
        year: 0,
        month: month_of(&[m1, m2, m3])?,
        day: number(&[tens, d2])? as u8,
        hour: number(&[h1, h2])? as u8,
        minute: number(&[n1, n2])? as u8,
        second: number(&[s1, s2])? as u8,
        nanos: 0,
    };
    Some((in_latest_year(civil, now)?, rest))
}

fn in_latest_year(civil: Civil, now: Timestamp) -> Option<Timestamp> {
    let latest = now.civil().year + 1;
    let years = (latest - YEARS_BACK_MAX - 1..=latest).rev();
    let mut times = years.filter_map(|year| Civil { year, ..civil }.at(UtcOffset(0)));
    times.find(|it| it.0 <= now.0.saturating_add(AHEAD_MAX_NANOS))
}

fn iso_time(line: &str) -> Option<(Timestamp, &str)> {
    let (time, rest) = line.split_once(' ')?;
    Some((Timestamp::from_rfc3339(time)?, rest))
}

/// Splits `/usr/sbin/cron[123]` into its name and the process id.
fn program_of(tag: &str) -> Option<(&str, Option<&str>)> {
    let (name, pid) = match tag.strip_suffix(']').and_then(|it| it.split_once('[')) {
        Some((name, pid)) => (name, Some(pid)),
        None => (tag, None),
    };
    let name = name.rsplit('/').next().unwrap_or(name);
    let is_name = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_whitespace);
    is_name.then_some((name, pid))
}

/// Sets what a message says: product `linux`, the program as service, and for sshd what happened.
pub(super) fn set_message<'a>(draft: &mut Draft<'a>, message: Message<'a>) {
    draft.time = message.time;
    draft.set(TextField::Message, message.text);
    draft.set(TextField::Product, "linux");
    draft.is_complete = true;
    if let Some(host) = message.host {
        draft.set(TextField::Host, host);
    }
    if let Some(pid) = message.pid {
        draft.extra("pid", pid);
    }
    let Some(program) = message.program else { return };
    draft.extra("process", program);
    // OpenSSH 9.8 and later speak from a process of their own for each session.
    if matches!(program, "sshd" | "sshd-session" | "sshd-auth") {
        draft.set(TextField::Service, "sshd");
        sshd_message::set(draft, message.text);
    } else {
        draft.set(TextField::Service, program.to_ascii_lowercase());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reading::tests::NOON;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str, Option<&str>, &str)>) {
        let actual = message(line, NOON);
        let time = actual.and_then(|it| it.time).map(|it| it.to_string());
        let actual = actual.map(|it| {
            (time.as_deref().unwrap_or("-"), it.host.unwrap_or("-"), it.program.unwrap_or("-"), it.pid, it.text)
        });
        assert_eq!(actual, expected, "{line}");
    }

    #[test]
    fn reads_both_forms() {
        check(
            "Nov  1 10:00:00 web-1 sshd[17]: hello: there",
            Some(("2026-11-01T10:00:00Z", "web-1", "sshd", Some("17"), "hello: there")),
        );
        check(
            "<38>Nov 11 10:00:00 web-1 /usr/sbin/cron[1]: x",
            Some(("2026-11-11T10:00:00Z", "web-1", "cron", Some("1"), "x")),
        );
        check(
            "2026-11-20T10:00:00.5+02:00 web-1 sudo: x",
            Some(("2026-11-20T08:00:00.500Z", "web-1", "sudo", None, "x")),
        );
        check("Nov  1 10:00:00 web-1 kernel:", Some(("2026-11-01T10:00:00Z", "web-1", "kernel", None, "")));
    }

    #[test]
    fn a_time_without_a_year_is_not_more_than_a_day_ahead() {
        for (line, expected) in [
            ("Nov 21 12:00:00 h p: x", "2026-11-21T12:00:00Z"),
            ("Nov 21 12:00:01 h p: x", "2025-11-21T12:00:01Z"),
            ("Dec 31 23:59:59 h p: x", "2025-12-31T23:59:59Z"),
            ("Feb 29 10:00:00 h p: x", "2024-02-29T10:00:00Z"),
        ] {
            check(line, Some((expected, "h", "p", None, "x")));
        }
        let new_year = Timestamp::from_rfc3339("2026-12-31T23:30:00Z").unwrap();
        assert_eq!(
            message("Jan  1 00:10:00 h p: x", new_year).unwrap().time.unwrap().to_string(),
            "2027-01-01T00:10:00Z"
        );
    }

    #[test]
    fn refuses_what_has_no_such_head() {
        for line in [
            "",
            "complete nonsense",
            "Nov 31 10:00:00 h p: x",
            "Nov  1 10:00:00 h",
            "Nov  1 10:00:00 h no tag",
            "2026-11-20 x y: z",
        ] {
            check(line, None);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "(Nov  1 10:00:00 |2026-11-20T10:00:00Z )?.{0,30}") {
            let _ = (message(&line, NOON), message(&line, Timestamp::MIN), message(&line, Timestamp(i64::MAX)));
        }
    }
}
