//! `bartizan setup`: finds the logs on this host, shows what they would have alerted, writes the configuration when told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detection::rules::EngineSettings;
use lexopt::prelude::*;
use model::severity::Severity;

use super::scan;
use crate::failure::Failure;
use crate::folder::Folder;
use crate::ruleset::Selection;
use crate::terminal;

const HELP: &str = "\
Finds the logs of nginx, Apache, Caddy and sshd on this host and shows what they would have alerted.

  bartizan setup [--write FILE] [--root DIR]

  --write FILE  writes the configuration that follows them, as bartizan.toml
  --root DIR    looks below DIR instead of /
";
/// Where logs lie on the usual systems, and whose they are.
const PLACES: [(&str, &str); 10] = [
    ("nginx", "var/log/nginx/access.log"),
    ("nginx", "var/log/nginx/access.log.1"),
    ("Apache", "var/log/apache2/access.log"),
    ("Apache", "var/log/apache2/access.log.1"),
    ("Apache", "var/log/apache2/other_vhosts_access.log"),
    ("Apache", "var/log/httpd/access_log"),
    ("Caddy", "var/log/caddy/access.log"),
    ("sshd", "var/log/auth.log"),
    ("sshd", "var/log/auth.log.1"),
    ("sshd", "var/log/secure"),
];

/// Runs `bartizan setup`.
pub(crate) fn setup(mut arguments: lexopt::Parser) -> Result<u8, Failure> {
    let (mut root, mut target) = (PathBuf::from("/"), None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => {
                terminal::print(HELP)?;
                return Ok(0);
            }
            Long("root") => root = arguments.value()?.into(),
            Long("write") => target = Some(PathBuf::from(arguments.value()?)),
            other => return Err(Failure::usage(format!("{}\n\n{HELP}", other.unexpected()))),
        }
    }
    let found: Vec<(&str, PathBuf)> =
        PLACES.iter().map(|(whose, path)| (*whose, root.join(path))).filter(|it| it.1.is_file()).collect();
    if found.is_empty() {
        let places: Vec<_> = PLACES.iter().map(|it| root.join(it.1).display().to_string()).collect();
        terminal::print(&format!(
            "Found none of these logs:\n  {}\nFollow another with: bartizan up --watch FILE\n",
            places.join("\n  ")
        ))?;
        return Ok(0);
    }
    let mut readable = Vec::new();
    for (whose, path) in &found {
        match show(whose, path) {
            Ok(text) => {
                terminal::print(&text)?;
                readable.push(path.clone());
            }
            Err(failure) => terminal::print(&format!("{whose}: {failure}; run as somebody who may read it\n"))?,
        }
    }
    // Rotated files are history: they are shown, and not followed.
    let followed: Vec<_> = readable.iter().filter(|it| it.extension().is_none_or(|it| it != "1")).collect();
    match target {
        Some(target) => write(&target, &followed),
        None => terminal::print("\nFollow them: bartizan setup --write bartizan.toml && bartizan up\n").map(|()| 0),
    }
}

fn show(whose: &str, path: &Path) -> Result<String, Failure> {
    let selection = Selection {
        has_shipped: true,
        folders: Vec::new(),
        rules_config: None,
        rules_config_later: None,
        settings: EngineSettings::default(),
    };
    let (rules, ..) = selection.read()?.compile();
    let scanned = scan::run(&[path.to_owned()], None, Arc::new(rules))?;
    scanned.unread.iter().for_each(|it| terminal::complain(&terminal::line(it)));
    let mut kinds: BTreeMap<(std::cmp::Reverse<Severity>, &str), u64> = BTreeMap::new();
    for alert in scanned.alerts.values() {
        *kinds.entry((std::cmp::Reverse(alert.severity), &alert.title)).or_default() += 1;
    }
    let mut out = format!(
        "{whose}: {}: {}, {} unreadable\n",
        path.display(),
        terminal::counted(scanned.totals.events, "event"),
        scanned.totals.quarantined
    );
    for ((severity, title), count) in kinds {
        out.push_str(&format!(
            "  would have alerted {}: {} ({})\n",
            terminal::counted(count, "time"),
            terminal::line(title),
            severity.0
        ));
    }
    Ok(out)
}

fn write(target: &Path, followed: &[&PathBuf]) -> Result<u8, Failure> {
    if fs::exists(target).unwrap_or(true) {
        return Err(Failure::usage(format!(
            "`{}` is there already; name another file, or move it away",
            target.display()
        )));
    }
    let list: Vec<String> = followed.iter().map(|it| format!("    {:?},\n", it.display().to_string())).collect();
    Folder::write_private(target, &format!("[inputs]\nwatch = [\n{}]\n", list.concat()))?;
    terminal::print(&format!("Wrote {}. Start with: bartizan up --config {}\n", target.display(), target.display()))?;
    Ok(0)
}
