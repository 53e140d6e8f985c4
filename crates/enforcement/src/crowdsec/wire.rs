//! Decisions as the clients of the CrowdSec local API read them.
//!
//! Their Go code takes a missing field, an id that is text, or a time of zero for a reason to crash or to ban for ever:
//! every field is always there, and what has less than a second left is not served as new.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use decision::set::Entry;
use model::decision::{Measure, Origin, Target};
use model::network::Network;
use model::time::Timestamp;
use serde_json::Value;

/// How many bytes of a body are made at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A decision about to be told; with another network than its own when a range is told address by address.
pub(crate) type Told = (Arc<Entry>, Option<Network>);

/// The word of a scope: as CrowdSec writes it.
pub(crate) fn scope(target: &Target) -> &'static str {
    match target {
        Target::Network(it) if it.single().is_some() => "Ip",
        Target::Network(_) => "Range",
        Target::User(_) => "User",
    }
}

/// The text that scenario filters are compared with.
pub(crate) fn scenario(entry: &Entry) -> String {
    let plain = entry.label.replace(char::is_control, " ");
    if entry.origin == Origin::Rule { format!("bartizan/{plain}") } else { plain }
}

/// Whole seconds as Go writes a duration: `3h59m30s`.
///
/// Source: Go, `time.Duration.String`; other clients split it by its letters.
pub(crate) fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// How long something is still in force, rounded down; `None` when it is over or as good as over.
pub(crate) fn remaining(entry: &Entry, now: Timestamp) -> Option<String> {
    Some(entry.until.since(now).as_secs()).filter(|it| 0 < *it).map(duration)
}

/// How long ago something ended, at least a second: never zero, and never positive.
fn gone_since(entry: &Entry, now: Timestamp) -> String {
    format!("-{}", duration(now.since(entry.until).max(Duration::from_secs(1)).as_secs()))
}

/// Writes one decision with all of its fields.
fn write(out: &mut String, (entry, network): &Told, duration: &str) {
    let id = entry.id.0;
    let narrowed = network.map(Target::Network);
    let target = narrowed.as_ref().unwrap_or(&entry.target);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{{\"duration\":\"{duration}\",\"id\":{id},\"origin\":\"{}\",\"scenario\":{},\"scope\":\"{}\",\"type\":\"{}\",\
         \"value\":{},\"uuid\":\"{}\"}}",
        entry.origin.as_str(),
        Value::from(scenario(entry)),
        scope(target),
        entry.measure.as_str(),
        Value::from(target.to_string()),
        uuid(id),
    );
}

/// The same id in the form of a UUID, of version 8: what it holds is ours to say.
///
/// Source: RFC 9562, section 5.8.
fn uuid(id: u64) -> String {
    format!("00000000-0000-8000-{:04x}-{:012x}", 0x8000 | (id >> 48 & 0x3fff), id & 0xffff_ffff_ffff)
}

/// Writes a list as JSON, or `null` for an empty one, and hands it out in pieces; stops when nobody takes more.
pub(crate) struct Writer<'a> {
    out: String,
    take: &'a mut dyn FnMut(String) -> bool,
    now: Timestamp,
    is_wanted: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(now: Timestamp, take: &'a mut dyn FnMut(String) -> bool) -> Self {
        Self { out: String::new(), take, now, is_wanted: true }
    }

    pub(crate) fn raw(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Writes what is in force; what is over by now is left out.
    pub(crate) fn in_force(&mut self, list: impl Iterator<Item = Told>) {
        let now = self.now;
        self.list(list, |it| remaining(it, now));
    }

    /// Writes what is over.
    pub(crate) fn gone(&mut self, list: impl Iterator<Item = Told>) {
        let now = self.now;
        self.list(list, |it| Some(gone_since(it, now)));
    }

    fn list(&mut self, list: impl Iterator<Item = Told>, duration: impl Fn(&Entry) -> Option<String>) {
        let mut is_empty = true;
        for told in list {
            if !self.is_wanted {
                return;
            }
            let Some(duration) = duration(&told.0) else { continue };
            self.out.push(if is_empty { '[' } else { ',' });
            is_empty = false;
            write(&mut self.out, &told, &duration);
            if PIECE_BYTES <= self.out.len() {
                let piece = std::mem::replace(&mut self.out, String::with_capacity(PIECE_BYTES + 1024));
                self.is_wanted = (self.take)(piece);
            }
        }
        self.out.push_str(if is_empty { "null" } else { "]" });
    }

    /// Hands out the rest; returns whether all of it was taken.
    pub(crate) fn finish(self) -> bool {
        self.is_wanted && (self.take)(self.out)
    }
}

/// Whether bouncers know what a measure is; they take an unknown one for a ban.
pub(crate) const fn is_known(measure: Measure) -> bool {
    matches!(measure, Measure::Ban | Measure::Captcha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds_in_the_form_of_go() {
        for (seconds, expected) in [
            (1, "1s"),
            (59, "59s"),
            (60, "1m0s"),
            (3599, "59m59s"),
            (3600, "1h0m0s"),
            (14_370, "3h59m30s"),
            (315_360_000, "87600h0m0s"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn the_id_in_the_form_of_a_uuid_is_another_for_each() {
        assert_eq!(uuid(1), "00000000-0000-8000-8000-000000000001");
        assert_eq!(uuid(u64::MAX), "00000000-0000-8000-bfff-ffffffffffff");
    }
}
