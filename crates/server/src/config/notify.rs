//! The sections `[notify.NAME]`: what is written for each destination, and the notifier that comes of it.
//!
//! Their keys are the channels' business, so they are not in the table of keys.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use backends::store::outbox::OutboxLimits;
use notification::notifier::{Notifier, Written};
use notification::settings::{SECRET_KEYS, Surroundings};
use outbound::client::{Client, Times};
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;

use super::{Raw, Told, shown_value};
use crate::failure::Failure;
use crate::units;

/// The name of the section.
pub(super) const SECTION: &str = "notify";
/// The variable that alone makes the destination `slack`.
const SLACK_VARIABLE: &str = "SLACK_WEBHOOK_URL";
/// The destination that it makes.
const SLACK: &str = "slack";

/// Messages to the outside.
#[derive(Clone)]
pub(crate) struct NotifyConfig {
    written: Written,
    allowed: Vec<Range>,
    bundle: Option<PathBuf>,
    pub(crate) limits: OutboxLimits,
}

/// The settings may hold secrets, so they are not shown.
impl fmt::Debug for NotifyConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NotifyConfig").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl NotifyConfig {
    /// Makes the notifier: follows references to secrets and checks every setting.
    pub(crate) fn notifier(&self) -> Result<Arc<Notifier>, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let around = Surroundings { variable: &variable, duration: &units::duration };
        let notifier = Notifier::new(&self.written, &around, &self.client());
        notifier.map(Arc::new).map_err(|it| Failure::usage(it.to_string()))
    }

    /// A client under the same settings, for what else comes from outside.
    pub(crate) fn client(&self) -> Arc<Client> {
        let dialer =
            Dialer::new(Guard::new(self.allowed.clone()), Arc::new(System), self.bundle.clone()).believing_written();
        Client::new(dialer, Times::default())
    }

    /// A notifier without destinations, for commands that need none.
    pub(crate) fn nobody(&self) -> Result<Arc<Notifier>, Failure> {
        Self { written: Written::new(), ..self.clone() }.notifier()
    }
}

impl Raw {
    /// Takes a member of the section: a destination with its settings.
    pub(super) fn take_destination(&mut self, shown: &str, name: &str, value: &toml::Value) -> Result<(), Failure> {
        let Some(settings) = value.as_table() else {
            return Err(Failure::usage(format!(
                "`{shown}`: `notify.{name}` must be a section of its own, as `[notify.{name}]` with `type = \"slack\"`"
            )));
        };
        for (key, value) in settings {
            let text = text_of(value).ok_or_else(|| {
                let value = shown_value(value);
                Failure::usage(format!(
                    "`{shown}`: `notify.{name}.{key}` is {value}, and must be a text, a number or a list of texts"
                ))
            })?;
            self.set_destination(name, key, text, shown.to_owned());
        }
        Ok(())
    }

    /// Takes `NAME__KEY` of a variable.
    pub(super) fn take_destination_variable(&mut self, variable: &str, rest: &str, value: &str) -> Result<(), Failure> {
        let Some((name, key)) = rest.split_once("__") else {
            return Err(Failure::usage(format!(
                "the variable `{variable}` stands for no key: a setting of a destination is `BARTIZAN_NOTIFY__NAME__KEY`"
            )));
        };
        self.set_destination(
            &name.to_lowercase(),
            &key.to_lowercase(),
            value.to_owned(),
            format!("variable {variable}"),
        );
        Ok(())
    }

    /// Makes the destination `slack` of the variable that several systems have for it, unless there is one.
    pub(super) fn take_slack(&mut self, name: &str, value: &str) {
        if name != SLACK_VARIABLE || value.is_empty() {
            return;
        }
        for (key, text) in [("type", SLACK.to_owned()), ("url", format!("env:{SLACK_VARIABLE}"))] {
            let settings = self.destinations.entry(SLACK.to_owned()).or_default();
            let told = || Told { text, origin: format!("variable {SLACK_VARIABLE}") };
            settings.entry(key.to_owned()).or_insert_with(told);
        }
    }

    fn set_destination(&mut self, name: &str, key: &str, text: String, origin: String) {
        self.destinations.entry(name.to_owned()).or_default().insert(key.to_owned(), Told { text, origin });
    }

    /// Makes it typed; what the channels say of it is said by [`NotifyConfig::notifier`].
    pub(super) fn notify(&self) -> Result<NotifyConfig, Failure> {
        let texts =
            |it: &BTreeMap<String, Told>| it.iter().map(|(key, told)| (key.clone(), told.text.clone())).collect();
        let count = |path: &str| self.get(path, |it| it.parse::<usize>().ok().filter(|it| 0 < *it));
        let ranges = |it: &str| it.lines().filter(|it| !it.is_empty()).map(Range::parse).collect();
        Ok(NotifyConfig {
            written: self.destinations.iter().map(|(name, it)| (name.clone(), texts(it))).collect(),
            allowed: self.get("outbound.allow", ranges)?,
            bundle: self.optional_path("outbound.ca"),
            limits: OutboxLimits {
                age_max: self.get("outbox.keep_waiting", units::duration)?,
                waiting_max: count("outbox.waiting")?,
                dead_age_max: self.get("outbox.keep_dead", units::duration)?,
                dead_max: count("outbox.dead")?,
            },
        })
    }

    /// The settings of the destinations, a line each, secrets hidden.
    pub(super) fn show_destinations(&self) -> String {
        let mut out = String::new();
        for (name, settings) in &self.destinations {
            for (key, told) in settings {
                let path = format!("notify.{name}.{key}");
                out.push_str(&format!("{path:<28} = {:<24} # {}\n", shown(key, &told.text), told.origin));
            }
        }
        out
    }
}

/// A value, unless it is a secret; where one is to be found may be shown.
pub(super) fn shown(key: &str, text: &str) -> String {
    let is_reference = |it: &str| it.starts_with("env:") || it.starts_with("file:");
    if SECRET_KEYS.contains(&key) && !text.lines().all(is_reference) {
        return "\"...\"".to_owned();
    }
    format!("{text:?}")
}

/// Writes a value as the text that a variable of the environment would have; a list has a line for each element.
pub(super) fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(it) => Some(it.clone()),
        toml::Value::Integer(it) => Some(it.to_string()),
        toml::Value::Boolean(it) => Some(it.to_string()),
        toml::Value::Array(them) => {
            let texts: Option<Vec<_>> = them.iter().map(|it| it.as_str()).collect();
            Some(texts?.join("\n"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(file: &str, variables: &[(&str, &str)]) -> Result<Raw, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.toml");
        std::fs::write(&path, file).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Raw::read(Some(&path), variables).map_err(|it| it.message)
    }

    fn notify(file: &str, variables: &[(&str, &str)]) -> Result<NotifyConfig, String> {
        raw(file, variables)?.resolve().map(|it| it.notify).map_err(|it| it.message)
    }

    #[track_caller]
    fn refused(file: &str, expected: &str) {
        let error = notify(file, &[]).and_then(|it| it.notifier().map(|_| ()).map_err(|it| it.message)).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_address_of_slack_alone_is_enough() {
        let config = notify("", &[("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x")]).unwrap();
        assert_eq!(config.written["slack"]["url"], "env:SLACK_WEBHOOK_URL");
        assert!(notify("", &[("SLACK_WEBHOOK_URL", "")]).unwrap().written.is_empty());
        let file = "[notify.slack]\ntype = \"slack\"\nurl = \"https://own.example/\"\n";
        let config = notify(file, &[("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x")]).unwrap();
        assert_eq!(config.written["slack"]["url"], "https://own.example/");
        let file = "[notify.slack]\nmin_severity = \"high\"\n";
        let config = notify(file, &[("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/x")]).unwrap();
        assert_eq!((config.written["slack"].len(), &*config.written["slack"]["type"]), (3, "slack"));
    }

    #[test]
    fn a_setting_may_come_from_the_environment() {
        let file = "[notify.ops]\ntype = \"webhook\"\nurl = \"https://a.example/\"\n";
        let config = notify(file, &[("BARTIZAN_NOTIFY__OPS__URL", "https://b.example/")]).unwrap();
        assert_eq!(config.written["ops"]["url"], "https://b.example/");
        assert!(raw("", &[("BARTIZAN_NOTIFY__OPS", "x")]).unwrap_err().contains("`BARTIZAN_NOTIFY__NAME__KEY`"));
    }

    #[test]
    fn a_mistake_names_the_key() {
        refused(
            "[notify.ops]\nurl = \"https://a.example/\"\n",
            "`notify.ops.type` is missing; it must be one of stdout,",
        );
        refused("[notify.ops]\ntype = \"pager\"\n", "`notify.ops.type` is `pager`, and must be one of stdout,");
        refused("[notify.ops]\ntype = \"slack\"\n", "`notify.ops.url` is missing");
        refused("[notify.ops]\ntype = \"stdout\"\nurgent = true\n", "`notify.ops.urgent` is not known here; there are");
        refused(
            "[notify.ops]\ntype = \"slack\"\nurl = \"env:NO_SUCH_VARIABLE\"\n",
            "names the variable `NO_SUCH_VARIABLE`",
        );
        refused("[notify]\nops = \"slack\"\n", "`notify.ops` must be a section of its own");
        refused("[notify.Ops]\ntype = \"stdout\"\n", "must be called by 1 to 40 of the characters");
        refused("[outbound]\nallow = [\"10.0.0.1/8\"]\n", "`outbound.allow` is `10.0.0.1/8`");
        refused("[outbox]\nwaiting = 0\n", "`outbox.waiting` is `0`");
    }

    #[test]
    fn no_secret_is_shown() {
        let file = "[notify.ops]\ntype = \"webhook\"\nurl = \"https://a.example/canary\"\nsecret = [\"file:/a\", \"env:B\"]\nauthorization = \"canary\"\n";
        let shown = raw(file, &[("SLACK_WEBHOOK_URL", "https://hooks.slack.com/canary")]).unwrap().show();
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("notify.ops.secret            = \"file:/a\\nenv:B\""), "{shown}");
        assert!(shown.contains("notify.slack.url             = \"env:SLACK_WEBHOOK_URL\""), "{shown}");
    }
}
