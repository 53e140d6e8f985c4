//! The OWASP Core Rule Set over labelled and single requests.

use std::path::Path;

use attack::request::Request;
use seclang::detectors::Plain;
use seclang::evaluate::Scratch;
use seclang::outcome::Outcome;
use seclang::rule_set::RuleSet;
use seclang::settings::Settings;

use crate::crs;
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
        let settings = Settings { paranoia_level: Some(level), ..Settings::default() };
        let first = is_regression.then_some(("set-up", REGRESSION_SET_UP));
        let crs::Loaded { set, refused, of_responses } = crs::load(folder, first, &settings)?;
        Ok(Self { set, refused, of_responses, scratch: Scratch::default(), outcome: Outcome::default() })
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
