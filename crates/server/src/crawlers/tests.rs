//! The check against a resolver that lies, fails and keeps silent.

#[path = "../../tests/proofs/support/resolver.rs"]
mod resolver;

use std::net::Ipv4Addr;
use std::time::Duration;

use self::resolver::{PTR, Reply, reverse, start};
use super::*;

/// Who asks.
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);
/// Somebody else.
const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const NAME: &str = "crawl-9.googlebot.com";

/// What comes of a resolver that answers so to the question for the name, and so to that for the addresses.
fn found(names: Reply, addresses: Reply) -> String {
    let answers = move |name: &str, kind: u16| {
        if kind == PTR {
            assert_eq!(name, reverse(CLIENT.into()));
            names.clone()
        } else {
            assert!(name.ends_with(".com"), "{name}");
            addresses.clone()
        }
    };
    let resolver = Resolver::new(start(Arc::new(answers))).with_try_time(Duration::from_millis(150));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(verify::verify(&resolver, CLIENT.into())) {
        Finding::Verified(operator) => operator.name.to_owned(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(names: Reply, addresses: Reply, expected: &str) {
    let shown = format!("{names:?}, {addresses:?}");
    assert_eq!(found(names, addresses), expected, "{shown}");
}

fn names(of: &[&'static str]) -> Reply {
    Reply::Names(of.to_vec())
}

fn addresses(of: &[Ipv4Addr]) -> Reply {
    Reply::Addresses(of.to_vec())
}

#[test]
fn a_crawler_is_verified_only_when_both_answers_agree() {
    check(names(&[NAME]), addresses(&[CLIENT]), "googlebot");
    check(names(&[NAME]), addresses(&[OTHER, CLIENT]), "googlebot");
    check(names(&["a.example.com", NAME]), addresses(&[CLIENT]), "googlebot");
    check(names(&["msnbot-1.search.msn.com"]), addresses(&[CLIENT]), "bingbot");
}

#[test]
fn a_forged_name_is_nobodys() {
    // Whoever has the address wrote its name; the operator knows nothing of it.
    check(names(&[NAME]), addresses(&[OTHER]), "False");
    check(names(&[NAME]), addresses(&[]), "False");
    check(names(&[NAME]), Reply::NoName, "False");
    for forged in ["googlebot.com.evil.com", "evilgooglebot.com", "www.evil.com", "x.bc.googleusercontent.com"] {
        check(names(&[forged]), addresses(&[CLIENT]), "False");
    }
    check(Reply::NoName, addresses(&[CLIENT]), "False");
    check(names(&[]), addresses(&[CLIENT]), "False");
}

#[test]
fn a_resolver_that_cannot_say_says_neither() {
    for broken in [Reply::Fails, Reply::Silence] {
        check(broken.clone(), addresses(&[CLIENT]), "Failed");
        check(names(&[NAME]), broken, "Failed");
    }
}

#[test]
fn an_answer_with_another_id_is_not_looked_at() {
    let guessed = |wrong: Reply, right: Reply| Reply::Guessed(Box::new(wrong), Box::new(right));
    check(guessed(names(&[NAME]), Reply::NoName), addresses(&[CLIENT]), "False");
    check(names(&[NAME]), guessed(addresses(&[CLIENT]), addresses(&[OTHER])), "False");
    check(names(&[NAME]), guessed(addresses(&[OTHER]), addresses(&[CLIENT])), "googlebot");
    check(names(&[NAME]), guessed(addresses(&[CLIENT]), Reply::Fails), "Failed");
}

#[test]
fn what_did_not_fit_is_asked_for_again() {
    let truncated = |it: Reply| Reply::Truncated(Box::new(it));
    check(truncated(names(&[NAME])), truncated(addresses(&[CLIENT])), "googlebot");
    check(truncated(names(&[NAME])), truncated(addresses(&[OTHER])), "False");
    // One that says so over TCP, too, has nothing to say; here it hangs up.
    check(names(&[NAME]), truncated(Reply::Fails), "Failed");
}

#[test]
fn without_a_resolver_nobody_is_asked_and_nothing_is_said() {
    let door = AtTheDoor(Arc::default());
    assert!(door.is_idle());
    assert_eq!(door.claim("Googlebot/2.1", CLIENT.into()), None);
    assert_eq!(door.kind("Googlebot/2.1"), None);
    assert_eq!(door.0.find(&Network::of(CLIENT.into())), None);
}
