//! Submission of one mail over SMTP. Source: RFC 5321, RFC 3207 (STARTTLS), RFC 4954 (AUTH).
//!
//! What the other side says is used for its code only: it is never shown.

use std::time::Duration;

use outbound::dial::{Dialer, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Failure;
use crate::encoding;
use outbound::secret::Secret;

/// The longest line of a reply, in bytes. Source: RFC 5321, section 4.5.3.1.5, doubled.
const LINE_BYTES_MAX: usize = 1024;
/// How many lines a reply may have.
const LINES_MAX: usize = 100;
/// How long a connection may take, and one reply.
const CONNECT_TIME: Duration = Duration::from_secs(10);
const REPLY_TIME: Duration = Duration::from_secs(30);

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// By the command STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte.
    Tls,
    /// Not at all.
    None,
}

/// The server.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    /// Name and password.
    pub(super) login: Option<(String, Secret)>,
}

/// Which part of the conversation it is: a refusal of the server says nothing about the mail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Server,
    Mail,
}

/// A conversation.
struct Session {
    stream: Box<dyn Stream>,
    /// What came and is not read.
    rest: Vec<u8>,
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Server {
    /// Hands over a mail; returns the code of the last reply. Who was refused among several is passed over, as long as
    /// one is not.
    pub(super) async fn submit(&self, dialer: &Dialer, from: &str, to: &[String], mail: &str) -> Result<u16, Failure> {
        let mut session = self.open(dialer).await?;
        session.ask(&format!("MAIL FROM:<{from}>"), 250, Part::Mail).await?;
        let mut refused = None;
        let mut accepted = 0;
        for address in to {
            match session.ask(&format!("RCPT TO:<{address}>"), 250, Part::Mail).await {
                Ok(_) => accepted += 1,
                Err(failure) => refused = Some(failure),
            }
        }
        match refused {
            Some(failure) if accepted == 0 => return Err(failure),
            Some(failure) => tracing::warn!(reason = %failure, "A mail server refused some of the recipients"),
            None => {}
        }
        session.ask("DATA", 354, Part::Mail).await?;
        let reply = session.ask(&format!("{mail}\r\n."), 250, Part::Mail).await?;
        // The mail is handed over; how the conversation ends is of no account.
        let _ = session.say("QUIT").await;
        Ok(reply.code)
    }

    async fn open(&self, dialer: &Dialer) -> Result<Session, Failure> {
        let is_tls = self.security == Security::Tls;
        let stream = dialer.dial(&self.host, self.port, is_tls, CONNECT_TIME).await;
        let stream =
            stream.map_err(|it| Failure { is_permanent: it.is_permanent(), ..Failure::passing(it.to_string()) })?;
        let mut session = Session { stream, rest: Vec::new() };
        session.expect(220, Part::Server).await?;
        let mut offers = session.greet().await?;
        if self.security == Security::StartTls {
            if !offers.iter().any(|it| it.eq_ignore_ascii_case("STARTTLS")) {
                return Err(Failure::passing("the mail server does not offer STARTTLS"));
            }
            session.ask("STARTTLS", 220, Part::Server).await?;
            // What came unencrypted behind the answer was not said by whom we trust from now on.
            if !session.rest.is_empty() {
                return Err(Failure::passing("the mail server said something between STARTTLS and TLS"));
            }
            let encrypted = tokio::time::timeout(CONNECT_TIME, dialer.encrypt(&self.host, session.stream)).await;
            let encrypted = encrypted.map_err(|_| Failure::passing("no TLS with the mail server in time"))?;
            let stream = encrypted.map_err(|it| Failure::passing(it.to_string()))?;
            session = Session { stream, rest: Vec::new() };
            offers = session.greet().await?;
        }
        if let Some((name, password)) = &self.login {
            if !offers
                .iter()
                .any(|it| it.to_ascii_uppercase().starts_with("AUTH ") && it.to_ascii_uppercase().contains("PLAIN"))
            {
                return Err(Failure::passing("the mail server does not offer AUTH PLAIN"));
            }
            let secret = zeroize::Zeroizing::new(format!("\0{name}\0{}", password.expose()));
            let command = zeroize::Zeroizing::new(format!("AUTH PLAIN {}", encoding::encode(secret.as_bytes())));
            session.ask(&command, 235, Part::Server).await?;
        }
        Ok(session)
    }
}

impl Session {
    /// Says who we are; returns what the server offers.
    async fn greet(&mut self) -> Result<Vec<String>, Failure> {
        Ok(self.ask("EHLO [127.0.0.1]", 250, Part::Server).await?.lines)
    }

    async fn ask(&mut self, command: &str, wanted: u16, part: Part) -> Result<Reply, Failure> {
        self.say(command).await?;
        self.expect(wanted, part).await
    }

    async fn say(&mut self, command: &str) -> Result<(), Failure> {
        let written = async {
            self.stream.write_all(command.as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
            self.stream.flush().await
        };
        let late = || Failure::passing("the mail server takes nothing any more");
        let written = timeout(REPLY_TIME, written).await.map_err(|_| late())?;
        written.map_err(|it| Failure::passing(format!("the connection to the mail server broke: {it}")))
    }

    async fn expect(&mut self, wanted: u16, part: Part) -> Result<Reply, Failure> {
        let late = || Failure::passing(format!("no answer of the mail server within {} s", REPLY_TIME.as_secs()));
        let reply = timeout(REPLY_TIME, self.read()).await.map_err(|_| late())??;
        // 251 and 252: it will do what it can.
        if reply.code == wanted || (wanted == 250 && matches!(reply.code, 251 | 252)) {
            return Ok(reply);
        }
        let reason = format!("the mail server answered {}", reply.code);
        let is_permanent = part == Part::Mail && (500..600).contains(&reply.code);
        Err(if is_permanent { Failure::permanent(reason) } else { Failure::passing(reason) })
    }

    async fn read(&mut self) -> Result<Reply, Failure> {
        let strange = || Failure::passing("what answers is no mail server");
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let code = line.get(..3).filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
            let code: u16 = code.and_then(|it| it.parse().ok()).ok_or_else(strange)?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            match line.as_bytes().get(3) {
                Some(b'-') if lines.len() < LINES_MAX => {}
                Some(b' ') | None => return Ok(Reply { code, lines }),
                _ => return Err(strange()),
            }
        }
    }

    /// Reads a line without its end.
    async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.rest.iter().position(|it| *it == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if LINE_BYTES_MAX <= self.rest.len() {
                return Err(Failure::passing("what answers is no mail server"));
            }
            let mut piece = [0; 512];
            let read = self.stream.read(&mut piece).await;
            match read {
                Ok(0) => return Err(Failure::passing("the mail server closed the connection")),
                Ok(count) => self.rest.extend_from_slice(&piece[..count]),
                Err(error) => {
                    return Err(Failure::passing(format!("the connection to the mail server broke: {error}")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what becomes of a reply that begins with `text`.
    async fn check(text: &[u8], expected: Result<u16, &str>) {
        let (stream, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(text).await.unwrap();
        drop(server);
        let mut session = Session { stream: Box::new(stream), rest: Vec::new() };
        let read = session.read().await.map(|it| it.code);
        assert_eq!(read.as_ref().map_err(|it| it.reason.as_str()), expected.as_ref().map_err(|it| *it));
    }

    #[tokio::test]
    async fn a_reply_has_a_code_and_an_end() {
        for text in ["250 OK\r\n", "250\r\n", "250-one\r\n250-two\r\n250 three\r\n", "250 \n"] {
            check(text.as_bytes(), Ok(250)).await;
        }
        check(b"250 \xff\xfe\r\n", Ok(250)).await;
    }

    #[tokio::test]
    async fn what_is_none_is_refused_and_never_too_much() {
        let (strange, closed) = ("what answers is no mail server", "the mail server closed the connection");
        for text in ["\r\n", "OK\r\n", "25\r\n", "+50 OK\r\n", "250_\r\n", "日本語\r\n", "HTTP/1.1 200 OK\r\n"] {
            check(text.as_bytes(), Err(strange)).await;
        }
        for text in ["", "250", "250-one\r\n", "250-one\r\n250"] {
            check(text.as_bytes(), Err(closed)).await;
        }
        let lines = |count: usize| "250-x\r\n".repeat(count - 1) + "250 x\r\n";
        check(lines(LINES_MAX).as_bytes(), Ok(250)).await;
        check(("250-x\r\n".repeat(LINES_MAX) + "250 x\r\n").as_bytes(), Err(strange)).await;
        check(&vec![b'2'; 1 << 19], Err(strange)).await;
    }
}
