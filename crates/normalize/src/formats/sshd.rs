//! Lines of `auth.log`: sshd in full, other programs as plain events.
//!
//! Every line of syslog has host, program (as `process`), `pid` and message. Of sshd also user, client address
//! and what happened, see [`super::sshd_message`]. Log source: product `linux`, service the program, complete.

use std::borrow::Cow;

use model::event::Original;

use crate::draft::Draft;
use crate::formats::{Format, Read, syslog};
use crate::framing::Framing;
use crate::quote;
use crate::reading::Reading;
use crate::refusal::{Code, Refusal};

/// The format's line in the list.
pub(super) const FORMAT: Format = Format {
    name: "sshd",
    about: "auth.log and other syslog files, sshd in full",
    framing: Framing::Lines,
    detect: syslog::begins_with_time,
    read,
};

fn read(record: &[u8], offset: u64, reading: &Reading<'_>, out: &mut Vec<u8>) -> Result<Read, Refusal> {
    let line: Cow<'_, str> = String::from_utf8_lossy(record);
    let Some(message) = syslog::message(&line, reading.now) else {
        let message = format!("`{}` is no line of syslog", quote::shown(&line));
        return Err(Refusal::record(Code::BadLine, message));
    };
    let mut draft = Draft::new(FORMAT.name, Original::Text(&line));
    syslog::set_message(&mut draft, message);
    draft.write(reading, offset, out);
    Ok(Read::Event)
}

#[cfg(test)]
mod tests {
    use model::event::{EventFlags, EventView, TextField};

    use super::*;
    use crate::reading::tests::AT_NOON;

    #[test]
    fn a_line_has_its_fields_and_a_complete_log_source() {
        for (line, service) in [
            (
                "Nov 20 10:00:00 host-1 sshd[7]: Failed password for invalid user admin from 192.0.2.1 port 1 ssh2",
                "sshd",
            ),
            (
                "Nov 20 10:00:00 host-1 sshd-session[7]: Failed password for invalid user admin from 192.0.2.1 port 1 ssh2",
                "sshd",
            ),
            ("Nov 20 10:00:00 host-1 CRON[7]: session opened", "cron"),
        ] {
            let mut out = Vec::new();
            read(line.as_bytes(), 0, &AT_NOON, &mut out).unwrap();
            let view = EventView::of(&out).unwrap();
            assert_eq!(view.text(TextField::Service), Some(service));
            assert_eq!((view.text(TextField::Host), view.text(TextField::Product)), (Some("host-1"), Some("linux")));
            assert_eq!(view.client_ip.is_some(), service == "sshd");
            assert_eq!(view.extras().find(|it| it.0 == "pid"), Some(("pid", "7")));
            assert!(view.flags.has(EventFlags::LOGSOURCE_COMPLETE));
            assert_eq!(view.original, Original::Text(line));
        }
    }
}
