//! The sections `[inputs.NAME]` and `[forward.NAME]`: what is read from brokers, and what is passed on to them.
//!
//! Their keys are the business of those who read and publish, so they are not in the table of keys.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use notification::forward;
use notification::settings::Surroundings;
use outbound::dial::Dialer;
use outbound::guard::{Guard, Range};
use outbound::resolve::System;
use sources::amqp::settings::{self, AmqpInput};

use super::notify::{shown, text_of};
use super::{Raw, Told, shown_value};
use crate::failure::Failure;
use crate::units;

/// The sections whose members are sections with a name of their own.
const SECTIONS: [&str; 2] = ["inputs", "forward"];
/// What is read.
const INPUTS: &str = SECTIONS[0];
/// What is passed on.
const FORWARD: &str = SECTIONS[1];

/// What was said of one such section: by name, then by key.
pub(crate) type Named = BTreeMap<String, BTreeMap<String, Told>>;

/// Brokers: what is read from them, and what is passed on.
#[derive(Clone)]
pub(crate) struct BrokersConfig {
    inputs: settings::Written,
    forward: forward::Written,
    bundle: Option<PathBuf>,
}

/// The settings may hold secrets, so they are not shown.
impl fmt::Debug for BrokersConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BrokersConfig").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}

/// What comes of it: everything is checked.
pub(crate) struct Brokers {
    pub(crate) inputs: Vec<AmqpInput>,
    pub(crate) forwards: Vec<forward::Settings>,
}

impl BrokersConfig {
    /// Follows references to secrets and checks every setting; `published` is where messages of alerts go.
    pub(crate) fn resolve(&self, published: &[String]) -> Result<Brokers, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let around = Surroundings { variable: &variable, duration: &units::duration };
        let dialer = self.dialer();
        let inputs = settings::read(&self.inputs, &variable, &dialer).map_err(|it| Failure::usage(it.to_string()))?;
        let forwards = forward::read(&self.forward, &around, &dialer).map_err(Failure::usage)?;
        let mut targets: Vec<String> = published.to_vec();
        targets.extend(forwards.iter().map(|it| it.publisher.target()));
        match inputs.iter().find(|it| it.exchange_target().is_some_and(|it| targets.contains(&it))) {
            None => Ok(Brokers { inputs, forwards }),
            Some(it) => Err(Failure::usage(format!(
                "`inputs.{}` reads the exchange that is published to: what comes in would go out and come in again, for ever. \
                 Leave one of them out",
                it.name
            ))),
        }
    }

    /// Brokers are named by the operator and lie inside, as upstreams do: whatever their address is, it is meant.
    fn dialer(&self) -> Dialer {
        let everywhere = ["0.0.0.0/0", "::/0"].into_iter().filter_map(Range::parse).collect();
        Dialer::new(Guard::new(everywhere), Arc::new(System), self.bundle.clone())
    }
}

impl Raw {
    /// Takes a member of a section if it is a section of its own; returns whether it was.
    pub(super) fn take_named(
        &mut self,
        shown: &str,
        section: &str,
        name: &str,
        value: &toml::Value,
    ) -> Result<bool, Failure> {
        let Some(section) = SECTIONS.into_iter().find(|it| *it == section) else { return Ok(false) };
        let Some(settings) = value.as_table() else {
            if section == INPUTS {
                return Ok(false);
            }
            let complaint = format!("`{shown}`: `{section}.{name}` must be a section of its own, `[{section}.{name}]`");
            return Err(Failure::usage(complaint));
        };
        for (key, value) in settings {
            let text = text_of(value).ok_or_else(|| {
                let value = shown_value(value);
                Failure::usage(format!(
                    "`{shown}`: `{section}.{name}.{key}` is {value}, and must be a text, a number or a list of texts"
                ))
            })?;
            self.set_named(section, name, key, Told { text, origin: shown.to_owned() });
        }
        Ok(true)
    }

    /// Takes `NAME__KEY` of a variable, if its section has such members; returns whether it has.
    pub(super) fn take_named_variable(&mut self, variable: &str, section: &str, rest: &str, value: &str) -> bool {
        let section = SECTIONS.into_iter().find(|it| it.eq_ignore_ascii_case(section));
        let (Some(section), Some((name, key))) = (section, rest.split_once("__")) else { return false };
        let told = Told { text: value.to_owned(), origin: format!("variable {variable}") };
        self.set_named(section, &name.to_lowercase(), &key.to_lowercase(), told);
        true
    }

    fn set_named(&mut self, section: &'static str, name: &str, key: &str, told: Told) {
        self.named.entry(section).or_default().entry(name.to_owned()).or_default().insert(key.to_owned(), told);
    }

    /// Gathers it; what is wrong with it is said by [`BrokersConfig::resolve`].
    pub(super) fn brokers(&self) -> BrokersConfig {
        let texts =
            |it: &BTreeMap<String, Told>| it.iter().map(|(key, told)| (key.clone(), told.text.clone())).collect();
        let written = |section: &str| {
            let named = self.named.get(section).into_iter().flatten();
            named.map(|(name, it)| (name.clone(), texts(it))).collect()
        };
        BrokersConfig { inputs: written(INPUTS), forward: written(FORWARD), bundle: self.optional_path("outbound.ca") }
    }

    /// The settings, a line each, secrets hidden.
    pub(super) fn show_named(&self) -> String {
        let mut out = String::new();
        for (section, named) in &self.named {
            for (name, settings) in named {
                for (key, told) in settings {
                    let path = format!("{section}.{name}.{key}");
                    out.push_str(&format!("{path:<28} = {:<24} # {}\n", shown(key, &told.text), told.origin));
                }
            }
        }
        out
    }
}
