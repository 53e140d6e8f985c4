//! Which decisions a client of the CrowdSec local API asks for. Unknown parameters are passed over, as there.

use std::net::IpAddr;

use decision::set::Entry;
use model::decision::{Measure, Target};
use model::network::Network;
use web::query::decode;

use super::wire::{is_known, scenario, scope};

/// How many words a list may have; further ones are not looked at.
const WORDS_MAX: usize = 100;

/// The parameters of a request, decoded; of a repeated one the last counts.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn of(query: &str) -> Self {
        let pairs = query.split('&').filter(|it| !it.is_empty()).take(WORDS_MAX);
        Self(
            pairs
                .map(|it| it.split_once('=').unwrap_or((it, "")))
                .map(|(name, value)| (decode(name, true), decode(value, true)))
                .collect(),
        )
    }

    /// A parameter that says something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|it| it.0 == name).map(|it| it.1.as_str()).filter(|it| !it.is_empty())
    }

    /// A list in lower case; of the first of `names` that is given.
    fn words(&self, names: &[&str]) -> Option<Vec<String>> {
        let text = names.iter().find_map(|it| self.get(it))?;
        Some(text.split(',').map(|it| it.trim().to_lowercase()).filter(|it| !it.is_empty()).take(WORDS_MAX).collect())
    }
}

/// Which decisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    scopes: Option<Vec<String>>,
    origins: Option<Vec<String>>,
    types: Option<Vec<String>>,
    containing: Option<Vec<String>>,
    not_containing: Vec<String>,
    value: Option<String>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// Everything.
    All,
    /// What holds all of a network.
    Holding(Network),
    /// What lies in a network.
    Within(Network),
}

impl Filter {
    /// Reads what the stream takes.
    pub(crate) fn of_stream(parameters: &Parameters) -> Self {
        Self {
            scopes: parameters.words(&["scopes", "scope"]),
            origins: parameters.words(&["origins", "origin"]),
            types: parameters.words(&["type", "types"]),
            containing: parameters.words(&["scenarios_containing"]),
            not_containing: parameters.words(&["scenarios_not_containing"]).unwrap_or_default(),
            value: None,
        }
    }

    /// Reads what a question takes.
    pub(crate) fn of_question(parameters: &Parameters) -> Self {
        let value = parameters.get("value").map(|it| {
            // Whoever writes an address in another way means the same.
            Network::parse(it).map_or_else(|| it.to_owned(), |it| it.to_string())
        });
        Self { value, ..Self::of_stream(parameters) }
    }

    /// Whether a decision is asked for.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        self.takes_scope(&entry.target)
            && self.takes_measure(entry.measure)
            && self.origins.as_ref().is_none_or(|it| it.iter().any(|it| it == entry.origin.as_str()))
            && self.takes_scenario(entry)
            && self.value.as_ref().is_none_or(|it| *it == entry.target.to_string())
    }

    /// Whether addresses as such are asked for.
    pub(crate) fn takes_addresses(&self) -> bool {
        self.scopes.as_ref().is_none_or(|it| it.iter().any(|it| it == "ip"))
    }

    fn takes_scope(&self, target: &Target) -> bool {
        match &self.scopes {
            None => matches!(target, Target::Network(_)),
            Some(scopes) => {
                let word = scope(target).to_lowercase();
                let is_user = matches!(target, Target::User(_));
                scopes.iter().any(|it| *it == word || (is_user && it == "username"))
            }
        }
    }

    fn takes_measure(&self, measure: Measure) -> bool {
        match &self.types {
            None => is_known(measure),
            Some(types) => types.iter().any(|it| it == measure.as_str()),
        }
    }

    fn takes_scenario(&self, entry: &Entry) -> bool {
        if self.containing.is_none() && self.not_containing.is_empty() {
            return true;
        }
        let scenario = scenario(entry).to_lowercase();
        self.containing.as_ref().is_none_or(|it| it.iter().any(|it| scenario.contains(it)))
            && !self.not_containing.iter().any(|it| scenario.contains(it))
    }
}

/// What `ip`, `range` and `contains` say.
///
/// # Errors
///
/// What is no address or range, in a sentence.
pub(crate) fn about(parameters: &Parameters) -> Result<About, String> {
    let is_holding = parameters.get("contains") != Some("false");
    let network = match (parameters.get("ip"), parameters.get("range")) {
        (Some(text), _) => text.parse::<IpAddr>().ok().map(Network::of).ok_or_else(|| unreadable(text)),
        (None, Some(text)) => range(text).ok_or_else(|| unreadable(text)),
        (None, None) => return Ok(About::All),
    }?;
    Ok(if is_holding { About::Holding(network) } else { About::Within(network) })
}

/// Reads a range; bits behind its prefix are passed over, as CrowdSec does.
fn range(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |it| (it.0, Some(it.1)));
    let address: IpAddr = address.parse().ok()?;
    match prefix {
        None => Some(Network::of(address)),
        Some(prefix) => Network::around(address, prefix.parse().ok()?),
    }
}

fn unreadable(text: &str) -> String {
    let shown: String = text.chars().take(100).collect();
    format!("unable to convert '{}': invalid ip address / range", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<About, &str>) {
        assert_eq!(about(&Parameters::of(query)), expected.map_err(str::to_owned), "{query}");
    }

    #[test]
    fn what_is_no_address_is_refused_in_a_sentence() {
        let network = |it: &str| Network::parse(it).unwrap();
        check("", Ok(About::All));
        check("ip=192.0.2.1", Ok(About::Holding(network("192.0.2.1"))));
        check("ip=%3A%3Affff%3A192.0.2.1", Ok(About::Holding(network("192.0.2.1"))));
        check("ip=192.0.2.1&contains=false", Ok(About::Within(network("192.0.2.1"))));
        check("range=192.0.2.77/24", Ok(About::Holding(network("192.0.2.0/24"))));
        check("ip=notanip", Err("unable to convert 'notanip': invalid ip address / range"));
        check("range=192.0.2.0/33", Err("unable to convert '192.0.2.0/33': invalid ip address / range"));
        check("ip=192.0.2.0/24", Err("unable to convert '192.0.2.0/24': invalid ip address / range"));
        check("ip=a%0Ab", Err("unable to convert 'a\\nb': invalid ip address / range"));
    }
}
