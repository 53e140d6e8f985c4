//! What keeps the house in order and no compiler sees: who may use whom, what a file may hold, what must be listed.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// Name, pure (may not touch the outside world), may use. The only place where this is said; `ARCHITECTURE.md` shows it.
const CRATES: &[(&str, bool, &[&str])] = &[
    ("model", true, &[]),
    ("sigma", true, &[]),
    ("attack", true, &[]),
    ("seclang", true, &["attack"]),
    ("normalize", true, &["model"]),
    ("detection", true, &["model", "sigma", "attack"]),
    ("decision", true, &["model"]),
    ("backends", false, &["model", "outbound"]),
    ("pipeline", false, &["model", "sigma", "normalize", "detection", "decision", "backends"]),
    ("web", false, &["model"]),
    ("sources", false, &["model", "normalize", "web", "outbound"]),
    ("console", false, &["model", "normalize", "decision", "backends", "pipeline", "web"]),
    ("gateway", false, &["model", "attack", "seclang", "decision"]),
    ("enforcement", false, &["model", "decision", "backends", "web"]),
    ("outbound", false, &[]),
    ("notification", false, &["model", "backends", "outbound"]),
    (
        "server",
        false,
        &[
            "model",
            "sigma",
            "attack",
            "seclang",
            "normalize",
            "detection",
            "decision",
            "backends",
            "pipeline",
            "web",
            "sources",
            "console",
            "gateway",
            "enforcement",
            "outbound",
            "notification",
        ],
    ),
];

/// Crates that would let the outside world in: a runtime, a network, a clock, chance.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "async-trait",
    "getrandom",
    "hyper",
    "hyper-util",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "sqlx",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tracing",
];

/// The longest file of code, in lines. Five hundred is a smell; beyond this nobody becomes sure that it is right.
const LINES_MAX: usize = 1_000;
/// Files that are longer, each with the reason.
const LONGER: &[(&str, &str)] = &[];

/// What speaks of how the project came about, of one machine, or of work not done.
///
/// Each is written in two halves, so that this file does not hold it.
const FORBIDDEN: &[(&str, &str)] = &[
    ("acceptance", " suite"),
    ("helper", " session"),
    ("/work", "/"),
    ("/tmp", "/target-"),
    ("as an AI", " "),
    ("language", " model assistant"),
    ("to", "do!("),
    ("TO", "DO:"),
    ("FIX", "ME"),
    ("XX", "X:"),
];

/// What may not hold forbidden words because it holds text of others.
const NOT_OURS: &[&str] = &["Cargo.lock", "LICENSE"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project, as a path from the root; what is built, kept or hidden is left out.
fn files() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_ours = !name.starts_with(".git") && name != "target" && !name.starts_with("bartizan-");
            match entry.file_type().unwrap() {
                it if !is_ours || it.is_symlink() => {}
                it if it.is_dir() => walk(&entry.path(), found),
                _ => found.push(entry.path()),
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    let mut found: Vec<String> =
        found.iter().map(|it| it.strip_prefix(&root).unwrap().to_string_lossy().into_owned()).collect();
    found.sort();
    found
}

fn manifest_of(name: &str) -> Table {
    read(&format!("crates/{name}/Cargo.toml")).parse().unwrap()
}

#[track_caller]
fn none(offenders: &[String], complaint: &str) {
    assert!(offenders.is_empty(), "{complaint}:\n  {}", offenders.join("\n  "));
}

#[test]
fn crates_use_only_what_they_may() {
    let folders = fs::read_dir(root().join("crates")).unwrap();
    let found: BTreeSet<String> = folders.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    let expected: BTreeSet<String> = CRATES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(found, expected, "add the new crate to CRATES and to ARCHITECTURE.md");
    for (name, pure, may_use) in CRATES {
        let manifest = manifest_of(name);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name), "folder and crate name differ");
        let Some(dependencies) = manifest.get("dependencies").and_then(toml::Value::as_table) else { continue };
        for dependency in dependencies.keys() {
            let is_ours = expected.contains(dependency);
            assert!(!is_ours || may_use.contains(&dependency.as_str()), "`{name}` must not depend on `{dependency}`");
            let is_impure = IMPURE_DEPENDENCIES.contains(&dependency.as_str());
            assert!(!pure || !is_impure, "`{name}` is pure and must not depend on `{dependency}`");
        }
    }
}

#[test]
fn pure_crates_use_only_pure_crates() {
    let is_pure = |name: &str| CRATES.iter().any(|(it, pure, _)| *it == name && *pure);
    for (name, _, may_use) in CRATES.iter().filter(|it| it.1) {
        assert!(may_use.iter().all(|it| is_pure(it)), "`{name}` is pure and may use a crate that is not");
    }
}

#[test]
fn every_crate_takes_the_lints_and_versions_of_the_workspace_and_says_what_it_is() {
    for (name, ..) in CRATES {
        let manifest = manifest_of(name);
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "`{name}` has lints of its own");
        let description = manifest["package"].get("description").and_then(toml::Value::as_str).unwrap_or_default();
        assert!(20 < description.len() && !description.ends_with('.'), "`{name}` is described as `{description}`");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
            for (dependency, value) in dependencies {
                let is_shared = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
                assert!(is_shared, "`{name}` names a version of `{dependency}`; it belongs to the workspace");
            }
        }
    }
}

#[test]
fn pure_crates_forbid_the_outside_world_in_the_same_words() {
    let text_of = |name: &str| read(&format!("crates/{name}/clippy.toml"));
    let model = text_of("model");
    for forbidden in ["SystemTime::now", "Instant::now", "fs::read", "env::var", "thread::spawn"] {
        assert!(model.contains(forbidden), "`{forbidden}` is missing in the clippy.toml of the pure crates");
    }
    for (name, pure, _) in CRATES {
        assert_eq!(text_of(name) == model, *pure, "`{name}`: the clippy.toml says the contrary of CRATES");
    }
}

#[test]
fn the_architecture_shows_every_crate_and_what_it_may_use() {
    let text = read("ARCHITECTURE.md");
    for (name, pure, may_use) in CRATES {
        let kind = if *pure { "pure" } else { "edge" };
        let kind = if *name == "server" { "binary" } else { kind };
        let may_use = if may_use.is_empty() { "-".to_owned() } else { may_use.join(", ") };
        let row = format!("| `{name}` | {kind} | {may_use} |");
        assert!(text.contains(&row), "ARCHITECTURE.md lacks the row `{row}`");
    }
}

#[test]
fn no_file_of_code_is_longer_than_anybody_reads() {
    let is_long = |path: &String| {
        let is_named = LONGER.iter().any(|(it, _)| it == path);
        path.ends_with(".rs") && !is_named && LINES_MAX < read(path).lines().count()
    };
    let offenders: Vec<String> = files().into_iter().filter(is_long).collect();
    none(&offenders, "longer than 1,000 lines; split them, or name them in LONGER with the reason");
}

#[test]
fn files_speak_of_the_product_only() {
    let mut offenders = Vec::new();
    for path in files().iter().filter(|it| !NOT_OURS.contains(&it.as_str())) {
        // What is no text says nothing.
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        for (first, second) in FORBIDDEN {
            let word = format!("{first}{second}");
            let lines = text.lines().enumerate().filter(|it| it.1.contains(&word));
            offenders.extend(lines.map(|(number, _)| format!("{path}:{}: `{word}`", number + 1)));
        }
    }
    none(&offenders, "words that do not belong here");
}

#[test]
fn every_rule_has_tests_and_a_section_and_every_section_a_rule() {
    let files = files();
    let rules: BTreeSet<&str> = files
        .iter()
        .filter_map(|it| it.strip_prefix("rules/")?.strip_suffix(".yml"))
        .filter(|it| !it.ends_with(".test"))
        .collect();
    assert!(20 < rules.len());
    let untested: Vec<String> =
        rules.iter().map(|it| format!("rules/{it}.test.yml")).filter(|it| !files.contains(it)).collect();
    none(&untested, "missing tests of rules");
    let orphans = files.iter().filter_map(|it| it.strip_prefix("rules/")?.strip_suffix(".test.yml"));
    let orphans: Vec<String> = orphans.filter(|it| !rules.contains(it)).map(str::to_owned).collect();
    none(&orphans, "tests of rules that do not exist");

    let readme = read("rules/README.md");
    let names: BTreeSet<&str> = rules.iter().filter_map(|it| it.split('/').next_back()).collect();
    let sections: BTreeSet<&str> = readme
        .lines()
        .filter_map(|it| it.strip_prefix("## "))
        .filter(|it| !it.contains(' ') && *it != "Tests")
        .collect();
    assert_eq!(sections, names, "rules/README.md has a section for each rule and no other");
    let unlisted = names.iter().filter(|it| !readme.contains(&format!("| [{it}](#{it})")));
    none(&unlisted.map(|it| (*it).to_owned()).collect::<Vec<_>>(), "missing in the table of rules/README.md");
}

#[test]
fn every_decision_is_listed() {
    let list = read("docs/adr/README.md");
    let files = files();
    let decisions = files.iter().filter_map(|it| it.strip_prefix("docs/adr/")).filter(|it| *it != "README.md");
    let unlisted: Vec<String> = decisions.filter(|it| !list.contains(&format!("]({it})"))).map(str::to_owned).collect();
    none(&unlisted, "missing in docs/adr/README.md");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut offenders = Vec::new();
    for path in files().iter().filter(|it| it.ends_with(".md")) {
        let folder = Path::new(path).parent().unwrap();
        for link in links_of(&read(path)) {
            let (target, _) = link.split_once('#').unwrap_or((&link, ""));
            let is_outside = link.starts_with("http") || link.starts_with("mailto:");
            if !is_outside && !target.is_empty() && !root().join(folder).join(target).exists() {
                offenders.push(format!("{path}: {link}"));
            }
        }
    }
    none(&offenders, "links that lead nowhere");
}

#[test]
fn documents_that_code_refers_to_exist() {
    let mut offenders = Vec::new();
    for path in files().iter().filter(|it| it.ends_with(".rs") || it.ends_with(".toml")) {
        for (at, _) in read(path).match_indices("docs/") {
            let text = read(path);
            let is_path = |it: char| it.is_ascii_alphanumeric() || "/._-".contains(it);
            let named: String = text[at..].chars().take_while(|it| is_path(*it)).collect();
            let named = named.trim_end_matches('.');
            if named.ends_with(".md") && !root().join(named).exists() {
                offenders.push(format!("{path}: {named}"));
            }
        }
    }
    none(&offenders, "documents that do not exist");
}

/// The targets of `[text](target)`, outside of blocks of code.
fn links_of(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        let targets = line.split("](").skip(1).filter_map(|it| it.split_once(')')).map(|(target, _)| target.to_owned());
        found.extend(targets);
    }
    found
}
