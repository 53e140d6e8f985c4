//! Mail. A text of one part; what was logged stands in the body, encoded, and never in a header as it was.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use model::time::Timestamp;
use outbound::client::Client;

use super::smtp::{Security, Server};
use super::{Built, Channel, Manner, Sending, Sent};
use crate::encoding;
use crate::message::Message;
use crate::settings::Settings;
use crate::text::line;

/// How many recipients there may be; a list of the mail server serves more.
const RECIPIENTS_MAX: usize = 50;
/// The longest address. Source: RFC 5321, section 4.5.3.1.3.
const ADDRESS_BYTES_MAX: usize = 254;
/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 150;
/// The longest line of the body, in characters.
const LINE_CHARS_MAX: usize = 2000;
/// How long a mail may take from the connection to the end.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many bytes of text an encoded word holds: with its frame it stays below 75 characters (RFC 2047, section 2).
const WORD_BYTES: usize = 42;

struct Email {
    server: Server,
    from: String,
    to: Vec<String>,
    client: Arc<Client>,
}

pub(super) fn build(settings: &Settings<'_>, client: &Arc<Client>) -> Built {
    let words = [("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)];
    let security = settings.one_of("security", &words)?;
    let wanted = "the mail server, as `smtp.example.org` or `smtp.example.org:587`";
    let text = settings.required("server", wanted)?;
    let usual = if security == Security::Tls { 465 } else { 587 };
    let (host, port) =
        host_and_port(text, usual).ok_or_else(|| settings.wrong("server", format!("must be {wanted}")))?;
    settings.check_host("server", &host, client)?;
    let login = match (settings.text("username"), settings.secret("password")?) {
        (Some(name), Some(password)) => Some((name.to_owned(), password)),
        (None, None) => None,
        _ => return Err(settings.wrong("username", "and `password` belong together; one of them is missing")),
    };
    if login.is_some() && security == Security::None {
        return Err(settings.wrong("security", "must be `starttls` or `tls`, else the password travels in the clear"));
    }
    let address = |it: &str| is_address(it).then(|| it.to_owned());
    let bad = |key: &str| settings.wrong(key, "must be a plain address, as `alerts@example.org`");
    let from = address(settings.required("from", "an address")?).ok_or_else(|| bad("from"))?;
    let to: Option<Vec<String>> = settings.list("to").iter().map(|it| address(it)).collect();
    let to = to.filter(|it| (1..=RECIPIENTS_MAX).contains(&it.len()));
    let to = to.ok_or_else(|| settings.wrong("to", "must be 1 to 50 plain addresses, as `ops@example.org`"))?;
    Ok(Arc::new(Email { server: Server { host, port, security, login }, from, to, client: client.clone() }))
}

fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().ok().filter(|it| 0 < *it)?),
        _ => (text, usual),
    };
    let is_name = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b':');
    (!host.is_empty() && host.bytes().all(is_name)).then(|| (host.to_owned(), port))
}

/// Whether it is an address without anything that a header or a command could take for its own.
fn is_address(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&it);
    let is_domain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-');
    text.len() <= ADDRESS_BYTES_MAX
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && local.bytes().all(is_plain) && !domain.is_empty() && domain.bytes().all(is_domain)
        })
}

impl Channel for Email {
    fn manner(&self) -> Manner {
        Manner::one_by_one(TIMEOUT)
    }

    fn target(&self) -> String {
        format!("{}:{}, {} recipients", self.server.host, self.server.port, self.to.len())
    }

    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let mail = mail_of(message, &self.from, &self.to);
            let code = self.server.submit(self.client.dialer(), &self.from, &self.to, &mail).await?;
            Ok(Sent(code.to_string()))
        })
    }
}

/// The mail with its headers, without the line that ends it. No line begins with a dot: the body is base64.
fn mail_of(message: &Message, from: &str, to: &[String]) -> String {
    let domain = from.split_once('@').map_or("localhost", |it| it.1);
    let mut mail = String::new();
    let mut put = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(mail, "{name}: {value}\r\n");
    };
    put("Date", &date(message.now));
    put("From", &format!("Bartizan <{from}>"));
    put("To", &to.join(",\r\n "));
    put("Subject", &encoded(&subject_of(message)));
    put("Message-ID", &format!("<{}@{domain}>", message.id));
    // All mails about one alert stand together.
    put("References", &format!("<alert-{}@{domain}>", message.alert.id));
    put("Auto-Submitted", "auto-generated");
    put("MIME-Version", "1.0");
    put("Content-Type", "text/plain; charset=utf-8");
    put("Content-Transfer-Encoding", "base64");
    let body = encoding::encode(text_of(message).as_bytes());
    for chunk in body.as_bytes().chunks(76) {
        mail.push_str("\r\n");
        mail.extend(chunk.iter().map(|it| char::from(*it)));
    }
    mail
}

fn subject_of(message: &Message) -> String {
    let alert = &message.alert;
    let closed = if message.kind.is_over() { "closed: " } else { "" };
    line(&format!("[{}] {closed}{} from {}", alert.severity, alert.title, message.about()), SUBJECT_CHARS_MAX)
}

fn text_of(message: &Message) -> String {
    let alert = &message.alert;
    let mut text = String::new();
    let mut put = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:<12}{}\r\n", line(value, LINE_CHARS_MAX));
    };
    put("What", &alert.title);
    put("Who", &message.about());
    put("Severity", alert.severity.as_str());
    put("Why", &alert.reason);
    put("Details", &alert.details);
    put("Detector", &alert.detector);
    put("Rule", &alert.rule_id);
    put("Source", &alert.source);
    put("User", alert.user.as_deref().unwrap_or("-"));
    put("Events", &alert.count.to_string());
    put("First seen", &alert.first_seen.to_string());
    put("Last seen", &alert.last_seen.to_string());
    put("Message", &message.text());
    put("More", &format!("bartizan why {}", alert.id));
    text
}

/// Encodes a header unless it is plain ASCII. Source: RFC 2047.
fn encoded(text: &str) -> String {
    if text.bytes().all(|it| (b' '..=b'~').contains(&it)) && !text.contains("=?") {
        return text.to_owned();
    }
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?B?{}?=", encoding::encode(word.as_bytes())));
        rest = behind;
    }
    words.join("\r\n ")
}

/// Writes a time as mail has it. Source: RFC 5322, section 3.3.
fn date(time: Timestamp) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let it = time.civil();
    let month = MONTHS[usize::from(it.month.clamp(1, 12)) - 1];
    format!("{} {month} {:04} {:02}:{:02}:{:02} +0000", it.day, it.year, it.hour, it.minute, it.second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::samples::{HOSTILE, alert, built, hostile_message, message};
    use crate::message::Kind;

    /// The headers of a mail by name, and its body.
    fn parts(mail: &str) -> (Vec<(String, String)>, String) {
        let (head, body) = mail.split_once("\r\n\r\n").expect("a body follows");
        let head = head.replace("\r\n ", " ");
        let headers = head.split("\r\n").map(|it| it.split_once(": ").expect("it is a header"));
        let body = encoding::decode(&body.replace("\r\n", "")).expect("it is base64");
        (
            headers.map(|(name, value)| (name.into(), value.into())).collect(),
            String::from_utf8(body).expect("it is UTF-8"),
        )
    }

    fn mail(of: &Message) -> String {
        mail_of(of, "a@example.org", &["b@example.org".to_owned(), "c@example.org".to_owned()])
    }

    #[test]
    fn a_mail_says_what_and_who() {
        let (headers, body) = parts(&mail(&message(Kind::Raised, alert())));
        let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
        assert_eq!(header("Subject"), Some("[high] Brute force attack from 203.0.113.7"));
        assert_eq!(header("Date"), Some("14 Nov 2023 22:13:20 +0000"));
        assert_eq!(header("Message-ID"), Some("<00000000000000000000000000000abc@example.org>"));
        assert_eq!(header("To"), Some("b@example.org, c@example.org"));
        assert!(body.contains("Message     POST /login 401\r\n"), "{body}");
    }

    #[test]
    fn no_text_becomes_a_header_or_ends_the_mail() {
        let names = |of: &Message| parts(&mail(of)).0.into_iter().map(|it| it.0).collect::<Vec<_>>();
        let usual = names(&message(Kind::Raised, alert()));
        for hostile in HOSTILE {
            let text = mail(&hostile_message(hostile));
            assert_eq!(names(&hostile_message(hostile)), usual, "{hostile:?}");
            assert!(
                text.is_ascii() && !text.contains("\r\n.") && text.split("\r\n").all(|it| it.len() <= 998),
                "{text}"
            );
            assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "{text}");
        }
    }

    #[test]
    fn a_subject_is_encoded_in_short_words() {
        assert_eq!(encoded("plain"), "plain");
        assert_eq!(encoded("=?x"), "=?utf-8?B?PT94?=");
        let long = encoded(&"日".repeat(SUBJECT_CHARS_MAX));
        assert!(long.split("\r\n ").all(|it| it.len() <= 75 && it.is_ascii()), "{long}");
        let read: Vec<u8> = long
            .split("\r\n ")
            .flat_map(|it| encoding::decode(&it["=?utf-8?B?".len()..it.len() - 2]).expect("it is base64"))
            .collect();
        assert_eq!(String::from_utf8(read).expect("each word is whole"), "日".repeat(SUBJECT_CHARS_MAX));
    }

    #[track_caller]
    fn check(change: &[(&str, &str)], is_good: bool) {
        let mut values = vec![("server", "mail.example:25"), ("from", "a@example.org"), ("to", "b@example.org")];
        for (key, value) in change {
            values.retain(|it| it.0 != *key);
            values.push((key, value));
        }
        assert_eq!(built("email", &values).is_ok(), is_good, "{change:?}");
    }

    #[test]
    fn settings_are_checked() {
        check(&[], true);
        check(&[("server", "mail.example")], true);
        for server in ["", ":25", "mail:0", "mail:x", "ma il", "mail\r\n"] {
            check(&[("server", server)], false);
        }
        for address in ["", "a", "@b", "a@", "a b@c", "a@b\r\nBcc: c@d", "<a@b>", "a@b>", "a,b@c", "ü@b", "a@b@c"] {
            check(&[("from", address)], false);
            check(&[("to", &format!("x@y\n{address}"))], address.is_empty());
        }
        let many = |count: usize| vec!["a@b"; count].join("\n");
        check(&[("to", &many(RECIPIENTS_MAX))], true);
        check(&[("to", &many(RECIPIENTS_MAX + 1))], false);
        check(&[("username", "u"), ("password", "p")], true);
        check(&[("username", "u")], false);
        check(&[("username", "u"), ("password", "p"), ("security", "none")], false);
        check(&[("security", "ssl")], false);
    }
}
