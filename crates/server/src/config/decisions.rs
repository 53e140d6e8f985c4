//! The section `[decisions]`: what holds decisions back, and who is never blocked.

use std::collections::BTreeSet;

use decision::admission::Brakes;
use model::network::Network;

use super::Raw;
use crate::failure::Failure;

/// What holds decisions back.
#[derive(Clone, Debug)]
pub(crate) struct DecisionsConfig {
    /// Who is never blocked, and why.
    pub(crate) spared: Vec<(Network, String)>,
    pub(crate) spares_local: bool,
    pub(crate) brakes: Brakes,
    /// Inputs through which anybody may claim any address.
    pub(crate) spoofable: BTreeSet<String>,
}

impl Raw {
    pub(super) fn decisions(&self) -> Result<DecisionsConfig, Failure> {
        let lines = |text: &str| text.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let networks = |name: &str| {
            let read =
                |it: &str| it.lines().filter(|it| !it.is_empty()).map(Network::parse).collect::<Option<Vec<_>>>();
            self.get(name, read)
        };
        let named = |networks: Vec<Network>, why: &str| networks.into_iter().map(|it| (it, why.to_owned())).collect();
        let mut spared: Vec<(Network, String)> =
            named(networks("decisions.never_block")?, "on the list of the configuration");
        spared.extend::<Vec<_>>(named(networks("gateway.trusted_proxies")?, "a trusted proxy"));
        let count = |name: &str| self.get(name, |it| it.parse::<u32>().ok().filter(|it| 0 < *it));
        let percent = |it: &str| it.parse::<f64>().ok().filter(|it| (0.0..=100.0).contains(it));
        let brakes = Brakes {
            per_minute: count("decisions.per_minute")?,
            share: self.get("decisions.share_percent", percent)? / 100.0,
            share_min: count("decisions.share_min")?,
            ..Brakes::default()
        };
        let spoofable: BTreeSet<String> = self.get("decisions.spoofable_inputs", |it| Some(lines(it)))?;
        let spares_local = self.get("decisions.spare_local", |it| it.parse().ok())?;
        Ok(DecisionsConfig { spared, spares_local, brakes, spoofable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DecisionsConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.toml");
        std::fs::write(&path, text).unwrap();
        Raw::read(Some(&path), std::iter::empty()).and_then(|it| it.decisions()).map_err(|it| it.message)
    }

    #[test]
    fn trusted_proxies_and_the_list_are_never_blocked() {
        let config = read(
            "[decisions]\nnever_block = [\"203.0.113.9\"]\nshare_percent = 0.5\n[gateway]\ntrusted_proxies = [\"198.51.100.0/24\"]\n",
        )
        .unwrap();
        let spared: Vec<_> = config.spared.iter().map(|(network, why)| format!("{network}: {why}")).collect();
        assert_eq!(spared, ["203.0.113.9: on the list of the configuration", "198.51.100.0/24: a trusted proxy"]);
        assert_eq!((config.brakes.share, config.brakes.per_minute, config.spares_local), (0.005, 100, true));
        assert!(config.spoofable.contains("anonymous"));
    }

    #[test]
    fn a_complaint_names_the_key() {
        for (text, key) in [
            ("never_block = [\"203.0.113.9/24\"]", "decisions.never_block"),
            ("share_percent = 101", "decisions.share_percent"),
            ("share_percent = \"many\"", "decisions.share_percent"),
            ("per_minute = 0", "decisions.per_minute"),
            ("colour = 1", "decisions.colour"),
        ] {
            let complaint = read(&format!("[decisions]\n{text}\n")).unwrap_err();
            assert!(complaint.contains(key), "{complaint}");
        }
    }
}
