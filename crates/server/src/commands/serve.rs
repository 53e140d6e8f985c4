//! `bartizan up`, `bartizan gateway` and `bartizan demo`.

use std::sync::Arc;

use lexopt::prelude::*;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, Raw};
use crate::failure::Failure;
use crate::terminal;
use crate::up::{Options, run};

const UP_HELP: &str = "\
Starts everything in one process, on embedded backends in a data folder.

  bartizan up [--data DIR] [--listen ADDR:PORT] [--config FILE] [--watch FILE]... [--rules DIR]...
              [--no-shipped-rules] [--rules-config FILE] [--role ROLE[,ROLE]]

  --data DIR           where everything is kept                      (./bartizan-data)
  --listen ADDR:PORT   where the page and the API are                (127.0.0.1:7070)
  --watch FILE         follows a log file; its format is found out
  --rules DIR          adds a folder of Sigma rules
  --rules-config FILE  state and severity of rules                   (rules.toml beside the configuration)
  --no-shipped-rules   leaves the shipped rules out
  --config FILE        reads this configuration                      (bartizan.toml in this folder, if there)
  --role ROLE          all six, or leave it out: gateway, ingest, detect, lead, notify, console. In this
                       version one process runs every role, also with a broker and a database

SIGTERM and Ctrl-C let everything finish; a second one ends at once.
";
const GATEWAY_HELP: &str = "\
The same server as `bartizan up`, with a reverse proxy that inspects each request, enforces decisions and tells what it saw.

  bartizan gateway --upstream URL [--data DIR] [--gateway-listen ADDR:PORT] [--listen ADDR:PORT] [OPTIONS OF up]

  --upstream URL              where requests go: http://HOST:PORT or https://HOST:PORT; several take turns
  --gateway-listen ADDR:PORT  where the traffic comes in                (127.0.0.1:8080)

More is in the section `[gateway]` of the configuration; `bartizan config keys` lists it.
";
const DEMO_HELP: &str = "\
The same server as `bartizan up`, fed with generated, labelled traffic: quiet users, a brute force, a scan, an injection
attempt, a flood. Everything that comes of it is marked synthetic.

  bartizan demo [--data DIR] [--listen ADDR:PORT]      and the other options of `bartizan up`

  --data DIR           where everything is kept                      (./bartizan-demo: apart from your own data)
  --listen ADDR:PORT   where the page and the API are                (127.0.0.1:7070)

Other commands find it with --data bartizan-demo, as in: bartizan alerts --data bartizan-demo
";
/// The roles there are; one process runs them all.
const ROLES: [&str; 6] = ["gateway", "ingest", "detect", "lead", "notify", "console"];

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Up,
    Gateway,
    Demo,
}

/// Runs `bartizan up`.
pub(crate) fn up(arguments: lexopt::Parser) -> Result<u8, Failure> {
    start(arguments, UP_HELP, Command::Up)
}

/// Runs `bartizan gateway`.
pub(crate) fn gateway(arguments: lexopt::Parser) -> Result<u8, Failure> {
    start(arguments, GATEWAY_HELP, Command::Gateway)
}

/// Runs `bartizan demo`.
pub(crate) fn demo(arguments: lexopt::Parser) -> Result<u8, Failure> {
    start(arguments, DEMO_HELP, Command::Demo)
}

fn start(mut arguments: lexopt::Parser, help: &str, command: Command) -> Result<u8, Failure> {
    let (mut file, mut flags): (_, Vec<(&'static str, String, &'static str)>) = (None, Vec::new());
    let mut lists: Vec<(&'static str, String, &'static str)> = Vec::new();
    if command == Command::Demo {
        flags.push(("server.data", "bartizan-demo".to_owned(), "demo"));
    }
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => {
                terminal::print(help)?;
                return Ok(0);
            }
            Long("data") => flags.push(("server.data", arguments.value()?.string()?, "--data")),
            Long("listen") => flags.push(("server.listen", arguments.value()?.string()?, "--listen")),
            Long("config") => file = Some(std::path::PathBuf::from(arguments.value()?)),
            Long("watch") => lists.push(("inputs.watch", arguments.value()?.string()?, "--watch")),
            Long("rules") => lists.push(("rules.folders", arguments.value()?.string()?, "--rules")),
            Long("no-shipped-rules") => flags.push(("rules.shipped", "false".to_owned(), "--no-shipped-rules")),
            Long("rules-config") => flags.push(("rules.config", arguments.value()?.string()?, "--rules-config")),
            Long("upstream") => lists.push(("gateway.upstream", arguments.value()?.string()?, "--upstream")),
            Long("gateway-listen") => {
                flags.push(("gateway.listen", arguments.value()?.string()?, "--gateway-listen"));
            }
            Long("role") => check_roles(&arguments.value()?.string()?)?,
            other => return Err(Failure::usage(format!("{}\n\n{help}", other.unexpected()))),
        }
    }
    let reread = move || {
        let mut raw = Raw::read(file.as_deref(), std::env::vars())?;
        flags.iter().for_each(|(key, value, flag)| raw.flag(key, value.clone(), flag));
        lists.iter().for_each(|(key, value, flag)| raw.add(key, value, flag));
        Ok::<_, Failure>(raw)
    };
    let config = reread()?.resolve()?;
    if command == Command::Gateway && config.gateway.is_none() {
        return Err(Failure::usage(format!("say where requests go with `--upstream URL`\n\n{GATEWAY_HELP}")));
    }
    log_to_stderr(&config);
    run(Options { config, is_demo: command == Command::Demo, reread: Arc::new(reread) })?;
    Ok(0)
}

/// On the embedded backends one process runs every role; a part of them would leave the others undone.
fn check_roles(text: &str) -> Result<(), Failure> {
    let roles: Vec<&str> = text.split(',').collect();
    if let Some(unknown) = roles.iter().find(|it| !ROLES.contains(it)) {
        return Err(Failure::usage(format!("there is no role `{unknown}`; there are {}", ROLES.join(", "))));
    }
    if roles.len() < ROLES.len() {
        return Err(Failure::usage(
            "the embedded backends belong to one process, which runs every role: leave `--role` out",
        ));
    }
    Ok(())
}

/// Crates that speak with brokers: their log has whole messages, and passwords as they go over the wire. What matters of it we
/// say ourselves.
const SILENT: [&str; 4] = ["lapin", "amq_protocol", "tcp_stream", "async_rs"];

/// Whether what is logged under this target, the path of a module, may be written, whatever `BARTIZAN_LOG` says.
fn may_speak(target: &str) -> bool {
    let of_crate = target.split("::").next().unwrap_or_default();
    !SILENT.iter().any(|it| of_crate.starts_with(it))
}

/// Sends our own log to stderr: a line an event, control characters escaped.
pub(crate) fn log_to_stderr(config: &Config) {
    let filter = EnvFilter::try_from_env("BARTIZAN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written is lost. To complain of it, where the log file is on a disk that is full, would be a panic.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false);
    let speaks = filter_fn(|it| may_speak(it.target()));
    if config.is_json_log { builder.json().finish().with(speaks).init() } else { builder.finish().with(speaks).init() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_with_brokers_says_nothing() {
        for (target, expected) in [
            ("bartizan::up", true),
            ("outbound::amqp::broker", true),
            ("", true),
            ("lapin", false),
            ("lapin::io_loop", false),
            ("amq_protocol_types::value", false),
            ("tcp_stream", false),
        ] {
            assert_eq!(may_speak(target), expected, "{target}");
        }
    }
}
