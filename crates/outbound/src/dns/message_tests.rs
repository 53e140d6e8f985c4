//! Messages as resolvers send them, and as they should not.

use proptest::prelude::*;

use super::*;

const ID: u16 = 0x1234;

/// Writes an answer: flags beyond "response", and records of owner, type and data.
fn answer(question: &Question, flags: u16, records: &[(&str, u16, &[u8])]) -> Vec<u8> {
    let mut out = question.query(ID);
    out[2..4].copy_from_slice(&(FLAG_RESPONSE | flags).to_be_bytes());
    out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (owner, kind, data) in records {
        out.extend_from_slice(&wire(owner));
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 14, 16]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }
    out
}

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|it| std::iter::once(it.len() as u8).chain(it.bytes()));
    labels.chain([0]).collect()
}

fn reverse() -> Question {
    Question::reverse("192.0.2.7".parse().expect("it is one"))
}

fn name(text: &str) -> Data {
    Data::Name(text.to_owned())
}

#[track_caller]
fn check(message: &[u8], expected: Result<Answer, ReadError>) {
    assert_eq!(reverse().read(ID, message), expected, "{message:02x?}");
}

#[test]
fn an_address_is_asked_for_backwards() {
    for (address, expected) in [
        ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
        ("::ffff:192.0.2.7", "7.2.0.192.in-addr.arpa"),
        ("2001:db8::a1", "1.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
    ] {
        assert_eq!(Question::reverse(address.parse().expect(address)).name, expected);
    }
    let query = reverse().query(ID);
    assert_eq!(query[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(query[12..], [&wire("7.2.0.192.in-addr.arpa")[..], &[0, 12, 0, 1]].concat());
}

#[test]
fn a_name_that_cannot_be_asked_for_is_no_question() {
    let four = IpAddr::from([192, 0, 2, 7]);
    let forward = |it: &str| Question::forward(it, four).map(|it| it.name);
    assert_eq!(forward("Crawl.GoogleBot.com.").as_deref(), Some("crawl.googlebot.com"));
    for name in ["", ".", "a..b", &"x".repeat(64), &["x".repeat(63).as_str(); 4].join(".")] {
        assert_eq!(forward(name), None, "{name}");
    }
    assert_eq!(Question::forward("a.b", "2001:db8::1".parse().expect("it is one")).map(|it| it.kind), Some(Kind::Aaaa));
}

#[test]
fn names_and_addresses_are_read() {
    let asked = reverse();
    let found = answer(&asked, 0, &[(&asked.name, 12, &wire("Crawl-1.GoogleBot.com"))]);
    check(&found, Ok(Answer::Found(vec![name("crawl-1.googlebot.com")])));
    let forward = Question::forward("a.example", [1, 2, 3, 4].into()).expect("it is one");
    let found = answer(&forward, 0, &[("a.example", 1, &[1, 2, 3, 4]), ("b.example", 1, &[6, 6, 6, 6])]);
    assert_eq!(forward.read(ID, &found), Ok(Answer::Found(vec![Data::Address([1, 2, 3, 4].into())])));
}

#[test]
fn aliases_are_followed_and_never_round() {
    let asked = reverse();
    let records: [(&str, u16, &[u8]); 2] = [
        ("7.0-15.2.0.192.in-addr.arpa", 12, &wire("a.example")),
        (&asked.name, 5, &wire("7.0-15.2.0.192.in-addr.arpa")),
    ];
    check(&answer(&asked, 0, &records), Ok(Answer::Found(vec![name("a.example")])));
    let round: [(&str, u16, &[u8]); 2] = [("b.example", 5, &wire(&asked.name)), (&asked.name, 5, &wire("b.example"))];
    check(&answer(&asked, 0, &round), Ok(Answer::Found(vec![])));
}

#[test]
fn what_is_said_beside_an_answer_is_understood() {
    let asked = reverse();
    check(&answer(&asked, 0, &[]), Ok(Answer::Found(vec![])));
    check(&answer(&asked, 3, &[]), Ok(Answer::NoName));
    check(&answer(&asked, 2, &[]), Ok(Answer::Failed(2)));
    check(&answer(&asked, 5, &[]), Ok(Answer::Failed(5)));
    check(&answer(&asked, FLAG_TRUNCATED, &[]), Ok(Answer::Truncated));
}

#[test]
fn an_answer_to_something_else_is_none() {
    let asked = reverse();
    assert_eq!(asked.read(ID ^ 1, &answer(&asked, 0, &[])), Err(ReadError::Other));
    check(&asked.query(ID), Err(ReadError::Other));
    let other = Question::reverse([192, 0, 2, 8].into());
    check(&answer(&other, 0, &[(&asked.name, 12, &wire("crawl.googlebot.com"))]), Err(ReadError::Other));
    let forward = Question { kind: Kind::A, ..asked.clone() };
    check(&answer(&forward, 0, &[]), Err(ReadError::Other));
}

#[test]
fn a_pointer_leads_to_the_front_and_never_round() {
    let asked = reverse();
    // The name of the question stands at 12.
    let mut pointed = answer(&asked, 0, &[]);
    pointed[7] = 1;
    pointed.extend_from_slice(&[0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 0, 0, 4, 1, b'x', 0xc0, 12]);
    check(&pointed, Ok(Answer::Found(vec![name(&format!("x.{}", asked.name))])));
    for pointer in [[0xc0, 52], [0xc0, 200], [0xff, 0xff], [0x80, 12], [0x40, 12]] {
        let mut round = answer(&asked, 0, &[]);
        round[7] = 1;
        round.extend_from_slice(&pointer);
        round.extend_from_slice(&[0, 12, 0, 1, 0, 0, 0, 0, 0, 1, 0]);
        check(&round, Err(ReadError::Malformed));
    }
}

#[test]
fn a_damaged_answer_is_said_to_be_so() {
    let asked = reverse();
    let whole = answer(&asked, 0, &[(&asked.name, 12, &wire("a.example"))]);
    for end in 0..whole.len() {
        assert!(asked.read(ID, &whole[..end]).is_err(), "{end}");
    }
    for (kind, data) in [(12, &b"\x01a\0\0"[..]), (12, b"\x02a"), (12, b"\x03a.b\0"), (12, b"\x01\0\0")] {
        check(&answer(&asked, 0, &[(&asked.name, kind, data)]), Err(ReadError::Malformed));
    }
    // An address of a wrong length is no address.
    let forward = Question::forward("a.example", [1, 2, 3, 4].into()).expect("it is one");
    assert_eq!(forward.read(ID, &answer(&forward, 0, &[("a.example", 1, &[1, 2, 3])])), Ok(Answer::Found(vec![])));
}

#[test]
fn flipped_bits_are_no_panic() {
    let asked = reverse();
    let whole = answer(&asked, 0, &[(&asked.name, 5, &wire("b.example")), ("b.example", 12, &wire("a.example"))]);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // Whatever it says now, it is read or refused.
            let _ = asked.read(ID, &flipped);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), count in any::<u16>()) {
        let asked = reverse();
        // As they are, and behind a head and a question that are right.
        let _ = asked.read(ID, &bytes);
        let mut message = answer(&asked, 0, &[]);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message.extend_from_slice(&bytes);
        let _ = asked.read(ID, &message);
    }

    #[test]
    fn pointers_anywhere_are_no_panic_and_come_to_an_end(targets in proptest::collection::vec(0_u16..200, 0..120)) {
        let asked = reverse();
        let mut message = answer(&asked, 0, &[]);
        message[6..8].copy_from_slice(&[0xff; 2]);
        message.extend(targets.iter().flat_map(|it| (0xc000 | it).to_be_bytes()));
        let _ = asked.read(ID, &message);
    }
}
