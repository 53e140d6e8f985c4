//! `bartizan enforce nftables`: puts decisions into the firewall of this host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use enforcement::edge::in_words;
use enforcement::nftables::AGENT;
use enforcement::nftables::kernel::{self, KernelError};
use enforcement::nftables::script;
use enforcement::nftables::snapshot::Snapshot;
use enforcement::nftables::wanted::Change;
use gateway::upstream::address::Address;
use lexopt::ValueExt;
use pipeline::ingest::now;
use tokio::signal::unix::{SignalKind, signal};

use super::flags::Flags;
use super::serve::log_to_stderr;
use crate::failure::Failure;
use crate::follow::{Heard, Source, Url, default_snapshot};
use crate::terminal;

const HELP: &str = "\
Blocks banned addresses and ranges in the nftables of this host, in a table of its own: `inet bartizan`.

  bartizan enforce nftables [--data DIR]                            beside the server, by the socket in its data folder
  bartizan enforce nftables --url URL --key-file FILE [--ca FILE]   from another host, with a key of scope bouncer

  --key KEY           the key itself; whoever may list processes sees it, so rather --key-file, or $BARTIZAN_KEY
  --snapshot FILE     where what is blocked is kept for a start while the server is away
  --remove-on-stop    takes the table away at the end; otherwise blocks stay until each ends by itself

It needs root or the capability CAP_NET_ADMIN, and the program `nft`. Every block has its end in the kernel, so nothing
stays for ever when this process or the server is gone.
";
/// How long to wait before a server is asked again that did not answer: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// How often the snapshot is written at most.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(10);

/// Runs `bartizan enforce`.
pub(crate) fn enforce(arguments: lexopt::Parser) -> Result<u8, Failure> {
    let (mut url, mut key, mut key_file, mut ca, mut snapshot, mut removes) = (None, None, None, None, None, false);
    let flags = Flags::read(arguments, HELP, |name, rest| {
        match name {
            "url" => url = Some(rest.value()?.string()?),
            "key" => key = Some(rest.value()?.string()?),
            "key-file" => key_file = Some(PathBuf::from(rest.value()?)),
            "ca" => ca = Some(PathBuf::from(rest.value()?)),
            "snapshot" => snapshot = Some(PathBuf::from(rest.value()?)),
            "remove-on-stop" => removes = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let Some(flags) = flags else { return Ok(0) };
    if flags.value("firewall: nftables")? != "nftables" {
        return Err(Failure::usage(HELP));
    }
    let config = flags.config()?;
    log_to_stderr(&config);
    let source = match url {
        Some(url) => {
            let address = Address::parse(&url)
                .map_err(|_| Failure::usage(format!("`--url` is `{url}`, and must be as `https://HOST:7070`")))?;
            let key = key_of(key, key_file.as_deref())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
            Source::Url(Box::new(Url { address, key, ca, ca_name: "--ca", agent: AGENT }), runtime)
        }
        None => Source::Folder(config.data),
    };
    let path = snapshot.unwrap_or_else(|| default_snapshot(&source));
    follow(&source, path, removes)
}

fn key_of(key: Option<String>, file: Option<&Path>) -> Result<String, Failure> {
    if let Some(file) = file {
        let text = fs::read_to_string(file)
            .map_err(|it| Failure::unusable(format!("`{}` cannot be read: {it}", file.display())))?;
        return Ok(text.trim().to_owned());
    }
    let key = key.or_else(|| std::env::var("BARTIZAN_KEY").ok());
    key.ok_or_else(|| {
        Failure::usage("name a key of scope bouncer with `--key-file FILE`, `--key KEY` or $BARTIZAN_KEY")
    })
}

/// What is blocked, and where that is kept.
struct Firewall {
    state: Snapshot,
    path: PathBuf,
    written_at: Option<Instant>,
    /// What the counter of the table said last, and what of it the server was not told yet.
    dropped: (u64, u64),
    /// Whether the kernel has what `state` says, but for what changed since.
    is_in_kernel: bool,
}

impl Firewall {
    /// Takes what was heard, and puts it into the kernel.
    fn take(&mut self, heard: Heard<Change>) -> Result<(), KernelError> {
        let now = now();
        let mut changed = BTreeSet::new();
        self.state.wanted.expire(now);
        for change in &heard.changes {
            self.is_in_kernel &= *change != Change::Reset;
            changed.extend(self.state.wanted.take(change, now));
        }
        if self.state.wanted.is_over_limit() {
            tracing::error!(
                blocked = self.state.wanted.len(),
                "More is banned than this takes; the rest is not blocked"
            );
        }
        (self.state.cursor, self.state.heard_at) = (heard.cursor, now);
        let scripts = script::changes(&self.state.wanted, &changed, now);
        if self.is_in_kernel {
            match scripts.iter().try_for_each(|it| kernel::run(it)) {
                // Somebody took the table away, or changed it: it is made anew.
                Err(error) if error.is_transient() => tracing::warn!(reason = %error, "The table is made anew"),
                other => return other,
            }
        }
        self.put_all()
    }

    /// Makes the table anew with everything.
    fn put_all(&mut self) -> Result<(), KernelError> {
        self.is_in_kernel = false;
        script::all(&self.state.wanted, now()).iter().try_for_each(|it| kernel::run(it))?;
        self.is_in_kernel = true;
        tracing::info!(blocked = self.state.wanted.len(), "The table `{}` is as the decisions are", script::TABLE);
        Ok(())
    }

    /// How many packets were dropped that the server was not told of; `None` where that is not known.
    fn dropped(&mut self) -> Option<u64> {
        let counted = kernel::dropped()?;
        // A table that was made anew counts from zero.
        let more = counted.checked_sub(self.dropped.0).unwrap_or(counted);
        self.dropped = (counted, self.dropped.1 + more);
        Some(self.dropped.1)
    }

    fn keep(&mut self, is_last: bool) {
        let is_due = self.written_at.is_none_or(|it| SNAPSHOT_EVERY <= it.elapsed());
        if !is_last && !is_due {
            return;
        }
        self.written_at = Some(Instant::now());
        if let Err(error) = self.state.write(&self.path) {
            tracing::warn!(reason = %error, "The snapshot `{}` cannot be written", self.path.display());
        }
    }
}

fn follow(source: &Source, path: PathBuf, removes: bool) -> Result<u8, Failure> {
    let firewall = begin(path)?;
    let firewall = Arc::new(Mutex::new(firewall));
    end_by_signal(firewall.clone(), removes)?;
    let (mut wait, mut is_away) = (RETRY[0], false);
    loop {
        let (cursor, dropped) = {
            let mut firewall = firewall.lock().unwrap_or_else(PoisonError::into_inner);
            // What is only in the snapshot is asked for from its cursor on.
            (firewall.state.cursor.clone(), firewall.dropped())
        };
        match source.ask(&cursor, dropped) {
            Ok(heard) => {
                let mut firewall = firewall.lock().unwrap_or_else(PoisonError::into_inner);
                firewall.dropped.1 = firewall.dropped.1.saturating_sub(dropped.unwrap_or_default());
                firewall.take(heard).map_err(|it| Failure::failed(it.to_string()))?;
                firewall.keep(false);
                if is_away {
                    tracing::info!("The server answers again");
                }
                (wait, is_away) = (RETRY[0], false);
            }
            Err(failure) if failure.code == crate::failure::USAGE => return Err(failure),
            Err(failure) => {
                if !is_away {
                    tracing::warn!(reason = %failure, "The server cannot be asked; what is blocked stays until it ends, new bans do not come");
                }
                is_away = true;
                thread::sleep(wait);
                wait = (wait * 2).min(RETRY[1]);
            }
        }
    }
}

/// Begins with the snapshot, if there is one, and with the table as that says.
fn begin(path: PathBuf) -> Result<Firewall, Failure> {
    let now = now();
    let state = Snapshot::read(&path, now).unwrap_or_else(|error| {
        tracing::warn!(reason = %error, "The snapshot `{}` cannot be read; it is left aside", path.display());
        None
    });
    if let Some(state) = &state {
        let age = in_words(now.since(state.heard_at));
        tracing::info!(blocked = state.wanted.len(), "Begins with what was blocked {age} ago");
    }
    let mut firewall =
        Firewall { state: state.unwrap_or_default(), path, written_at: None, dropped: (0, 0), is_in_kernel: false };
    firewall.put_all().map_err(|it| Failure::failed(it.to_string()))?;
    Ok(firewall)
}

/// Ends the process in order when it is told to: nothing is half done, since the firewall is locked.
fn end_by_signal(firewall: Arc<Mutex<Firewall>>, removes: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|it| Failure::failed(format!("no threads: {it}")))?;
    let signals = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    });
    let (mut terminate, mut interrupt) =
        signals.map_err(|it| Failure::failed(format!("signals cannot be waited for: {it}")))?;
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        let mut firewall = firewall.lock().unwrap_or_else(PoisonError::into_inner);
        firewall.keep(true);
        let ended = if removes { kernel::run(script::REMOVE) } else { Ok(()) };
        if let Err(error) = &ended {
            terminal::complain(&format!("bartizan: the table could not be taken away: {error}"));
        }
        std::process::exit(i32::from(ended.is_err()));
    };
    let thread = thread::Builder::new().name("signals".into()).spawn(wait);
    thread.map(drop).map_err(|it| Failure::failed(format!("no thread: {it}")))
}
