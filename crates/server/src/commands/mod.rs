//! The commands, one file a subject, and the one place where they are told apart.

pub(crate) mod alerts;
pub(crate) mod bouncers;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod decisions;
pub(crate) mod deliveries;
pub(crate) mod demo;
pub(crate) mod enforce;
pub(crate) mod except;
pub(crate) mod flags;
pub(crate) mod fsck;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod notify;
pub(crate) mod quarantine;
pub(crate) mod request;
pub(crate) mod rules;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod setup;

use lexopt::prelude::*;

use crate::failure::Failure;
use crate::terminal;

const HELP: &str = "\
Bartizan watches HTTP traffic, logs and cloud audit trails, and says who attacks and why it thinks so.

Usage: bartizan COMMAND [OPTIONS]      (bartizan COMMAND --help says more)

  up            start everything in one process
  gateway       the same with a reverse proxy that inspects what it forwards
  demo          the same, fed with generated, labelled traffic
  setup         find the logs on this host, show what they would have alerted, write the configuration
  scan          run the rules over files, without a server and without a folder

  alerts        the newest alerts
  why           what an alert rests on, or why a request was blocked, in plain words
  except        hide what inspection found, where it found it; shows first what else that would hide
  decisions     who is kept out: list, add, remove, explain, go live
  never-block   who is never blocked
  bouncers      who pulls decisions: when, how late, what it dropped
  enforce       puts decisions into the nftables of this host
  export        all alerts as NDJSON or CSV
  quarantine    what could not be read: list, show, replay
  notify        destinations of messages: list them, try one out
  deliveries    messages that wait or are dead letters: list, replay
  login-link    a link that opens the page in a browser, once
  key           make, list and revoke access keys
  rules         check rule files; try one rule on one event
  inspect       what HTTP inspection finds in a request, and in files of labelled ones
  config        check and show the configuration
  data          lists that others maintain: list, fetch
  fsck          look for damage in a data folder

Exit codes: 0 done, 1 failed while running, 10 --fail-on met, 64 bad usage or configuration, 74 folder or file unusable.
";

/// Runs the command that the arguments name; returns the exit code.
pub(crate) fn dispatch() -> Result<u8, Failure> {
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        None | Some(Short('h') | Long("help")) => {
            terminal::print(HELP)?;
            return Ok(0);
        }
        Some(Short('V') | Long("version")) => {
            terminal::print(&format!("bartizan {}\n", env!("CARGO_PKG_VERSION")))?;
            return Ok(0);
        }
        Some(Value(it)) => it.to_string_lossy().into_owned(),
        Some(other) => return Err(other.unexpected().into()),
    };
    match command.as_str() {
        "up" => serve::up(arguments),
        "gateway" => serve::gateway(arguments),
        "demo" => serve::demo(arguments),
        "setup" => setup::setup(arguments),
        "scan" => scan::scan(arguments),
        "alerts" => alerts::alerts(arguments),
        "why" => alerts::why(arguments),
        "except" => except::except(arguments),
        "data" => data::data(arguments),
        "decisions" => decisions::decisions(arguments),
        "bouncers" => bouncers::bouncers(arguments),
        "enforce" => enforce::enforce(arguments),
        "never-block" => decisions::never_block(arguments),
        "export" => alerts::export(arguments),
        "quarantine" => quarantine::quarantine(arguments),
        "notify" => notify::notify(arguments),
        "deliveries" => deliveries::deliveries(arguments),
        "login-link" => keys::login_link(arguments),
        "key" => keys::key(arguments),
        "rules" => rules::rules(arguments),
        "inspect" => inspect::inspect(arguments),
        "config" => config::config(arguments),
        "fsck" => fsck::fsck(arguments),
        "help" => terminal::print(HELP).map(|()| 0),
        other => Err(Failure::usage(format!("there is no command `{other}`; `bartizan help` lists what there is"))),
    }
}
