//! A line on standard output.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use outbound::client::Client;

use super::{Built, Channel, Failure, Manner, Sending, Sent};
use crate::message::Message;
use crate::settings::Settings;
use crate::text::line;

/// The longest line, in characters.
const LINE_CHARS_MAX: usize = 2000;
/// How many lines are taken at once.
const BATCH: usize = 100;

struct Stdout;

pub(super) fn build(_: &Settings<'_>, _: &Arc<Client>) -> Built {
    Ok(Arc::new(Stdout))
}

impl Channel for Stdout {
    fn manner(&self) -> Manner {
        Manner { batch: BATCH, unmarked: BATCH, ..Manner::one_by_one(Duration::from_secs(5)) }
    }

    fn target(&self) -> String {
        "standard output".to_owned()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        let text = format!("{}\n", text_of(message));
        Box::pin(async move {
            let write = move || {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            };
            match tokio::task::spawn_blocking(write).await {
                Ok(Ok(())) => Ok(Sent("written".to_owned())),
                Ok(Err(error)) => Err(Failure::passing(format!("standard output cannot be written: {error}"))),
                Err(_) => Err(Failure::passing("standard output cannot be written")),
            }
        })
    }
}

fn text_of(message: &Message) -> String {
    let alert = &message.alert;
    let closed = if message.kind.is_over() { "closed: " } else { "" };
    let text = format!(
        "[NOTIFY] {closed}{} via {}: {} source={} ip={} msg={}",
        alert.severity,
        alert.detector,
        alert.reason,
        alert.source,
        message.about(),
        message.text()
    );
    line(&text, LINE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{HOSTILE, alert, hostile_message, message};
    use crate::message::Kind;

    #[test]
    fn says_what_and_who_in_a_line() {
        let expected =
            "[NOTIFY] high via rule:bruteforce: 5 events within 60 s source=web ip=203.0.113.7 msg=POST /login 401";
        assert_eq!(text_of(&message(Kind::Raised, alert())), expected);
    }

    #[test]
    fn nothing_does_anything_to_a_terminal() {
        for hostile in HOSTILE {
            let text = text_of(&hostile_message(hostile));
            assert!(text.chars().all(crate::text::is_plain), "{text:?}");
        }
    }
}
