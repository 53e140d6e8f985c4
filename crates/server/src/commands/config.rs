//! `bartizan config`.

use lexopt::prelude::*;

use super::flags::Flags;
use crate::config::keys::KEYS;
use crate::core::admin_key_of_environment;
use crate::failure::Failure;
use crate::remote::key_of;
use crate::ruleset::Selection;
use crate::terminal;

const HELP: &str = "\
Checks and shows the configuration: `bartizan.toml` in this folder or --config FILE, then the environment, then flags.

  bartizan config check [--config FILE]
  bartizan config show [--config FILE]     what it resolved to, and where each value came from
  bartizan config keys                     every key, with its default and what it is for
";

/// Runs `bartizan config`.
pub(crate) fn config(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut listen = None;
    let flags = Flags::read(arguments, HELP, |name, rest| {
        if name == "listen" {
            listen = Some(rest.value()?.string()?);
        }
        Ok(name == "listen")
    })?;
    let Some(mut flags) = flags else { return Ok(0) };
    if let Some(listen) = listen {
        flags.set("server.listen", listen, "--listen");
    }
    match flags.value("of check, show and keys")? {
        "check" => {
            let config = flags.config()?;
            admin_key_of_environment()?;
            Selection::of(&config).read()?;
            let notifier = config.notify.notifier()?;
            config.brokers.resolve(&notifier.targets())?;
            if let Some(remote) = config.gateway.as_ref().and_then(|it| it.remote.as_ref()) {
                key_of(&remote.key)?;
            }
            terminal::print("The configuration is good.\n")?;
        }
        "show" => terminal::print(&flags.raw()?.show())?,
        "keys" => {
            let rows: Vec<_> =
                KEYS.iter().map(|it| vec![it.path.to_owned(), it.default.to_owned(), it.about.to_owned()]).collect();
            terminal::print(&terminal::table(&["KEY", "DEFAULT", "WHAT IT IS FOR"], &rows))?;
        }
        _ => return Err(Failure::usage(HELP)),
    }
    Ok(0)
}
