//! Mail to a real server: STARTTLS, TLS from the first byte, a password, refusals.
//!
//! The server is aiosmtpd (Debian: `python3-aiosmtpd`); `./test` installs it. Without it these tests fail and say so.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use notification::notifier::{Notifier, Tried, Written};
use notification::settings::Surroundings;
use outbound::client::{Client, Times};
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;
use serde_json::Value;

/// The server: tells its port, then each mail as a line of JSON.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import AuthResult, SMTP
folder, mode = sys.argv[1:]
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("later"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None,
            "content": envelope.content.decode()}), flush=True)
        return "250 taken"
def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"alerts" and data.password == b"canary"
    return AuthResult(success=good, handled=False, auth_data=data.login.decode())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/cert.pem", folder + "/key.pem")
starttls = dict(tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True)
async def serve():
    options = starttls if mode == "starttls" else {}
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Handler(), loop=loop, hostname="localhost", **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(600)
asyncio.run(serve())
"#;

struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    folder: tempfile::TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let done = done.expect("openssl is missing; install the Debian package `openssl`");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Makes an authority, and a certificate of it for `localhost`.
fn certify(folder: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(folder, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    openssl(folder, &format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"));
    openssl(
        folder,
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out cert.pem -extfile names",
    );
}

impl Server {
    fn start(mode: &str) -> Self {
        let has_server = |it: &str| {
            let found = Command::new(it).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
            found.is_ok_and(|it| it.success())
        };
        let python = ["/usr/bin/python3", "python3"].into_iter().find(|it| has_server(it));
        let python = python.expect("aiosmtpd is missing; install the Debian package `python3-aiosmtpd`");
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        let mut command = Command::new(python);
        command.args(["-c", SERVER, folder.path().to_str().unwrap(), mode]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port = line.trim().parse().expect("the server tells its port");
        Self { child, lines, folder, port }
    }

    fn mail(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the server tells of a mail")
    }

    /// Sends a test message with these settings beside the usual ones.
    async fn try_out(&self, change: &[(&str, &str)]) -> Tried {
        let server = format!("localhost:{}", self.port);
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let usual = [("type", "email"), ("server", &server), ("from", "alerts@example.org"), ("to", "ops@example.org")];
        for (key, value) in usual.iter().chain(change) {
            values.insert((*key).to_owned(), (*value).to_owned());
        }
        let guard = Guard::new(vec![Range::parse("127.0.0.1").unwrap()]);
        let dialer = Dialer::new(guard, Arc::new(System), Some(self.folder.path().join("ca.pem")));
        let around = Surroundings { variable: &|_| None, duration: &|_| Some(Duration::ZERO) };
        let written = Written::from([("mail".to_owned(), values)]);
        let notifier = Notifier::new(&written, &around, &Client::new(dialer, Times::default())).unwrap();
        notifier.test("mail").await.unwrap()
    }
}

#[tokio::test]
async fn a_mail_arrives_by_starttls_with_a_password() {
    let mut server = Server::start("starttls");
    let login = [("username", "alerts"), ("password", "canary")];
    let tried = server.try_out(&login).await;
    assert_eq!((tried.is_sent, tried.status.as_str()), (true, "250"));
    let mail = server.mail();
    assert_eq!(
        (&mail["from"], &mail["to"][0], &mail["tls"]),
        (&"alerts@example.org".into(), &"ops@example.org".into(), &true.into())
    );
    let content = mail["content"].as_str().unwrap();
    assert!(content.contains("Subject: [informational] Test of notifications from 192.0.2.1"), "{content}");
    let tried = server.try_out(&[("username", "alerts"), ("password", "wrong")]).await;
    assert_eq!((tried.is_sent, tried.status.as_str()), (false, "the mail server answered 535"));
}

#[tokio::test]
async fn a_mail_arrives_by_tls_from_the_first_byte() {
    let mut server = Server::start("tls");
    assert!(server.try_out(&[("security", "tls")]).await.is_sent);
    assert_eq!(server.mail()["tls"], true);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    let server = Server::start("tls");
    let elsewhere = format!("127.0.0.1:{}", server.port);
    let tried = server.try_out(&[("security", "tls"), ("server", &elsewhere)]).await;
    assert!(!tried.is_sent && tried.status.starts_with("no TLS with `127.0.0.1`"), "{tried:?}");
}

#[tokio::test]
async fn without_starttls_nothing_is_sent_unless_that_is_wanted() {
    let mut server = Server::start("none");
    let tried = server.try_out(&[]).await;
    assert_eq!(tried.status, "the mail server does not offer STARTTLS");
    assert!(server.try_out(&[("security", "none")]).await.is_sent);
    assert_eq!(server.mail()["tls"], false);
}

#[tokio::test]
async fn who_is_refused_keeps_nobody_else_from_a_mail() {
    let mut server = Server::start("none");
    let plain = ("security", "none");
    let tried = server.try_out(&[plain, ("to", "nobody@example.org")]).await;
    assert_eq!(tried.status, "the mail server answered 550");
    let tried = server.try_out(&[plain, ("to", "later@example.org")]).await;
    assert_eq!(tried.status, "the mail server answered 451");
    assert!(server.try_out(&[plain, ("to", "nobody@example.org\nops@example.org")]).await.is_sent);
    assert_eq!(server.mail()["to"].as_array().unwrap().len(), 1);
}
