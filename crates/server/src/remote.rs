//! Keeps the gateway's copy of another installation's decisions as they are over there, and on disk for a start without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use enforcement::edge::in_words;
use enforcement::mirror::{Change, Mirror};
use gateway::remote::Remote;
use pipeline::ingest::now;

use crate::config::gateway::RemoteConfig;
use crate::failure::Failure;
use crate::follow::{Heard, Url, WAIT};
use crate::http::listener::{Stop, stopped};

/// How we call ourselves.
const AGENT: &str = concat!("bartizan-gateway/", env!("CARGO_PKG_VERSION"));
/// How long to wait before a server is asked again that did not answer: at first, and at most.
const RETRY: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];
/// How often the snapshot is written at most when something changed, and when nothing did: then only its age is another.
const WRITE_EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];
/// How many times as long as a write takes there is none after it.
const WRITE_PART: u32 = 20;
/// How often everything is asked for anew at most, to fill places that were freed after more was in force than is copied.
const ANEW_EVERY: Duration = Duration::from_secs(60);
/// The longest key, in bytes: more is a wrong file.
const KEY_BYTES_MAX: u64 = 4096;

/// Finds the key that `reference` names: `file:PATH` or `env:NAME`.
pub(crate) fn key_of(reference: &str) -> Result<String, Failure> {
    let named = |why: String| Failure::usage(format!("`gateway.decisions_key` is `{reference}`, and {why}"));
    if let Some(name) = reference.strip_prefix("env:") {
        let found = std::env::var(name).ok().filter(|it| !it.is_empty());
        return found.ok_or_else(|| named("that variable is not set".to_owned()));
    }
    let Some(path) = reference.strip_prefix("file:").map(Path::new) else {
        return Err(Failure::usage("`gateway.decisions_key` must be `file:PATH` or `env:NAME`"));
    };
    let read = fs::metadata(path).and_then(|it| {
        let is_too_long = KEY_BYTES_MAX < it.len();
        if is_too_long { Err(std::io::Error::other("it is too long to be a key")) } else { fs::read_to_string(path) }
    });
    read.map(|it| it.trim().to_owned()).map_err(|it| named(format!("that file cannot be read: {it}")))
}

/// What follows the other installation.
pub(crate) struct Follower {
    url: Url,
    remote: Arc<Remote>,
    mirror: Mirror,
    path: PathBuf,
    written_at: Instant,
    rests: Duration,
    /// How long an answer may take without news: well below what makes the copy too old.
    wait: Duration,
    is_changed: bool,
    is_away: bool,
    /// After how long without news nothing of the copy counts.
    stop_after: Option<Duration>,
    /// Whether the copy counted when it was last looked at.
    counts: bool,
    /// Why the snapshot could not be written the last time; empty when it could.
    trouble: String,
    /// Whether it was said that more is in force over there than is copied.
    is_full: bool,
    anew_at: Instant,
}

impl Follower {
    /// Puts on the gateway what the snapshot at `path` has.
    pub(crate) fn begin(config: &RemoteConfig, remote: Arc<Remote>, path: PathBuf) -> Result<Self, Failure> {
        let url = Url {
            address: config.address.clone(),
            key: key_of(&config.key)?,
            ca: config.ca.clone(),
            ca_name: "gateway.decisions_ca",
            agent: AGENT,
        };
        let now = now();
        let mirror = Mirror::read(&path, now).unwrap_or_else(|error| {
            tracing::warn!(reason = %error, "The decisions kept in `{}` cannot be read; they are left aside", path.display());
            None
        });
        if let Some(mirror) = &mirror {
            mirror.show(now, remote.board());
            remote.heard(mirror.heard_at());
            let age = in_words(now.since(mirror.heard_at()));
            tracing::info!(
                decisions = mirror.len(),
                "Begins with the decisions of `{}` as they were {age} ago",
                url.address
            );
        }
        let mirror = mirror.unwrap_or_default();
        let (written_at, rests) = (Instant::now(), Duration::ZERO);
        let wait = config.stop_after.map_or(WAIT, |it| WAIT.min(it / 3));
        let (stop_after, counts) = (config.stop_after, remote.is_enforced(now));
        let trouble = String::new();
        Ok(Self {
            url,
            remote,
            mirror,
            path,
            written_at,
            rests,
            wait,
            is_changed: false,
            is_away: false,
            stop_after,
            counts,
            trouble,
            is_full: false,
            anew_at: written_at,
        })
    }

    /// Follows until `stop`, then writes the snapshot.
    pub(crate) async fn run(mut self, stop: Stop) {
        let mut pause = RETRY[0];
        loop {
            // What is to be written soon must not wait for news.
            let wait = if self.is_changed { WRITE_EVERY[0] } else { self.wait };
            let heard = tokio::select! {
                it = self.url.ask(self.mirror.cursor(), wait, None) => it,
                () = stopped(stop.clone()) => break,
            };
            match heard {
                Ok(heard) => {
                    self = match self.take(heard).await {
                        Some(it) => it,
                        None => return,
                    };
                    pause = RETRY[0];
                }
                Err(failure) => {
                    self.complain(&failure);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stopped(stop.clone()) => break,
                    }
                    pause = (pause * 2).min(RETRY[1]);
                }
            }
            self.tell_whether_it_counts();
            self = match self.keep(false).await {
                Some(it) => it,
                None => return,
            };
        }
        self.keep(true).await;
    }

    /// Takes what was heard, on a thread of its own: there may be a million of it. `None` when the process is about to end.
    async fn take(mut self, heard: Heard<Change>) -> Option<Self> {
        let taking = tokio::task::spawn_blocking(move || {
            let now = now();
            self.is_changed |= self.mirror.take(heard.changes, now, self.remote.board());
            self.remote.heard(now);
            self
        });
        let mut it = taking.await.ok()?;
        it.tell_of_limit();
        if it.mirror.has_room_again() && ANEW_EVERY <= it.anew_at.elapsed() {
            it.anew_at = Instant::now();
            it.mirror.begin_anew();
        }
        if it.is_away {
            tracing::info!("`{}` answers again", it.url.address);
        }
        it.is_away = false;
        Some(it)
    }

    /// Says once that the copy is full, and once that it is not.
    fn tell_of_limit(&mut self) {
        let is_full = self.mirror.is_over_limit();
        if is_full && !self.is_full {
            tracing::error!(
                decisions = self.mirror.len(),
                "More is in force over there than the gateway takes; the rest is not enforced"
            );
        } else if self.is_full && !is_full {
            tracing::info!(decisions = self.mirror.len(), "All that is in force over there is enforced again");
        }
        self.is_full = is_full;
    }

    fn complain(&mut self, failure: &Failure) {
        if !self.is_away {
            let policy = policy_text(self.stop_after);
            tracing::warn!(reason = %failure, "The decisions of `{}` cannot be asked for; {policy}", self.url.address);
        }
        self.is_away = true;
    }

    /// Says once that the copy counts no longer, and that it counts again.
    fn tell_whether_it_counts(&mut self) {
        let counts = self.remote.is_enforced(now());
        if counts == self.counts {
            return;
        }
        self.counts = counts;
        let (address, decisions) = (&self.url.address, self.mirror.len());
        if counts {
            tracing::info!(decisions, "The decisions of `{address}` count");
        } else {
            tracing::error!(
                decisions,
                "The decisions of `{address}` count no longer: nothing was heard of it for too long; who was kept out by them passes"
            );
        }
    }

    /// Writes the snapshot when it is due. `None` when the process is about to end.
    async fn keep(mut self, is_last: bool) -> Option<Self> {
        let every = WRITE_EVERY[usize::from(!self.is_changed)].max(self.rests);
        let was_never_heard = self.mirror.cursor().is_empty();
        if was_never_heard || (!is_last && self.written_at.elapsed() < every) {
            return Some(self);
        }
        let writing = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            match self.mirror.write(&self.path) {
                Ok(()) => {
                    self.is_changed = false;
                    self.trouble.clear();
                }
                Err(error) => self.cannot_keep(error.to_string()),
            }
            (self.written_at, self.rests) = (Instant::now(), began.elapsed() * WRITE_PART);
            self
        });
        writing.await.ok()
    }
}

impl Follower {
    /// Says why the snapshot cannot be written, once until that changes.
    fn cannot_keep(&mut self, reason: String) {
        if self.trouble != reason {
            tracing::warn!(%reason, "The decisions cannot be kept in `{}`; it is tried again", self.path.display());
            self.trouble = reason;
        }
    }
}

/// What becomes of the decisions that are known, while nothing is heard.
fn policy_text(stop_after: Option<Duration>) -> String {
    match stop_after {
        Some(it) => format!("those that are known count until nothing was heard for {}", in_words(it)),
        None => "those that are known stay until they end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_becomes_of_what_is_known() {
        for (stop_after, expected) in [
            (None, "those that are known stay until they end"),
            (Some(3600), "those that are known count until nothing was heard for 60 min"),
        ] {
            assert_eq!(policy_text(stop_after.map(Duration::from_secs)), expected);
        }
    }

    #[test]
    fn a_key_is_named_and_never_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "bz_key\n").unwrap();
        assert_eq!(key_of(&format!("file:{}", path.display())).unwrap(), "bz_key");
        for (reference, complaint) in [
            ("bz_key", "must be `file:PATH`"),
            ("env:NO_SUCH_VARIABLE", "not set"),
            ("file:/no/such/file", "cannot be read"),
        ] {
            let failure = key_of(reference).unwrap_err();
            assert!(failure.message.contains(complaint) && !failure.message.contains("bz_key"), "{failure}");
        }
        fs::write(&path, "x".repeat(KEY_BYTES_MAX as usize + 1)).unwrap();
        assert!(key_of(&format!("file:{}", path.display())).is_err());
    }
}
