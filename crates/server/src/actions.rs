//! What is done about alerts, as `rules.toml` says: `[default]` and, for each rule, `action` and `for`.

use std::time::Duration;

use decision::policy::{Action, Policy};
use model::decision::{LASTS_MAX, Measure};
use model::severity::Severity;
use toml::{Table, Value};

use crate::config::shown_value;
use crate::failure::Failure;
use crate::units;

/// The section of `rules.toml` that speaks of all rules.
pub(crate) const SECTION: &str = "default";
/// How long a decision lasts where nothing is said.
const LASTS: Duration = Duration::from_secs(4 * 3600);

/// Reads what is done about alerts from the text of a `rules.toml`, named `shown` in complaints.
pub(crate) fn policy_of(text: &str, shown: &str) -> Result<Policy, Failure> {
    let bad = |message: String| Failure::usage(format!("`{shown}`: {message}"));
    // What is no TOML is complained of by who reads the rest.
    let table: Table = text.parse().map_err(|_| bad("this is no TOML".to_owned()))?;
    let mut policy = Policy::default();
    if let Some(value) = table.get(SECTION) {
        let keys = value.as_table().ok_or_else(|| bad("`default` must be a section: write `[default]`".to_owned()))?;
        let known = ["action", "for", "from"];
        if let Some(key) = keys.keys().find(|it| !known.contains(&it.as_str())) {
            return Err(bad(format!("`default` has no key `{key}`; there are `action`, `for` and `from`")));
        }
        let from = keys.get("from").map_or(Ok(Severity::Medium), |value| {
            let wanted = "must be informational, low, medium, high or critical";
            let found = value.as_str().and_then(Severity::from_word);
            found.ok_or_else(|| bad(format!("`from` of `default` is `{}`, and {wanted}", shown_value(value))))
        })?;
        let ban = Action { measure: Measure::Ban, lasts: LASTS };
        policy.default = action_of(keys, "default").map_err(bad)?.unwrap_or(Some(ban)).map(|it| (from, it));
    }
    for (id, keys) in table.get("rule").and_then(Value::as_table).into_iter().flatten() {
        let Some(keys) = keys.as_table() else { continue };
        if let Some(action) = action_of(keys, id).map_err(bad)? {
            policy.rules.insert(id.clone(), action);
        }
    }
    Ok(policy)
}

/// Reads `action` and `for`; `None` when neither is said.
fn action_of(keys: &Table, of: &str) -> Result<Option<Option<Action>>, String> {
    let lasts = keys.get("for").map(|value| {
        let lasts = value.as_str().and_then(units::duration).filter(|it| 1 <= it.as_secs() && *it <= LASTS_MAX);
        let wanted = "must be a time from 1s to 3650d, as `90s`, `4h` or `14d`";
        lasts.ok_or_else(|| format!("`for` of `{of}` is `{}`, and {wanted}", shown_value(value)))
    });
    let lasts = lasts.transpose()?;
    let Some(value) = keys.get("action") else {
        return Ok(lasts.map(|lasts| Some(Action { measure: Measure::Ban, lasts })));
    };
    let word = value.as_str().unwrap_or_default();
    if word == "none" {
        return Ok(Some(None));
    }
    let wanted = "must be \"ban\", \"throttle\", \"captcha\" or \"none\"";
    let measure = Measure::from_word(word)
        .ok_or_else(|| format!("`action` of `{of}` is `{}`, and {wanted}", shown_value(value)))?;
    Ok(Some(Some(Action { measure, lasts: lasts.unwrap_or(LASTS) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_does_what_it_is_told_and_the_others_what_the_default_says() {
        let text = "[default]\naction = \"throttle\"\nfrom = \"high\"\n[rule.a]\naction = \"ban\"\nfor = \"1h\"\n\
                    [rule.b]\naction = \"none\"\n[rule.c]\nstate = \"off\"\n[rule.d]\nfor = \"90s\"\n";
        let policy = policy_of(text, "x").unwrap();
        let action = |measure, seconds| Action { measure, lasts: Duration::from_secs(seconds) };
        assert_eq!(policy.default, Some((Severity::High, action(Measure::Throttle, 4 * 3600))));
        let expected = [
            ("a".to_owned(), Some(action(Measure::Ban, 3600))),
            ("b".to_owned(), None),
            ("d".to_owned(), Some(action(Measure::Ban, 90))),
        ];
        assert_eq!(policy.rules, expected.into());
        assert_eq!(policy_of("[default]\naction = \"none\"\n", "x").unwrap().default, None);
        assert_eq!(policy_of("", "x").unwrap(), Policy::default());
    }

    #[test]
    fn a_complaint_names_file_rule_and_key() {
        for (text, named) in [
            ("[rule.a]\naction = \"kill\"\n", "`action` of `a`"),
            ("[rule.a]\nfor = \"0s\"\n", "`for` of `a`"),
            ("[rule.a]\nfor = 4\n", "`for` of `a`"),
            ("[default]\nfrom = \"bad\"\n", "`from` of `default`"),
            ("[default]\ncolour = 1\n", "`colour`"),
            ("default = 1\n", "[default]"),
        ] {
            let failure = policy_of(text, "x/rules.toml").unwrap_err();
            assert!(failure.message.contains("x/rules.toml") && failure.message.contains(named), "{}", failure.message);
        }
    }
}
