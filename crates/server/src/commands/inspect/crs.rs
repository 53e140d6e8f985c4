//! Rule files of the OWASP Core Rule Set, read from the folder that the user names.

use std::fs;
use std::path::{Path, PathBuf};

use attack::request::Request;
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::load;
use seclang::outcome::Outcome;
use seclang::rule_set::RuleSet;
use seclang::settings::Settings;

use crate::failure::Failure;

/// What the regression requests of the rule set expect of its set-up, over and above the defaults: limits of arguments and files.
const REGRESSION_SET_UP: &str = "SecAction \"id:900300,phase:1,pass,nolog,setvar:tx.max_num_args=255,\
     setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_file_size=64100,\
     setvar:tx.combined_file_sizes=65535\"";

/// Loaded rules with the memory of one thread.
pub(super) struct Crs {
    set: RuleSet,
    scratch: Scratch,
    /// What was said of the last request.
    pub(super) outcome: Outcome,
    /// Rules that were not understood, each in a sentence; those of responses are counted only.
    pub(super) refused: Vec<String>,
    /// How many rules look at responses.
    pub(super) of_responses: usize,
}

impl Crs {
    /// Loads the rules of `folder` at a paranoia level.
    pub(super) fn load(folder: &Path, level: u8, is_regression: bool) -> Result<Self, Failure> {
        let unusable =
            |path: &Path, it: std::io::Error| Failure::unusable(format!("`{}` cannot be read: {it}", path.display()));
        let rules = if folder.join("rules").is_dir() { folder.join("rules") } else { folder.to_owned() };
        let listed = fs::read_dir(&rules).map_err(|it| unusable(&rules, it))?;
        let mut paths: Vec<PathBuf> = listed.filter_map(|it| it.ok().map(|it| it.path())).collect();
        paths.retain(|it| it.extension().is_some_and(|it| it == "conf"));
        paths.sort();
        if paths.is_empty() {
            return Err(Failure::unusable(format!("`{}` holds no rule files (*.conf)", rules.display())));
        }
        let set_ups = ["crs-setup.conf", "crs-setup.conf.example"];
        let folders = [folder, rules.parent().unwrap_or(folder)];
        let set_up = folders.iter().flat_map(|folder| set_ups.map(|it| folder.join(it))).find(|it| it.is_file());
        let mut files = Vec::new();
        if is_regression {
            files.push(("set-up".to_owned(), REGRESSION_SET_UP.to_owned()));
        }
        for path in set_up.into_iter().chain(paths) {
            let text = fs::read_to_string(&path).map_err(|it| unusable(&path, it))?;
            files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|it| (it.0.as_str(), it.1.as_str())).collect();
        let data = |name: &str| fs::read_to_string(rules.join(name)).ok();
        let settings = Settings { paranoia_level: Some(level), ..Settings::default() };
        let (set, refused) = load::load(&files, &data, &settings);
        let is_of_response = |it: &&load::Refused| it.reason.starts_with("not evaluated: response");
        Ok(Self {
            of_responses: refused.iter().filter(is_of_response).count(),
            refused: refused
                .iter()
                .filter(|it| !is_of_response(it))
                .map(|it| format!("{}:{}: {}", it.file, it.line, it.reason))
                .collect(),
            set,
            scratch: Scratch::default(),
            outcome: Outcome::default(),
        })
    }

    /// How many rules run.
    pub(super) fn rules(&self) -> usize {
        self.set.len()
    }

    /// Runs the rules over a request.
    pub(super) fn evaluate(&mut self, request: &Request<'_>) -> &Outcome {
        self.set.evaluate(request, None, &Plain, &mut self.scratch, &mut self.outcome);
        &self.outcome
    }

    /// Whether a rule matched the last request.
    pub(super) fn has_matched(&self, id: u32) -> bool {
        self.outcome.matches.iter().any(|it| it.id == id)
    }
}
