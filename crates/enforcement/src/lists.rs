//! Plain lists over HTTP, as firewalls that know nothing of us fetch them: `GET /v1/lists/{form}`.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use decision::set::{Cursor, Entry};
use hyper::StatusCode;
use hyper::header::{ETAG, IF_NONE_MATCH};
use model::decision::{Measure, Origin};
use model::network::Network;
use sha2::{Digest, Sha256};
use web::answer::{Answer, Sent, TEXT};
use web::query::{BadParameter, Query};
use web::route::Request;

use crate::edge::{Enforcement, agent_of, identity_of};
use crate::pullers::{Kind, Pull};

/// How many addresses and ranges a list has at most: the newest. Far more than the devices take that fetch such lists.
const LINES_MAX: usize = 500_000;
/// The name of the list on a `MikroTik`.
const MIKROTIK_LIST: &str = "bartizan";

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An address or a range a line. Juniper's dynamic addresses read the same.
    Plain,
    /// As an external data group or a feed of F5 reads it: `VALUE,bl,CATEGORY`.
    F5,
    /// As a script for `/import`.
    Mikrotik,
}

impl Form {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "plain" | "juniper" => Some(Self::Plain),
            "f5" => Some(Self::F5),
            "mikrotik" => Some(Self::Mikrotik),
            _ => None,
        }
    }
}

/// Which addresses are in a list.
#[derive(Clone, Copy)]
struct Choice {
    has_v4: bool,
    has_v6: bool,
    origin: Option<Origin>,
}

/// Answers a list; who has it already gets 304.
pub(crate) fn list(edge: &Arc<Enforcement>, request: &Request) -> Answer {
    let Some(form) = Form::from_word(request.parameter()) else {
        return Answer::problem(StatusCode::NOT_FOUND, "there are the lists plain, f5, juniper and mikrotik");
    };
    let choice = match choice(&request.query) {
        Ok(choice) => choice,
        Err(bad) => return Answer::bad_parameter(&bad),
    };
    let now = edge.now();
    let changed = edge.board.count().1;
    let mut found = edge.board.select(now, &mut |it| is_in(it, choice));
    if LINES_MAX < found.len() {
        tracing::warn!(lines = found.len(), "A list is longer than {LINES_MAX} lines; it has the newest");
        found.drain(..found.len() - LINES_MAX);
    }
    let body = text(form, found.iter().filter_map(|it| it.target.network().copied()).collect());
    let tag = tag_of(&body);
    let has_it =
        request.header("if-none-match").is_some_and(|it| it.split(',').any(|it| it.trim() == tag || it.trim() == "*"));
    debug_assert_eq!(IF_NONE_MATCH.as_str(), "if-none-match");
    let answer = if has_it {
        Answer::new(StatusCode::NOT_MODIFIED, "", Bytes::new())
    } else {
        Answer::new(StatusCode::OK, TEXT, body)
    };
    let identity = identity_of(request, Kind::List);
    let lag = edge.pullers.cursor(&identity, 0, now).and_then(|it| crate::crowdsec::lag_of(&found, it, now));
    let pull = Pull { identity, agent: agent_of(request), told: Cursor { changed, at: now }, lag, port: 0 };
    let noting = edge.clone();
    answer.with(ETAG, &tag).tells(Sent::new(move || noting.pullers.pulled(pull.clone())))
}

fn choice(query: &str) -> Result<Choice, BadParameter> {
    let query = Query::of(query, &["ipv4only", "ipv6only", "origin"])?;
    // Clients of such lists write the parameter with or without a value.
    let is_set = |name: &str| query.get(name).is_some_and(|it| it != "false" && it != "0");
    let origin = query.read("origin", "rule, risk, manual, import or peer", Origin::from_word)?;
    Ok(Choice { has_v4: !is_set("ipv6only"), has_v6: !is_set("ipv4only"), origin })
}

/// Only bans: whoever is throttled or has to prove something is not to be locked out by a firewall.
fn is_in(entry: &Entry, choice: Choice) -> bool {
    let is_of_family = |it: &Network| if it.address().is_ipv4() { choice.has_v4 } else { choice.has_v6 };
    entry.measure == Measure::Ban
        && entry.target.network().is_some_and(is_of_family)
        && choice.origin.is_none_or(|it| it == entry.origin)
}

/// Writes the list, each network once, ordered, so that equal content has equal bytes.
fn text(form: Form, mut networks: Vec<Network>) -> String {
    networks.sort_unstable();
    networks.dedup();
    let mut out = String::new();
    if form == Form::Mikrotik {
        out.push_str(&format!("/ip firewall address-list remove [find list={MIKROTIK_LIST}]\n"));
        out.push_str(&format!("/ipv6 firewall address-list remove [find list={MIKROTIK_LIST}]\n"));
    }
    for network in networks {
        // Writing to a String cannot fail.
        let _ = match form {
            Form::Plain => writeln!(out, "{network}"),
            Form::F5 => writeln!(out, "{network},bl,bartizan"),
            Form::Mikrotik => {
                let family = if network.address().is_ipv4() { "ip" } else { "ipv6" };
                writeln!(
                    out,
                    "/{family} firewall address-list add list={MIKROTIK_LIST} address={network} comment=bartizan"
                )
            }
        };
    }
    out
}

fn tag_of(body: &str) -> String {
    let digest = Sha256::digest(body.as_bytes());
    let hex: String = digest[..16].iter().map(|it| format!("{it:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: &str, expected: &str) {
        let networks = ["2001:db8::/48", "203.0.113.7", "198.51.100.0/24", "203.0.113.7"];
        let networks = networks.iter().map(|it| Network::parse(it).unwrap()).collect();
        assert_eq!(text(Form::from_word(form).unwrap(), networks), expected);
    }

    #[test]
    fn each_form_has_each_network_once_and_in_order() {
        check("plain", "198.51.100.0/24\n203.0.113.7\n2001:db8::/48\n");
        check("juniper", "198.51.100.0/24\n203.0.113.7\n2001:db8::/48\n");
        check("f5", "198.51.100.0/24,bl,bartizan\n203.0.113.7,bl,bartizan\n2001:db8::/48,bl,bartizan\n");
        check(
            "mikrotik",
            "/ip firewall address-list remove [find list=bartizan]\n\
             /ipv6 firewall address-list remove [find list=bartizan]\n\
             /ip firewall address-list add list=bartizan address=198.51.100.0/24 comment=bartizan\n\
             /ip firewall address-list add list=bartizan address=203.0.113.7 comment=bartizan\n\
             /ipv6 firewall address-list add list=bartizan address=2001:db8::/48 comment=bartizan\n",
        );
        assert_eq!(Form::from_word("xml"), None);
    }
}
