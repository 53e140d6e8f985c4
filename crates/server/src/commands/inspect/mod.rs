//! `bartizan inspect`: what inspection says of one request, and of files of labelled ones.

mod corpus;
mod crs;
mod explain;

use std::path::PathBuf;

use lexopt::prelude::*;

use super::flags::Flags;
use crate::failure::Failure;

const HELP: &str = "\
Says what HTTP inspection finds in a request, and how it was read.

  bartizan inspect URL                       a target or an address, such as '/?id=1%27%20or%201=1'
  bartizan inspect --raw FILE                a request as it was sent, head and body; - is stdin
  bartizan inspect --requests FILE...        files of labelled requests, .jsonl or .jsonl.xz: how many attacks are found, how
                                             many legitimate requests are taken for one, and what an inspection costs

  --crs DIR        rules of the OWASP Core Rule Set beside our own inspection
  --paranoia N     their paranoia level, 1 to 4; by default 1, and 4 for requests that name the rules they expect
  --misses FILE    with --requests: writes what was missed and what was taken for an attack, as JSON lines
  --output json    one JSON object

A line of a file: {\"id\",\"label\":0|1,\"cat\",\"method\",\"uri\",\"proto\",\"headers\":[[name,value]],\"body\":BASE64,\"expect\":[IDS],\"noexpect\":[IDS]}
";

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    raw: Option<PathBuf>,
    requests: bool,
    crs: Option<PathBuf>,
    paranoia: Option<u8>,
    misses: Option<PathBuf>,
}

/// Runs `bartizan inspect`.
pub(crate) fn inspect(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut asked = Asked::default();
    let mut first = None;
    let flags = Flags::read(arguments, HELP, |name, rest| {
        match name {
            "raw" => asked.raw = Some(PathBuf::from(rest.value()?)),
            "crs" => asked.crs = Some(PathBuf::from(rest.value()?)),
            "misses" => asked.misses = Some(PathBuf::from(rest.value()?)),
            "requests" => {
                asked.requests = true;
                first = Some(rest.value()?.string()?);
            }
            "paranoia" => {
                let level = rest.value()?.string()?;
                let parsed = level.parse().ok().filter(|it| (1..=4).contains(it));
                asked.paranoia = Some(
                    parsed.ok_or_else(|| Failure::usage(format!("`--paranoia` is `{level}`, and must be 1 to 4")))?,
                );
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    let files: Vec<String> = first.into_iter().chain(flags.values.iter().cloned()).collect();
    match (asked.requests, &asked.raw, files.as_slice()) {
        (true, None, files) => corpus::run(files, &asked, flags.is_json),
        (false, Some(raw), []) => explain::raw(raw, &asked, flags.is_json),
        (false, None, [target]) => explain::target(target, &asked, flags.is_json),
        _ => Err(Failure::usage(HELP)),
    }
}
