//! What people and programs send a lot of, made by the thousand: few of it may be taken for attacks.

use crate::families_tests::{everywhere, pass, report};
use crate::inspector::Inspector;
use crate::request::Header;

/// How many passwords are made.
const PASSWORDS: usize = 30_000;
/// In how many of them an attack may be seen: 0.2 %.
const TAKEN_MAX: usize = PASSWORDS / 500;

/// The next number of a series that is the same in each run.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap_or_default()
}

#[test]
fn random_passwords_pass() {
    let (inspector, mut state) = (Inspector::new(), 42);
    let mut taken = Vec::new();
    for _ in 0..PASSWORDS {
        let length = 8 + next(&mut state) % 25;
        let password: String = (0..length).map(|_| char::from(b'!' + (next(&mut state) % 94) as u8)).collect();
        for report in everywhere(&inspector, &password) {
            if report.is_attack() {
                taken.push((password.clone(), report.findings.iter().map(|it| it.sentence()).collect::<Vec<_>>()));
                break;
            }
        }
    }
    assert!(taken.len() <= TAKEN_MAX, "{} taken: {:#?}", taken.len(), &taken[..taken.len().min(80)]);
}

#[test]
fn random_passwords_pass_as_credentials() {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (inspector, mut state) = (Inspector::new(), 7);
    let mut taken = 0;
    for _ in 0..PASSWORDS {
        let length = 12 + 3 * (next(&mut state) % 8);
        let text: Vec<u8> = (0..length).map(|_| b'!' + (next(&mut state) % 94) as u8).collect();
        let text = [b"user00:ab".as_slice(), &text].concat();
        let number = |it: &[u8]| it.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let digits = text.chunks(3).map(number).flat_map(|it| [18, 12, 6, 0].map(|shift| DIGITS[it >> shift & 63]));
        let value = [b"Basic ".to_vec(), digits.collect()].concat();
        let headers = [Header { name: "Authorization", value: &value }];
        taken += usize::from(report(&inspector, "/", &headers, b"").is_attack());
    }
    assert!(taken <= TAKEN_MAX, "{taken} taken");
}

#[test]
fn markdown_about_commands_passes() {
    const COMMANDS: [&str; 10] = ["ls", "read", "true", "time", "cat", "grep -r", "chmod", "echo", "curl", "sort -u"];
    const LINES: [&str; 20] = [
        "| `X` | shows what is there |",
        "- `X`: needed by the installer",
        "* run `X` and look at the result",
        "Use `X` instead of `cp`, please.",
        "The `X` command is not found on my machine",
        "Does (`X`) work for you?",
        "`X` is in the coreutils package",
        "1. First `X`, then restart the service",
        "What does **`X`** do here?",
        "> quoted: `X` never ends",
        "I tried `X`; it failed with an error.",
        "See the manual page of `X`!",
        "[the page of `X`](https://docs.example/page)",
        "## How `X` works",
        "Replace `foo` with `X` in the script",
        "`foo` or `X`, both are fine",
        "Sometimes `X` hangs, and nobody knows why",
        "| Name | `X` | builtin of the shell |",
        "thanks, `X` was the missing piece",
        "Why is `X` so slow on this disk?",
    ];
    let lines: Vec<_> = COMMANDS.iter().flat_map(|command| LINES.map(|line| line.replace('X', command))).collect();
    pass(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    pass(&["| `read` |", "type `show w'", "x`id", "'#uc1d6"]);
    let inspector = Inspector::new();
    let headers = [Header { name: "Content-Type", value: b"application/json" }];
    for word in ["`true`", "`time`", "see `read`"] {
        let report = report(&inspector, "/", &headers, format!("{{\"text\":\"{word}\"}}").as_bytes());
        assert!(!report.is_attack(), "{report:?}");
    }
}

#[test]
fn what_applications_and_their_people_send_passes() {
    const JSON: &str = "application/json";
    let inspector = Inspector::new();
    let mut taken = Vec::new();
    for (target, kind, body) in [
        ("/api/people?age[$gt]=5&age%5B$lte%5D=60&kind[$in]=a,b&kind[$in][]=c&filter[price][$lt]=10.5", "", ""),
        ("/s/app?_a=(query:(language:kuery,query:'status%20:%20200%20and%20(x%3E5%20or%20y:*)'))", "", ""),
        ("/search?q=a:1+and+(x%3E5+or+y:*)", "", ""),
        ("/s?query=status:200+and+(x%3E5+or+y:*)", "", ""),
        ("/s?query=x:1+and+(y%3E5+or+z:%22a+b%22)+and+not+w:*", "", ""),
        ("/s?query=and+(x%3E5+or+y:*)", "", ""),
        ("/s", JSON, r#"{"kql":"level:error and (took>5 or path:*)","q":"(a>5 or b:*) and c<3"}"#),
        ("/graphql?query=query{search(text:%22it's+on%22){id}}", "", ""),
        ("/graphql?query=mutation{add(name:%22O'Hara%22,age:5){id}}&variables={%22a%22:%22b%22}", "", ""),
        ("/graphql?query=%7Buser(name:%22Anna%22)%7Bid%20posts(first:5)%7Btitle%7D%7D%7D", "", ""),
        ("/graphql?query=query%20Q%20%7B%20user(id:%20%22a-1%22)%20%7B%20name%20%7D%20%7D&operationName=Q", "", ""),
        (
            "/csp",
            "application/csp-report",
            r#"{"csp-report":{"blocked-uri":"inline","script-sample":"document.cookie = 'a=b'","source-file":"https://a.example/x.js"}}"#,
        ),
        (
            "/csp",
            "application/reports+json",
            r#"[{"type":"csp-violation","body":{"sample":"var a=document.cookie;","disposition":"report"}}]"#,
        ),
        (
            "/v1/traces",
            JSON,
            r#"{"attributes":[{"key":"db.statement","value":{"stringValue":"SELECT id, name FROM users WHERE id = $1 AND state = 'on' ORDER BY name LIMIT 10"}}]}"#,
        ),
        ("/log", JSON, r#"{"db.statement":"SELECT * FROM orders WHERE customer_id = ? AND total > 5"}"#),
        (
            "/log",
            JSON,
            r#"{"sql":"SELECT count(*) FROM a JOIN b ON a.id = b.id WHERE a.x = 'y' OR b.z IS NULL GROUP BY a.x"}"#,
        ),
        ("/csp", JSON, r#"{"script-sample":"(function(){document.cookie='x=1';})()"}"#),
        ("/csp", JSON, r#"{"script-sample":"x();document.cookie=\"a=b; path=/\""}"#),
        ("/log", JSON, r#"{"sql":"SELECT a FROM b WHERE c IN (1, 2) UNION ALL SELECT d FROM e"}"#),
        ("/log", JSON, r#"{"sql":"DELETE FROM sessions WHERE expires < NOW()"}"#),
        ("/log", JSON, r#"{"sql":"UPDATE a SET b = 'c' WHERE d = 5"}"#),
        ("/log", JSON, r#"{"sql":"SELECT \"users\".* FROM \"users\" WHERE \"users\".\"id\" = 5 AND 1=1 LIMIT 1"}"#),
        ("/log", JSON, r#"{"sql":"select name from users where name = 'x' or email = 'y' -- find by name"}"#),
        ("/log", JSON, r#"{"sql":"INSERT INTO a (b, c) VALUES ($1, $2) RETURNING id"}"#),
        ("/search?q=what+is+in+/etc/passwd", "", ""),
        ("/search?q=what+does+the+file+/etc/passwd+contain+on+linux%3F", "", ""),
        (
            "/contact",
            "application/x-www-form-urlencoded",
            "message=Please+see+what+I+got+yesterday:%0D%0A%0D%0AFrom:+Anna+Smith%0D%0ATo:+Bob%0D%0ASubject:+Your+order%0D%0A%0D%0AIs+it+so%3F",
        ),
        (
            "/contact",
            "application/x-www-form-urlencoded",
            "message=We+meet+on+Monday+at+ten.%0ALocation:+room+5%0AHost:+Anna",
        ),
    ] {
        let headers = [Header { name: "Content-Type", value: kind.as_bytes() }];
        let report = report(&inspector, target, &headers[..usize::from(!kind.is_empty())], body.as_bytes());
        if report.is_attack() {
            taken.push((target, body, report.findings.iter().map(|it| it.sentence()).collect::<Vec<_>>()));
        }
    }
    assert!(taken.is_empty(), "{} taken: {taken:#?}", taken.len());
}

#[test]
fn attacks_that_look_like_those_are_found() {
    let inspector = Inspector::new();
    for target in [
        "/login?password[$gt]=a",
        "/login?user%5B$gt%5D=0",
        "/api/people?age[$gt]=",
        "/api/people?age[$ne]=5",
        "/api/people?name[$regex]=a",
        "/api/people?age[$where]=1",
        "/api/people?age[$gt]=%27%20or%201=1--",
        "/get?file=/etc/passwd",
        "/get?file=a+b+c+../../../etc/passwd",
        "/get?q=%3Bcat+/etc/passwd",
        "/mail?to=a@x.example%0D%0ABcc:+b@x.example",
        "/mail?to=We+meet+on+Monday+at+ten%0D%0ASet-Cookie:+a=b",
        "/q?x=%22;document.cookie=1;//",
    ] {
        let report = report(&inspector, target, &[], b"");
        assert!(report.is_attack(), "{target}: {report:?}");
    }
}
