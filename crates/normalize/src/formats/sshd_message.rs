//! What sshd says: who tried, from where, and how it ended.
//!
//! The user name is the attacker's to choose and may contain anything, such as ` from 192.0.2.9 port 22`. So
//! each message is read from its right end, which sshd wrote.
//!
//! | `sshd.event` | said |
//! |---|---|
//! | `failed`, `accepted` | `Failed password for ...`, `Accepted publickey for ...`; the method is `sshd.method` |
//! | `invalid_user` | `Invalid user ... from ...`, before any password |
//! | `max_attempts` | `maximum authentication attempts exceeded for ...` |
//! | `not_allowed` | `User ... from ... not allowed because ...` |
//! | `disconnected`, `closed` | `Disconnected from ...`, `Received disconnect from ...`; `Connection closed by ...`, `reset by` |
//! | `no_identification`, `bad_protocol`, `no_match` | what talked was no SSH client, or none that we can talk to |
//! | `pam_failure` | PAM's own line beside `failed`: counting both would count twice |
//! | `connection` | `Connection from ...` |
//!
//! `sshd.invalid_user` is `true` where the user does not exist. A line `message repeated N times: [ ... ]` is
//! read as the message, with `sshd.repeated`.

use model::entity::parse_ip;
use model::event::TextField;

use crate::draft::Draft;

/// What a message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said<'a> {
    event: &'static str,
    method: Option<&'a str>,
    user: Option<&'a str>,
    is_invalid_user: bool,
    address: Option<&'a str>,
    repeated: Option<&'a str>,
}

/// Sets user, client address and outcome; nothing for a message that says neither.
pub(super) fn set<'a>(draft: &mut Draft<'a>, text: &'a str) {
    let Some(said) = said(text) else { return };
    draft.extra("sshd.event", said.event);
    if let Some(method) = said.method {
        draft.extra("sshd.method", method);
    }
    if said.is_invalid_user {
        draft.extra("sshd.invalid_user", "true");
    }
    if let Some(times) = said.repeated {
        draft.extra("sshd.repeated", times);
    }
    if let Some(user) = said.user {
        draft.set(TextField::User, user);
    }
    draft.client_ip = said.address.and_then(parse_ip);
}

fn said(text: &str) -> Option<Said<'_>> {
    let text = text.trim_end();
    if let Some((times, inside)) = text.strip_prefix("message repeated ").and_then(|it| it.split_once(" times: [")) {
        let inside = inside.trim_start().strip_suffix(']')?;
        // The inner text is no repetition again: that would let a line nest without end.
        return Some(Said { repeated: Some(times), ..once(inside.trim_end())? });
    }
    once(text)
}

fn once(text: &str) -> Option<Said<'_>> {
    let text = text.strip_suffix("[preauth]").map_or(text, str::trim_end);
    let text = text.strip_prefix("error: ").unwrap_or(text);
    authentication(text).or_else(|| user_before_password(text)).or_else(|| end(text)).or_else(|| other(text))
}

/// `Failed METHOD for USER from ADDRESS port N ssh2`, `Accepted ...`.
fn authentication(text: &str) -> Option<Said<'_>> {
    let (event, rest) = match text.split_once(' ')? {
        ("Failed", rest) => ("failed", rest),
        ("Accepted", rest) => ("accepted", rest),
        _ => return None,
    };
    let (method, rest) = rest.split_once(" for ")?;
    let (user, address) = user_and_address(rest)?;
    Some(Said { method: Some(method), ..with_user(event, user, address) })
}

fn user_before_password(text: &str) -> Option<Said<'_>> {
    if let Some(rest) = text.strip_prefix("Invalid user ").or_else(|| text.strip_prefix("Illegal user ")) {
        let (user, address) =
            user_and_address(rest).or_else(|| rest.strip_prefix("from ").map(|it| ("", first_word(it))))?;
        return Some(Said { is_invalid_user: true, ..with_user("invalid_user", user, address) });
    }
    if let Some(rest) = text.strip_prefix("maximum authentication attempts exceeded for ") {
        let (user, address) = user_and_address(rest)?;
        return Some(with_user("max_attempts", user, address));
    }
    let rest = text.strip_prefix("User ")?;
    let (rest, _why) = rest.rsplit_once(" not allowed because ")?;
    let (user, address) = user_and_address(rest)?;
    Some(with_user("not_allowed", user, address))
}

/// The end of a connection: `... [user USER ]ADDRESS port N`.
fn end(text: &str) -> Option<Said<'_>> {
    const ENDS: [(&str, &str); 7] = [
        ("Connection closed by ", "closed"),
        ("Connection reset by ", "closed"),
        ("Connection closed from ", "closed"),
        ("Disconnected from ", "disconnected"),
        ("Received disconnect from ", "disconnected"),
        ("Disconnecting ", "disconnected"),
        ("Connection from ", "connection"),
    ];
    let (rest, event) = ENDS.iter().find_map(|(beginning, event)| Some((text.strip_prefix(beginning)?, *event)))?;
    let before_port = match event {
        // What follows the port here is the other side's to choose.
        "disconnected" if text.starts_with("Received") => rest.split_once(" port ")?.0,
        "connection" => rest.split_once(" port ")?.0,
        _ => rest.rsplit_once(" port ").map_or(rest, |(before, _)| before),
    };
    let (who, address) = before_port.rsplit_once(' ').unwrap_or(("", before_port));
    parse_ip(address)?;
    let who = who.strip_prefix("authenticating ").unwrap_or(who);
    let Some(user) = who.strip_prefix("invalid user").or_else(|| who.strip_prefix("user")) else {
        return Some(with_user(event, "", address));
    };
    Some(Said { is_invalid_user: who.starts_with("invalid"), ..with_user(event, user.trim_start(), address) })
}

fn other(text: &str) -> Option<Said<'_>> {
    if text.starts_with("Did not receive identification string from ") || text.starts_with("banner exchange: ") {
        let (_, rest) = text.rsplit_once(" from ").or_else(|| text.split_once(": Connection from "))?;
        return Some(with_user("no_identification", "", first_word(rest)));
    }
    if text.starts_with("Bad protocol version identification ") {
        let (_, rest) = text.rsplit_once(" from ")?;
        return Some(with_user("bad_protocol", "", first_word(rest)));
    }
    if let Some(rest) = text.strip_prefix("Unable to negotiate with ") {
        return Some(with_user("no_match", "", first_word(rest)));
    }
    if text.starts_with("pam_unix(sshd:auth): authentication failure;") {
        let address = text.split(' ').find_map(|it| it.strip_prefix("rhost="))?;
        let user = text.rsplit_once(" user=").map_or("", |(_, user)| user.trim());
        return Some(with_user("pam_failure", user, address));
    }
    None
}

fn with_user<'a>(event: &'static str, user: &'a str, address: &'a str) -> Said<'a> {
    let (is_invalid_user, user) = match user.strip_prefix("invalid user ") {
        Some(user) => (true, user),
        None => (false, user),
    };
    let user = Some(user).filter(|it| !it.is_empty());
    Said { event, user, is_invalid_user, address: Some(address), ..Said::default() }
}

/// Splits `USER from ADDRESS port N ...` at the last ` from `.
fn user_and_address(rest: &str) -> Option<(&str, &str)> {
    let (user, rest) = rest.rsplit_once(" from ")?;
    Some((user, first_word(rest)))
}

/// The address ends at a blank, or at a colon that ends it.
fn first_word(rest: &str) -> &str {
    let word = rest.split(' ').next().unwrap_or(rest);
    word.strip_suffix(':').filter(|it| parse_ip(it).is_some()).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Event, user, whether it does not exist, address.
    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<&str>, bool, &str)>) {
        let actual = said(text).map(|it| (it.event, it.user, it.is_invalid_user, it.address.unwrap_or("-")));
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn reads_what_sshd_says() {
        const IP: &str = "192.0.2.1";
        for (text, expected) in [
            ("Failed password for root from 192.0.2.1 port 50 ssh2", ("failed", Some("root"), false, IP)),
            ("Failed password for invalid user admin from 192.0.2.1 port 50 ssh2", ("failed", Some("admin"), true, IP)),
            ("Failed none for invalid user  from 192.0.2.1 port 50 ssh2", ("failed", None, true, IP)),
            ("Accepted password for root from 192.0.2.1 port 50 ssh2", ("accepted", Some("root"), false, IP)),
            (
                "Accepted publickey for ann from 2001:db8::1 port 50 ssh2: RSA SHA256:abc",
                ("accepted", Some("ann"), false, "2001:db8::1"),
            ),
            ("Invalid user admin from 192.0.2.1 port 50", ("invalid_user", Some("admin"), true, IP)),
            ("Invalid user admin from 192.0.2.1", ("invalid_user", Some("admin"), true, IP)),
            ("Invalid user  from 192.0.2.1 port 50", ("invalid_user", None, true, IP)),
            (
                "Connection closed by authenticating user root 192.0.2.1 port 50 [preauth]",
                ("closed", Some("root"), false, IP),
            ),
            ("Connection closed by invalid user a b 192.0.2.1 port 50 [preauth]", ("closed", Some("a b"), true, IP)),
            ("Connection reset by 192.0.2.1 port 50 [preauth]", ("closed", None, false, IP)),
            ("Connection closed from 192.0.2.1 port 50 ssh2", ("closed", None, false, IP)),
            ("Disconnected from user root 192.0.2.1 port 50", ("disconnected", Some("root"), false, IP)),
            ("Disconnected from 192.0.2.1 port 50 [preauth]", ("disconnected", None, false, IP)),
            ("Received disconnect from 192.0.2.1 port 50:11: Bye Bye [preauth]", ("disconnected", None, false, IP)),
            (
                "error: maximum authentication attempts exceeded for root from 192.0.2.1 port 50 ssh2 [preauth]",
                ("max_attempts", Some("root"), false, IP),
            ),
            (
                "User root from 192.0.2.1 not allowed because not listed in AllowUsers",
                ("not_allowed", Some("root"), false, IP),
            ),
            ("Did not receive identification string from 192.0.2.1 port 50", ("no_identification", None, false, IP)),
            (
                "Bad protocol version identification '\\003 from x' from 192.0.2.1 port 50",
                ("bad_protocol", None, false, IP),
            ),
            ("Unable to negotiate with 192.0.2.1 port 50: no matching cipher found", ("no_match", None, false, IP)),
            ("Connection from 192.0.2.1 port 50 on 192.0.2.2 port 22 rdomain \"\"", ("connection", None, false, IP)),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
                ("pam_failure", Some("root"), false, IP),
            ),
        ] {
            check(text, Some(expected));
        }
    }

    #[test]
    fn a_user_name_cannot_forge_the_address() {
        let text = "Failed password for invalid user x from 198.51.100.9 port 22 ssh2 from 192.0.2.1 port 50 ssh2";
        check(text, Some(("failed", Some("x from 198.51.100.9 port 22 ssh2"), true, "192.0.2.1")));
        let text = "Connection closed by invalid user x 198.51.100.9 port 22 192.0.2.1 port 50 [preauth]";
        check(text, Some(("closed", Some("x 198.51.100.9 port 22"), true, "192.0.2.1")));
        let text = "Received disconnect from 192.0.2.1 port 50:11: from 198.51.100.9 port 22 [preauth]";
        check(text, Some(("disconnected", None, false, "192.0.2.1")));
    }

    #[test]
    fn a_repeated_message_is_read_as_the_message() {
        let text = "message repeated 5 times: [ Failed password for root from 192.0.2.1 port 50 ssh2]";
        check(text, Some(("failed", Some("root"), false, "192.0.2.1")));
        assert_eq!(said(text).and_then(|it| it.repeated), Some("5"));
    }

    #[test]
    fn says_nothing_of_other_messages() {
        for text in
            ["", "Server listening on 0.0.0.0 port 22.", "Failed", "Connection closed", "Disconnected from nowhere"]
        {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(Failed |Invalid user |Connection closed by |message repeated 1 times: \\[)?[a-z :.\\[\\]]{0,40}( from | port )?.{0,10}") {
            let _ = said(&text);
        }
    }
}
