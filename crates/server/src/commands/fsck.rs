//! `bartizan fsck`.

use std::ops::ControlFlow;

use backends::log::Damage;
use backends::log::embedded::{EmbeddedLog, files};
use backends::store::StoredAlert;
use model::place::PartitionId;
use pipeline::ingest::chain;
use serde_json::json;

use super::flags::Flags;
use crate::config::log::LogPlace;
use crate::core::{Core, WhenAway, open_store};
use crate::failure::{FAILED, Failure};
use crate::folder::Folder;
use crate::terminal;

const HELP: &str = "\
Looks at every byte of a data folder. Exit 0 when it is healthy, 1 when it is not.

  bartizan fsck [--data DIR] [--repair]

`--repair` opens the folder as a server would: torn tails are cut, lost indexes built anew. No server may hold it then.
The data folder is --data DIR, else what the configuration says, else ./bartizan-data.
";

/// Runs `bartizan fsck`.
pub(crate) fn fsck(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let mut is_repair = false;
    let flags = Flags::read(arguments, HELP, |name, _| {
        is_repair |= name == "repair";
        Ok(name == "repair")
    })?;
    let Some(flags) = flags else { return Ok(0) };
    flags.no_values()?;
    let config = flags.config()?;
    let is_held = Folder::is_held(&config.data)?;
    if is_repair {
        if is_held {
            return Err(Failure::unusable(format!("a server works on `{}`; stop it first", config.data.display())));
        }
        drop(Core::open(&config.data, &config, WhenAway::Fail)?);
    }
    let store = open_store(&config.data.join("bartizan.db"), &config, WhenAway::Fail)?;
    // Before the log is looked at: a server that works on the folder moves both on.
    let position = store.position(PartitionId(0)).map_err(|it| Failure::unusable(chain(&it)))?;
    let is_copy = !matches!(config.log_place, LogPlace::Folder);
    let events = config.data.join(if is_copy { "events-copy" } else { "events" });
    let damage = if is_copy && !events.exists() {
        Damage::default()
    } else {
        let events = files::Folder::new(events);
        EmbeddedLog::check(&events, position, is_copy).map_err(|it| Failure::unusable(chain(&it)))?
    };
    let mut alerts = 0_u64;
    let mut count = |_: &StoredAlert| {
        alerts += 1;
        ControlFlow::Continue(())
    };
    let store_fault = store.each_alert(&mut count).err().map(|it| chain(&it));
    let is_healthy = damage.is_healthy() && store_fault.is_none();
    if flags.is_json {
        let report = json!({"healthy": is_healthy, "torn_bytes": damage.torn_bytes, "damaged_places": damage.damaged_places,
                            "records_lost": damage.records_lost, "findings": damage.findings, "alerts": alerts, "store_fault": store_fault});
        terminal::print(&format!("{report}\n"))?;
    } else {
        let mut out: String = damage.findings.iter().map(|it| format!("{}\n", terminal::line(it))).collect();
        if 0 < damage.torn_bytes && !is_held {
            out.push_str(&format!(
                "{} bytes behind the last whole record: a write that a crash cut, nothing that detection had read\n",
                damage.torn_bytes
            ));
        }
        if let Some(fault) = &store_fault {
            out.push_str(&format!("the store: {fault}\n"));
        }
        let verdict = if is_healthy { "healthy" } else { "damaged" };
        out.push_str(&format!(
            "{}: {verdict}, {}, {} lost\n",
            config.data.display(),
            terminal::counted(alerts, "alert"),
            terminal::counted(damage.records_lost, "record")
        ));
        terminal::print(&out)?;
    }
    Ok(if is_healthy { 0 } else { FAILED })
}
