//! Sends the load that `bench/run` measures, and answers as the bare handler it is compared with.
//!
//! Every command prints one JSON object on stdout. It judges nothing: targets are `bench/run`'s business.

use std::process::ExitCode;

mod access;
mod arguments;
mod bare;
mod batches;
mod calendar;
mod client;
mod disk;
mod headline;
mod readers;
mod report;
mod singles;

use arguments::Arguments;

const HELP: &str = "\
bartizan-load COMMAND [--NAME VALUE]...

  bare      --listen ADDR --answer FILE --type TYPE       answers every request with the bytes of a file
  disk      --folder DIR --seconds S                      4 KiB written and fdatasync, over and over
  singles   --to ADDR --key K --connections N --seconds S [--rate R]
                                                          POST /logs, one event a request
  batches   --to ADDR --key K --shape access|keys|network|flood --events N [--first N] [--rate R] [--log FILE]
            [--connections N] [--batch N]                 POST /v1/events, NDJSON
  readers   --to ADDR --key K --connections N --seconds S --path PATH [--confirm ADDR] [--first N]
                                                          GET; with --confirm every answer must hold the last
                                                          alert that a reader has seen there
  headline  --to ADDR --key K --connections N --rate R --seconds S [--probes R] [--first N]
                                                          from the sending of the event that completes an alert
                                                          until a reader sees it, under load
  log       --output FILE [--log FILE --bytes N]          an access log: generated, or one repeated to N bytes
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let done = Arguments::read(words).and_then(|arguments| run(&command, &arguments));
    match done {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("bartizan-load {command}: {complaint}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; returns its report, or why there is none.
fn run(command: &str, arguments: &Arguments) -> Result<String, String> {
    match command {
        "disk" => return disk::run(arguments),
        "log" => return access::run(arguments),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|it| format!("no threads: {it}"))?;
    runtime.block_on(async {
        match command {
            "bare" => bare::run(arguments).await,
            "singles" => singles::run(arguments).await,
            "batches" => batches::run(arguments).await,
            "readers" => readers::run(arguments).await,
            "headline" => headline::run(arguments).await,
            _ => Err(format!("there is no such command\n\n{HELP}")),
        }
    })
}
