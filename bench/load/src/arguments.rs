//! The command line: pairs of a name and a value.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// What was asked for, by name.
pub(crate) struct Arguments(HashMap<String, String>);

impl Arguments {
    /// Reads pairs of `--name value`.
    ///
    /// # Errors
    ///
    /// A word that is no name, or a name without a value.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("`{word}` is no name of a setting"))?;
            let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Self(pairs))
    }

    /// Returns the text of `name`, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the value of `name`, which must be given.
    ///
    /// # Errors
    ///
    /// It is missing, or not of this kind.
    pub(crate) fn need<T: FromStr>(&self, name: &str) -> Result<T, String> {
        self.find(name)?.ok_or_else(|| format!("`--{name}` is missing"))
    }

    /// Returns the value of `name`, if it was given.
    ///
    /// # Errors
    ///
    /// It is not of this kind.
    pub(crate) fn find<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("`--{name}` cannot be `{text}`"))
    }

    /// Returns the address `--to`.
    ///
    /// # Errors
    ///
    /// It is missing or no address, or it is not this machine: load stays at home.
    pub(crate) fn target(&self) -> Result<SocketAddr, String> {
        let target: SocketAddr = self.need("to")?;
        if target.ip().is_loopback() { Ok(target) } else { Err(format!("`{target}` is not this machine")) }
    }

    /// Returns the time `--seconds`.
    ///
    /// # Errors
    ///
    /// It is missing, or no number above 0.
    pub(crate) fn seconds(&self) -> Result<Duration, String> {
        let seconds: f64 = self.need("seconds")?;
        Duration::try_from_secs_f64(seconds).map_err(|it| format!("`--seconds` cannot be `{seconds}`: {it}"))
    }
}
