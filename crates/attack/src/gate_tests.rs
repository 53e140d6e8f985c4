//! The fast way against the slow and obvious one: what every check finds on every form of a value, inspection finds.

use proptest::prelude::*;

use crate::families_tests::{everywhere, report};
use crate::inspector::Inspector;
use crate::report::{FINDINGS_MAX, Report};
use crate::request::Header;
use crate::{code_tests, expression_tests, markup_tests, path_tests, shell_tests, sql_tests};

/// All texts that the families are tested with.
const TEXTS: &[&[&str]] = &[
    sql_tests::ATTACKS,
    sql_tests::LOOK_ALIKES,
    markup_tests::ATTACKS,
    markup_tests::LOOK_ALIKES,
    path_tests::CLIMBS,
    path_tests::INCLUSIONS,
    path_tests::LOOK_ALIKES,
    shell_tests::ATTACKS,
    shell_tests::LOOK_ALIKES,
    code_tests::ATTACKS,
    code_tests::LOOK_ALIKES,
    expression_tests::TEMPLATES,
    expression_tests::LOOKUPS,
    expression_tests::ENTITIES,
    expression_tests::ADDRESSES,
    expression_tests::LOOK_ALIKES,
];

/// What only the slow way finds.
fn lost(fast: &Report, slow: &Report) -> Vec<String> {
    if FINDINGS_MAX <= slow.findings.len() {
        return Vec::new();
    }
    let is_found = |name: &str, place| fast.findings.iter().any(|it| it.name() == name && it.place == place);
    slow.findings.iter().filter(|it| !is_found(&it.name(), it.place.clone())).map(|it| it.sentence()).collect()
}

#[track_caller]
fn check(fast: &Inspector, slow: &Inspector, text: &str) {
    for (fast, slow) in everywhere(fast, text).iter().zip(&everywhere(slow, text)) {
        assert_eq!(lost(fast, slow), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn the_scan_loses_nothing_of_what_the_families_are_tested_with() {
    let (fast, slow) = (Inspector::new(), Inspector::exhaustive());
    TEXTS.concat().iter().for_each(|it| check(&fast, &slow, it));
}

#[test]
fn the_scan_loses_nothing_when_texts_are_put_together() {
    let (fast, slow) = (Inspector::new(), Inspector::exhaustive());
    let texts = TEXTS.concat();
    for (at, text) in texts.iter().enumerate() {
        let other = texts[(at * 7 + 3) % texts.len()];
        for joined in [format!("{other} {text}"), format!("{text}{other}"), format!("{text}'{other}"), text.repeat(3)] {
            check(&fast, &slow, &joined);
        }
    }
}

#[test]
fn base64_is_read_in_every_field_and_however_short() {
    let (fast, slow) = (Inspector::new(), Inspector::exhaustive());
    let headers = |value| ["accept", "user-agent", "cookie", "x-a"].map(|name| Header { name, value });
    for value in ["O2lkCg", "JHtqbmRpOmxkYXA6Ly94L2F9", "PHN2Zy9vbmxvYWQ9YWxlcnQoMSk", "java.lang.Runtime"] {
        let [fast, slow] = [&fast, &slow].map(|it| report(it, value, &headers(value.as_bytes()), b""));
        assert_eq!(lost(&fast, &slow), Vec::<String>::new(), "{value}");
    }
}

/// Words and characters of all families in any order.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "'",
        "\"",
        "`",
        "(",
        ")",
        "<",
        ">",
        "/",
        "\\",
        "..",
        ".",
        ";",
        "|",
        "&",
        "$",
        "{",
        "}",
        "[",
        "]",
        "=",
        "1",
        "2=2",
        " ",
        "\t",
        "\n",
        "\r\n",
        "+",
        "-",
        "--",
        "#",
        "*",
        "%",
        "%2e",
        "%2f",
        "\\x27",
        "&lt;",
        ":",
        "://",
        "@",
        "@@",
        ",",
        "!",
        "or",
        "and",
        "union",
        "select",
        "sleep",
        "(1=1",
        "from",
        "order by",
        "exec",
        "case when",
        "iif",
        "elt",
        "script",
        "svg",
        "onload",
        "alert",
        "eval",
        "top",
        "document",
        "constructor",
        "javascript:",
        "style",
        "etc/passwd",
        "windows/win.ini",
        "c:",
        "php://",
        "id",
        "ls",
        "cat ",
        "net user",
        "/bin/",
        "{{",
        "${",
        "jndi",
        "7*7",
        "config.",
        "<!entity",
        "<!doctype a system",
        "o:1:\"a\":1:{",
        "http",
        "169.254.169.254",
        "gopher",
        "\u{e9}",
        "\u{ff0e}",
        "\0",
        "a",
        "x",
        "set-cookie:",
        "() {",
        ":;",
        "};",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 1..12).prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn the_scan_loses_nothing_of_pieces_in_any_order(text in pieces()) {
        let (fast, slow) = INSPECTORS.with(Clone::clone);
        for (fast, slow) in everywhere(&fast, &text).iter().zip(&everywhere(&slow, &text)) {
            prop_assert_eq!(lost(fast, slow), Vec::<String>::new(), "{:?}", text);
        }
    }

    #[test]
    fn the_scan_loses_nothing_of_any_text(text in "\\PC{0,60}") {
        let (fast, slow) = INSPECTORS.with(Clone::clone);
        for (fast, slow) in everywhere(&fast, &text).iter().zip(&everywhere(&slow, &text)) {
            prop_assert_eq!(lost(fast, slow), Vec::<String>::new(), "{:?}", text);
        }
    }
}

thread_local! {
    static INSPECTORS: (std::rc::Rc<Inspector>, std::rc::Rc<Inspector>) =
        (std::rc::Rc::new(Inspector::new()), std::rc::Rc::new(Inspector::exhaustive()));
}
