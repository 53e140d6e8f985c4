//! `bartizan data`.

use std::time::Duration;

use outbound::target::Target;
use pipeline::ingest::now;

use super::flags::Flags;
use crate::config::Config;
use crate::failure::Failure;
use crate::lists::{self, Fetched, LIST_BYTES_MAX, LISTS, List};
use crate::terminal;

const HELP: &str = "\
Fetches lists that others maintain. The product works without them.

  bartizan data list [--data DIR]          what can be fetched, and what is there
  bartizan data fetch NAME [--data DIR]    fetches a list; shows source, licence, size and SHA-256 before it is kept

A list is used from the next start on. It comes by https, from where data.crawlers_url says.
";

/// How long the body of a list may take.
const BODY_TIME: Duration = Duration::from_secs(60);

/// Runs `bartizan data`.
pub(crate) fn data(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let Some(flags) = Flags::read(arguments, HELP, |_, _| Ok(false))? else { return Ok(0) };
    let words: Vec<&str> = flags.values.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => list(&flags.config()?),
        ["fetch", name] => {
            let list = LISTS.iter().find(|it| it.name == *name).ok_or_else(|| {
                let names: Vec<&str> = LISTS.iter().map(|it| it.name).collect();
                Failure::usage(format!("there is no list `{name}`; there are {}", names.join(", ")))
            })?;
            fetch(&flags.config()?, list)
        }
        _ => Err(Failure::usage(HELP)),
    }
}

fn list(config: &Config) -> Result<u8, Failure> {
    let row = |list: &List| {
        let kept = match lists::read(&config.data, list.name) {
            Ok(Some(it)) => [it.fetched_at, it.sha256],
            Ok(None) => ["-", "-"].map(str::to_owned),
            Err(reason) => ["unusable".to_owned(), reason],
        };
        let known = [list.name, list.licence, url_of(config, list), list.about].map(str::to_owned);
        known.into_iter().chain(kept).map(|it| terminal::line(&it)).collect()
    };
    let rows: Vec<Vec<String>> = LISTS.iter().map(row).collect();
    terminal::print(&terminal::table(&["NAME", "LICENCE", "SOURCE", "WHAT", "FETCHED", "SHA-256"], &rows))?;
    Ok(0)
}

/// There is one list; each further one has a key of its own.
fn url_of<'a>(config: &'a Config, _list: &List) -> &'a str {
    &config.crawlers_url
}

fn fetch(config: &Config, list: &List) -> Result<u8, Failure> {
    let url = url_of(config, list);
    terminal::print(&format!("source   {}\nlicence  {}\n", terminal::line(url), list.licence))?;
    let content = get(config, url)?;
    let sha256 = lists::digest(&content);
    terminal::print(&format!("size     {} bytes\nsha-256  {sha256}\n", content.len()))?;
    let (patterns, left_out, _) = lists::crawlers_of(&content)
        .map_err(|it| Failure::failed(format!("what came is not kept: {}", terminal::line(&it))))?;
    let fetched = Fetched {
        url: url.to_owned(),
        licence: list.licence.to_owned(),
        fetched_at: now().to_string(),
        sha256,
        content,
    };
    lists::keep(&config.data, list.name, &fetched)?;
    terminal::print(&format!(
        "kept     {} ({patterns} patterns, {left_out} left out); it is used from the next start on\n",
        lists::path_of(&config.data, list.name).display()
    ))?;
    Ok(0)
}

/// Gets a list: only a whole one that was found counts.
fn get(config: &Config, url: &str) -> Result<String, Failure> {
    let target = Target::parse(url).map_err(|it| Failure::usage(format!("the address of the list {it}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
    let client = config.notify.client();
    let reply = runtime.block_on(client.fetch(&target, LIST_BYTES_MAX, BODY_TIME));
    let reply = reply.map_err(|it| Failure::failed(format!("the list cannot be fetched: {it}")))?;
    if reply.status != 200 {
        return Err(Failure::failed(format!("the list cannot be fetched: status {}", reply.status)));
    }
    if reply.is_cut {
        let reason =
            format!("it is larger than {LIST_BYTES_MAX} bytes, or did not come whole in {} s", BODY_TIME.as_secs());
        return Err(Failure::failed(format!("the list cannot be fetched: {reason}")));
    }
    String::from_utf8(reply.body.to_vec()).map_err(|_| Failure::failed("the list cannot be fetched: it is no text"))
}
