//! The binary `bartizan`: command line, configuration, the listener, assembly.

mod actions;
mod bouncers;
mod brokers;
mod client;
mod commands;
mod config;
mod core;
mod crawlers;
mod crs;
mod exceptions;
mod failure;
mod folder;
mod follow;
mod greeting;
mod history;
mod http;
mod in_force;
mod lists;
mod own_addresses;
mod proposal;
mod proxy;
mod remote;
mod ruleset;
mod status;
mod terminal;
mod units;
mod up;
mod upkeep;

use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::dispatch() {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal::complain(&format!("bartizan: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}
