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
