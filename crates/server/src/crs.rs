//! Rule files of the OWASP Core Rule Set, read from the folder that the user names.

use std::fs;
use std::path::{Path, PathBuf};

use seclang::load;
use seclang::rule_set::RuleSet;
use seclang::settings::Settings;

use crate::failure::Failure;

/// Loaded rules, and what of the files does not run.
pub(crate) struct Loaded {
    pub(crate) set: RuleSet,
    /// Rules that were not understood, each in a sentence; those of responses are counted only.
    pub(crate) refused: Vec<String>,
    /// How many rules look at responses.
    pub(crate) of_responses: usize,
}

/// Loads the rules of `folder`; `first` is read before them, as a file of that name and text.
///
/// The rules are the `*.conf` of `folder/rules`, else of `folder` itself; a set-up file lies in `folder` or beside the rules.
///
/// # Errors
///
/// When the folder or a file cannot be read, or there is no rule file.
pub(crate) fn load(folder: &Path, first: Option<(&str, &str)>, settings: &Settings) -> Result<Loaded, Failure> {
    let rules = if folder.join("rules").is_dir() { folder.join("rules") } else { folder.to_owned() };
    let mut files: Vec<(String, String)> = first.into_iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    for path in set_up(folder, &rules).into_iter().chain(rule_files(&rules)?) {
        let text = fs::read_to_string(&path).map_err(|it| unusable(&path, &it))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
    let data = |name: &str| fs::read_to_string(rules.join(name)).ok();
    let (set, refused) = load::load(&files, &data, settings);
    let (of_responses, refused): (Vec<_>, Vec<_>) =
        refused.into_iter().partition(|it| it.reason.starts_with("not evaluated: response"));
    let told = |it: &load::Refused| {
        if it.file == load::OF_SETTINGS {
            return format!("entry {} of `gateway.crs_exclude`: {}", it.line, it.reason);
        }
        format!("{}:{}: {}", it.file, it.line, it.reason)
    };
    Ok(Loaded { set, refused: refused.iter().map(told).collect(), of_responses: of_responses.len() })
}

fn rule_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listed = fs::read_dir(folder).map_err(|it| unusable(folder, &it))?;
    let mut paths: Vec<PathBuf> = listed.filter_map(|it| it.ok().map(|it| it.path())).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "conf"));
    // One that lies among the rules was read already.
    paths.retain(|it| it.file_name().is_none_or(|it| it != "crs-setup.conf"));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::unusable(format!("`{}` holds no rule files (*.conf)", folder.display())));
    }
    Ok(paths)
}

/// The set-up file, the user's before the example.
fn set_up(folder: &Path, rules: &Path) -> Option<PathBuf> {
    let names = ["crs-setup.conf", "crs-setup.conf.example"];
    let folders = [folder, rules.parent().unwrap_or(folder)];
    folders.iter().flat_map(|folder| names.map(|it| folder.join(it))).find(|it| it.is_file())
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::unusable(format!("`{}` cannot be read: {error}", path.display()))
}
