//! The flags that several commands share.

use std::path::PathBuf;

use lexopt::Arg;
use lexopt::prelude::*;

use crate::client::Client;
use crate::config::{Config, Raw};
use crate::failure::Failure;
use crate::terminal;

/// The flags of a command over a data folder: `--data`, `--config`, `--output`, and what the command adds.
pub(crate) struct Flags {
    help: &'static str,
    file: Option<PathBuf>,
    settings: Vec<(&'static str, String, &'static str)>,
    /// Whether the answer is to be JSON.
    pub(crate) is_json: bool,
    /// What is no flag.
    pub(crate) values: Vec<String>,
}

impl Flags {
    /// Reads all arguments; `own` takes what is the command's and says whether it did.
    pub(crate) fn read(
        mut arguments: lexopt::Parser,
        help: &'static str,
        mut own: impl FnMut(&str, &mut lexopt::Parser) -> Result<bool, Failure>,
    ) -> Result<Option<Self>, Failure> {
        let mut flags = Self { help, file: None, settings: Vec::new(), is_json: false, values: Vec::new() };
        while let Some(argument) = arguments.next()? {
            let long = match argument {
                Short('h') => "help".to_owned(),
                Long(name) => name.to_owned(),
                Arg::Value(value) => {
                    flags.values.push(value.string()?);
                    continue;
                }
                Short(_) => return Err(argument.unexpected().into()),
            };
            match long.as_str() {
                "help" => {
                    terminal::print(help)?;
                    return Ok(None);
                }
                "data" => flags.set("server.data", arguments.value()?.string()?, "--data"),
                "config" => flags.file = Some(arguments.value()?.into()),
                name => {
                    if own(name, &mut arguments)? {
                        continue;
                    }
                    if name == "output" {
                        flags.is_json = match arguments.value()?.string()?.as_str() {
                            "json" => true,
                            "text" => false,
                            other => {
                                return Err(Failure::usage(format!(
                                    "`--output` is `{other}`, and must be text or json"
                                )));
                            }
                        };
                        continue;
                    }
                    return Err(Failure::usage(format!("there is no option `--{name}`\n\n{help}")));
                }
            }
        }
        Ok(Some(flags))
    }

    /// Sets a key of the configuration.
    pub(crate) fn set(&mut self, key: &'static str, value: String, flag: &'static str) {
        self.settings.push((key, value, flag));
    }

    /// Reads file and environment, and puts the flags on top.
    pub(crate) fn raw(&self) -> Result<Raw, Failure> {
        let mut raw = Raw::read(self.file.as_deref(), std::env::vars())?;
        for (key, value, flag) in &self.settings {
            raw.flag(key, value.clone(), flag);
        }
        Ok(raw)
    }

    /// The flags that lead another command to the same folder, each with a space before it; empty when there are none.
    pub(crate) fn data_words(&self) -> String {
        let data = self.settings.iter().filter(|it| it.2 == "--data").map(|it| it.1.as_str());
        let file = self.file.iter().filter_map(|it| it.to_str());
        let words = data.map(|it| ("--data", it)).chain(file.map(|it| ("--config", it)));
        words.map(|(flag, word)| format!(" {flag} '{}'", terminal::line(word).replace('\'', "'\\''"))).collect()
    }

    /// The configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        self.raw()?.resolve()
    }

    /// The way to the data folder.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let config = self.config()?;
        Client::of(&config.data, &config)
    }

    /// The only value.
    pub(crate) fn value(&self, what: &str) -> Result<&str, Failure> {
        match self.values.as_slice() {
            [value] => Ok(value),
            _ => Err(Failure::usage(format!("name one {what}\n\n{}", self.help))),
        }
    }

    /// Fails when there are values.
    pub(crate) fn no_values(&self) -> Result<(), Failure> {
        match self.values.first() {
            None => Ok(()),
            Some(value) => Err(Failure::usage(format!("`{value}` is too much\n\n{}", self.help))),
        }
    }
}
