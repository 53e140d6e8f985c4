//! What whoever runs the rules may choose.

use std::ops::RangeInclusive;

/// What whoever runs the rules may choose, over and above what the files say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How strict, `1..=4`: rules above are left out. `None`: as the files say, and 1 if they say nothing.
    pub paranoia_level: Option<u8>,
    /// The score from which a request counts as blocked, in points of the rule set; a critical rule adds five.
    /// `None`: as the files say, and 5 if they say nothing.
    pub anomaly_threshold: Option<u32>,
    /// What is not to be looked at, or not by whom.
    pub exclusions: Vec<Exclusion>,
}

/// Rules that shall not run, or not on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// Which rules.
    pub rules: RuleSelector,
    /// The target that they shall not look at, as in a rule: `ARGS:comment`, `REQUEST_COOKIES:/^_ga/`, `REQUEST_BODY`.
    /// `None`: they do not run at all.
    pub target: Option<String>,
}

/// Rules, by what they are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSelector {
    /// By their ids.
    Ids(RangeInclusive<u32>),
    /// By a tag, whole and in any case, such as `attack-sqli`.
    Tag(String),
    /// By a part of the message, as it is written in the rule.
    Message(String),
}
