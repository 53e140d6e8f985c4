//! `bartizan config`.

use std::collections::BTreeSet;

use lexopt::prelude::*;

use super::flags::Flags;
use crate::client::Reply;
use crate::config::Config;
use crate::config::keys::KEYS;
use crate::core::admin_key_of_environment;
use crate::failure::Failure;
use crate::remote::key_of;
use crate::ruleset::Selection;
use crate::terminal;

/// The input of those who come without a key.
const ANONYMOUS: &str = "anonymous";

const HELP: &str = "\
Checks and shows the configuration: `bartizan.toml` in this folder or --config FILE, then the environment, then flags.

  bartizan config check [--config FILE]
  bartizan config show [--config FILE]     what it resolved to, and where each value came from
  bartizan config keys                     every key, with its default and what it is for
";

/// Refuses a name among `decisions.spoofable_inputs` that no input has: a typo would let forged events block people.
fn check_inputs(flags: &Flags, config: &Config) -> Result<(), Failure> {
    let mut known: BTreeSet<String> = [ANONYMOUS, gateway::record::INPUT].map(str::to_owned).into();
    known.extend(config.watch.iter().map(|it| it.display().to_string()));
    let (keys, is_whole) = keys_of(flags, config);
    known.extend(keys);
    let Some(unknown) = config.decisions.spoofable.iter().find(|it| !known.contains(*it)) else { return Ok(()) };
    let there: Vec<_> = known.into_iter().collect();
    let message = format!(
        "`decisions.spoofable_inputs` names `{unknown}`, and there is no such input; there are {}",
        there.join(", ")
    );
    if is_whole {
        return Err(Failure::usage(format!("{message}. The key of an input must be made before it is named")));
    }
    terminal::complain(&format!("bartizan: {message}, and keys that could not be looked up"));
    Ok(())
}

/// The names of the keys, and whether these are all.
fn keys_of(flags: &Flags, config: &Config) -> (Vec<String>, bool) {
    if !config.data.exists() {
        return (Vec::new(), true);
    }
    let asked = flags.client().and_then(|client| {
        let reply = client.get("/v1/keys").and_then(Reply::expect_success);
        client.finish();
        Ok(reply?.json())
    });
    let Ok(reply) = asked else { return (Vec::new(), false) };
    let items = reply["items"].as_array().into_iter().flatten();
    (items.filter_map(|it| it["name"].as_str().map(str::to_owned)).collect(), true)
}

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
            check_inputs(&flags, &config)?;
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
