//! A copy of the decisions of another installation, as its stream of changes tells them, kept on disk for a start while that
//! installation is away.
//!
//! It opens no connection and knows no clock: what was heard and when are arguments.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use decision::board::Board;
use model::decision::{Basis, Decision, DecisionId, Ended, LASTS_MAX, Measure, Origin, Standing, Target};
use model::time::Timestamp;
use serde_json::{Value, json};

/// How many decisions are copied at most; further ones are not enforced here, and that is said.
pub const COPIED_MAX: usize = 1_000_000;
/// How large a snapshot is read at most.
const BYTES_MAX: u64 = 512 << 20;
/// Which part of the places must be free before everything is asked for anew, after more was in force than is copied: one in so many.
const FREE_PART: usize = 100;
/// How long a reason is kept, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// What a line of the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Everything follows: what was known before is over.
    Reset,
    /// A decision is in force.
    Add(Told),
    /// One is in force no longer.
    Remove(Target, Measure),
    /// From where to go on.
    Cursor(String),
    /// Something of a kind that is not known here.
    Other,
}

/// A decision as the stream tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number over there.
    pub id: u64,
    /// Whom it is about.
    pub target: Target,
    /// What is done.
    pub measure: Measure,
    /// Who proposed it.
    pub origin: Origin,
    /// The rule, else the reason.
    pub reason: String,
    /// How much longer it lasts.
    pub lasts: Duration,
}

impl Change {
    /// Reads a line; `None` for what is none.
    #[must_use]
    pub fn read(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let what = line["change"].as_str()?;
        match what {
            "reset" => return Some(Self::Reset),
            "cursor" => return Some(Self::Cursor(line["cursor"].as_str()?.to_owned())),
            _ => {}
        }
        let Some((target, measure)) = subject(&line) else { return Some(Self::Other) };
        match what {
            "add" => told(&line, Duration::from_secs(line["ttl"].as_u64()?)).map(Self::Add),
            "remove" => Some(Self::Remove(target, measure)),
            _ => None,
        }
    }
}

fn subject(line: &Value) -> Option<(Target, Measure)> {
    let target = Target::read(line["scope"].as_str()?, line["value"].as_str()?)?;
    Some((target, Measure::from_word(line["type"].as_str()?)?))
}

fn told(line: &Value, lasts: Duration) -> Option<Told> {
    let (target, measure) = subject(line)?;
    let mut reason = line["reason"].as_str().unwrap_or_default().to_owned();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    // Word of an origin that is not known here changes nothing of what is done.
    let origin = line["origin"].as_str().and_then(Origin::from_word).unwrap_or(Origin::Peer);
    Some(Told { id: line["id"].as_u64()?, target, measure, origin, reason, lasts: lasts.min(LASTS_MAX) })
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: u64,
    origin: Origin,
    reason: String,
    until: Timestamp,
}

/// The copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// What is in force over there, each until when by the clock of this host.
    known: BTreeMap<(Target, Measure), Known>,
    /// From where to go on; empty for the beginning.
    cursor: String,
    heard_at: Timestamp,
    changed: u64,
    is_over_limit: bool,
    copied_max: usize,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            cursor: String::new(),
            heard_at: Timestamp::default(),
            changed: 0,
            is_over_limit: false,
            copied_max: COPIED_MAX,
        }
    }
}

impl Mirror {
    /// Takes what was heard, and puts it on `board`; returns whether anything changed.
    pub fn take(&mut self, heard: Vec<Change>, now: Timestamp, board: &Board) -> bool {
        let (mut news, mut is_reset) = (Vec::new(), false);
        self.known.retain(|_, it| now < it.until);
        self.heard_at = now;
        for change in heard {
            match change {
                Change::Reset => {
                    is_reset = true;
                    (self.known, self.is_over_limit) = (BTreeMap::new(), false);
                    news.clear();
                }
                Change::Add(told) => self.add(told, now, &mut news),
                Change::Remove(target, measure) => self.remove(&(target, measure), now, &mut news),
                Change::Cursor(cursor) => self.cursor = cursor,
                Change::Other => {}
            }
        }
        if is_reset {
            board.replace(&news, now);
        } else if !news.is_empty() {
            board.apply(&news, now);
        }
        is_reset || !news.is_empty()
    }

    fn add(&mut self, told: Told, now: Timestamp, news: &mut Vec<Decision>) {
        let key = (told.target, told.measure);
        if self.copied_max <= self.known.len() && !self.known.contains_key(&key) {
            self.is_over_limit = true;
            return;
        }
        if self.known.get(&key).is_some_and(|it| it.id != told.id) {
            self.remove(&key, now, news);
        }
        let known = Known { id: told.id, origin: told.origin, reason: told.reason, until: now.plus(told.lasts) };
        self.changed += 1;
        news.push(decision(&key, &known, now, self.changed));
        self.known.insert(key, known);
    }

    fn remove(&mut self, key: &(Target, Measure), now: Timestamp, news: &mut Vec<Decision>) {
        let Some(known) = self.known.remove(key) else { return };
        self.changed += 1;
        let ended = Some(Ended { at: now, actor: String::new(), reason: String::new() });
        news.push(Decision { ended, ..decision(key, &known, now, self.changed) });
    }

    /// Puts everything on `board`, as after a start.
    pub fn show(&self, now: Timestamp, board: &Board) {
        let all: Vec<Decision> =
            self.known.iter().zip(1..).map(|((key, it), number)| decision(key, it, now, number)).collect();
        board.replace(&all, now);
    }

    /// From where to go on; empty for the beginning.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// When the other installation was last heard.
    #[must_use]
    pub const fn heard_at(&self) -> Timestamp {
        self.heard_at
    }

    /// How many decisions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether more are in force over there than are copied.
    #[must_use]
    pub const fn is_over_limit(&self) -> bool {
        self.is_over_limit
    }

    /// Whether some were left out for which there is room by now.
    #[must_use]
    pub fn has_room_again(&self) -> bool {
        self.is_over_limit && self.known.len() <= self.copied_max - self.copied_max / FREE_PART
    }

    /// Has everything asked for anew; what is known stays until that is heard.
    pub fn begin_anew(&mut self) {
        self.cursor.clear();
    }

    /// Writes it beside `path` and puts it there in one step; only its owner can read it.
    ///
    /// # Errors
    ///
    /// What the system says; what was there before is still there then.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut out = BufWriter::new(file);
        writeln!(out, "{}", json!({"heard_at": self.heard_at.0, "cursor": self.cursor}))?;
        for ((target, measure), known) in &self.known {
            let line = json!({
                "id": known.id, "scope": target.scope(), "value": target.to_string(), "type": measure.as_str(),
                "origin": known.origin.as_str(), "reason": known.reason, "until": known.until.0,
            });
            writeln!(out, "{line}")?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
        fs::rename(&beside, path)
    }

    /// Reads it, without what is over by `now`; `None` when there is none. Lines that make no sense are passed over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read(path: &Path, now: Timestamp) -> io::Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if BYTES_MAX < file.metadata()?.len() {
            return Err(io::Error::other("it is too large to be one of ours"));
        }
        let mut lines = BufReader::new(file).lines();
        let head: Value = serde_json::from_str(&lines.next().transpose()?.unwrap_or_default()).unwrap_or_default();
        let (Some(heard_at), Some(cursor)) = (head["heard_at"].as_i64(), head["cursor"].as_str()) else {
            return Ok(None);
        };
        // A clock that was set back makes nothing younger than it is.
        let heard_at = Timestamp(heard_at).min(now);
        let mut mirror = Self { cursor: cursor.to_owned(), heard_at, ..Self::default() };
        for line in lines.take(COPIED_MAX) {
            let line: Value = serde_json::from_str(&line?).unwrap_or_default();
            let until = line["until"].as_i64().map(Timestamp).filter(|it| now < *it);
            let Some(told) = until.and_then(|it| told(&line, it.since(now))) else { continue };
            let known = Known { id: told.id, origin: told.origin, reason: told.reason, until: now.plus(told.lasts) };
            mirror.known.insert((told.target, told.measure), known);
        }
        mirror.changed = mirror.known.len() as u64;
        Ok(Some(mirror))
    }
}

/// A decision of the copy as the board takes it.
fn decision((target, measure): &(Target, Measure), known: &Known, now: Timestamp, changed: u64) -> Decision {
    Decision {
        id: DecisionId(known.id),
        target: target.clone(),
        measure: *measure,
        origin: known.origin,
        reason: known.reason.clone(),
        basis: Basis::default(),
        actor: String::new(),
        created_at: now,
        expires_at: known.until,
        standing: Standing::InForce,
        ended: None,
        is_synthetic: false,
        changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_176_000_000_000_000);

    fn after(seconds: u64) -> Timestamp {
        NOON.plus(Duration::from_secs(seconds))
    }

    fn add(id: u64, value: &str, seconds: u64) -> Change {
        let scope = if value.contains('/') { "range" } else { "ip" };
        let line = json!({"change": "add", "id": id, "scope": scope, "value": value, "type": "ban", "origin": "rule", "reason": "sshd", "ttl": seconds});
        Change::read(&line.to_string()).unwrap()
    }

    fn remove(value: &str) -> Change {
        Change::read(&json!({"change": "remove", "scope": "ip", "value": value, "type": "ban"}).to_string()).unwrap()
    }

    fn cursor(text: &str) -> Change {
        Change::Cursor(text.to_owned())
    }

    #[track_caller]
    fn check(board: &Board, at: u64, blocked: &[&str], passing: &[&str]) {
        let is_blocked = |it: &&str| board.find(it.parse().unwrap(), after(at)).is_some();
        assert!(blocked.iter().all(is_blocked), "{blocked:?}");
        assert!(!passing.iter().any(is_blocked), "{passing:?}");
    }

    #[test]
    fn changes_come_to_the_board_and_a_gap_makes_everything_new() {
        let (mut mirror, board) = (Mirror::default(), Board::default());
        let [a, b, c] = ["203.0.113.7", "203.0.113.8", "198.51.100.0/24"];
        assert!(mirror.take(vec![Change::Reset, add(1, a, 60), add(2, c, 600), cursor("2-1")], NOON, &board));
        check(&board, 0, &[a, "198.51.100.9"], &[b]);
        assert!(!mirror.take(vec![cursor("2-2")], after(1), &board));
        assert!(mirror.take(vec![remove(a), add(3, b, 60), remove("192.0.2.1"), cursor("3-3")], after(2), &board));
        check(&board, 2, &[b], &[a]);
        // The same target under another number, for longer.
        mirror.take(vec![add(4, b, 600), cursor("4-4")], after(3), &board);
        check(&board, 100, &[b, "198.51.100.9"], &[a]);
        assert!(mirror.take(vec![Change::Reset, add(9, a, 60), cursor("9-9")], after(4), &board));
        check(&board, 4, &[a], &[b, "198.51.100.9"]);
        assert_eq!((mirror.cursor(), mirror.len(), mirror.heard_at()), ("9-9", 1, after(4)));
    }

    #[test]
    fn the_snapshot_has_everything_but_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("remote.snapshot");
        assert_eq!(Mirror::read(&path, NOON).unwrap(), None);
        let (mut mirror, board) = (Mirror::default(), Board::default());
        let [short, long] = ["203.0.113.7", "2001:db8::1"];
        mirror.take(vec![Change::Reset, add(1, short, 60), add(2, long, 600), cursor("2-1")], NOON, &board);
        mirror.write(&path).unwrap();
        assert_eq!(Mirror::read(&path, NOON).unwrap().unwrap(), mirror);
        let later = Mirror::read(&path, after(60)).unwrap().unwrap();
        assert_eq!((later.cursor(), later.len(), later.heard_at()), ("2-1", 1, NOON));
        let board = Board::default();
        later.show(after(60), &board);
        check(&board, 60, &[long], &[short]);
        // It goes on from there, and what ends while nobody is heard ends.
        let mut later = later;
        later.take(vec![add(3, short, 60), cursor("3-1")], after(61), &board);
        check(&board, 62, &[long, short], &[]);
        check(&board, 600, &[], &[long, short]);
        fs::write(&path, "no snapshot\n\u{0}").unwrap();
        assert_eq!(Mirror::read(&path, NOON).unwrap(), None);
    }

    #[test]
    fn what_found_no_room_is_asked_for_anew_once_there_is_some() {
        let (mut mirror, board) = (Mirror { copied_max: 100, ..Mirror::default() }, Board::default());
        let many = |from: u64, to: u64| (from..to).map(|it| add(it + 1, &format!("203.0.113.{it}"), 60));
        let reset = |adds: &mut dyn Iterator<Item = Change>| {
            std::iter::once(Change::Reset).chain(adds).chain([cursor("1-1")]).collect::<Vec<_>>()
        };
        mirror.take(reset(&mut many(0, 100)), NOON, &board);
        assert_eq!((mirror.len(), mirror.is_over_limit(), mirror.has_room_again()), (100, false, false));
        mirror.take(vec![add(200, "203.0.113.200", 60)], NOON, &board);
        assert_eq!((mirror.len(), mirror.is_over_limit(), mirror.has_room_again()), (100, true, false));
        mirror.take(vec![remove("203.0.113.7")], NOON, &board);
        assert!(mirror.has_room_again());
        mirror.begin_anew();
        assert_eq!((mirror.cursor(), mirror.len()), ("", 99));
        check(&board, 1, &["203.0.113.8"], &["203.0.113.7", "203.0.113.200"]);
        mirror.take(reset(&mut many(8, 100).chain([add(200, "203.0.113.200", 60)])), NOON, &board);
        assert_eq!((mirror.len(), mirror.is_over_limit(), mirror.has_room_again()), (93, false, false));
        check(&board, 1, &["203.0.113.8", "203.0.113.200"], &["203.0.113.7"]);
    }

    #[test]
    fn odd_lines_are_refused_or_passed_over() {
        for line in ["", "{}", "[]", "{\"change\":\"add\"", "{\"change\":\"cursor\"}", "{\"change\":7}"] {
            assert_eq!(Change::read(line), None, "{line}");
        }
        for line in [
            "{\"change\":\"add\",\"scope\":\"country\",\"value\":\"XX\",\"type\":\"ban\",\"ttl\":1}",
            "{\"change\":\"add\",\"scope\":\"ip\",\"value\":\"203.0.113.7\",\"type\":\"tarpit\",\"ttl\":1}",
        ] {
            assert_eq!(Change::read(line), Some(Change::Other), "{line}");
        }
        let endless = add(1, "203.0.113.7", u64::MAX);
        let board = Board::default();
        Mirror::default().take(vec![endless, add(2, "203.0.113.8", 0)], NOON, &board);
        check(&board, 0, &["203.0.113.7"], &["203.0.113.8"]);
    }
}
