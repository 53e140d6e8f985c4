//! Signatures checked by a library that is not ours: the reference library of Standard Webhooks for Python.
//!
//! `BARTIZAN_STANDARDWEBHOOKS` names the folder in which it is; without it the test says that it did not run, and passes.

#![expect(clippy::print_stdout, reason = "what is left out must be seen")]

use std::io::Write;
use std::process::{Command, Stdio};

use crate::receiver::{Answer, Receiver, Request};
use crate::support::{Setup, alert, webhook, with};

const FORMER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Verifies the body on stdin with the key and the headers that are its arguments.
const VERIFY: &str = "\
import sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
key, identity, time, signature = sys.argv[1:]
headers = {'webhook-id': identity, 'webhook-timestamp': time, 'webhook-signature': signature}
try:
    Webhook(key).verify(sys.stdin.buffer.read(), headers)
except WebhookVerificationError:
    sys.exit(3)
";

/// Whether the library takes a body that came with the headers of `request` under a key.
fn is_taken(library: &std::ffi::OsStr, request: &Request, body: &str, key: &str) -> bool {
    let header = |name: &str| request.0.lines().find_map(|it| it.strip_prefix(name)).unwrap().trim().to_owned();
    let headers = ["webhook-id:", "webhook-timestamp:", "webhook-signature:"].map(header);
    let mut python = Command::new("python3");
    python.args(["-c", VERIFY, key]).args(headers).env("PYTHONPATH", library).stdin(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let status = python.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    status.success()
}

#[tokio::test]
async fn an_independent_library_takes_our_signatures_and_no_others() {
    let Some(library) = std::env::var_os("BARTIZAN_STANDARDWEBHOOKS") else {
        println!("left out: BARTIZAN_STANDARDWEBHOOKS does not say where the library is");
        return;
    };
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let both = format!("{NEXT}\n{FORMER}");
    let settings = [("json", ""), ("ocsf", ""), ("json", r#"{"content":"{{title}}: {{client_ip}}"}"#)];
    for (number, (format, template)) in settings.into_iter().enumerate() {
        let mut destination = with(with(webhook("ops", &receiver), "secret", &both), "format", format);
        if !template.is_empty() {
            destination = with(destination, "template", template);
        }
        let setup = Setup::new(&[destination]);
        let running = setup.start();
        setup.commit(&[alert(number as u64)]);
        let request = receiver.wait_for(number + 1).await.pop().unwrap();
        running.stop().await;
        // Either key of a rotation does, another does not, and neither does another body.
        assert!([NEXT, FORMER].iter().all(|it| is_taken(&library, &request, &request.1, it)), "{format} {template}");
        assert!(!is_taken(&library, &request, &request.1, OTHER));
        assert!(!is_taken(&library, &request, &format!("{} ", request.1), NEXT));
    }
}
