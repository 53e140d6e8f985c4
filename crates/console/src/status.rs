//! What the loops beside this crate know and the console shows: detection, the listener, the process.

use std::time::Duration;

use model::severity::Severity;
use model::time::Timestamp;
use pipeline::progress::Latency;

/// The state of detection and of the process, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// When the process began.
    pub started_at: Timestamp,
    /// How many events went through detection since then.
    pub events_detected: u64,
    /// Events that came too late for the windows.
    pub late: u64,
    /// Events whose time was too far ahead of their receipt.
    pub ahead: u64,
    /// Keys that windows gave up to stay within their memory.
    pub evicted_keys: u64,
    /// Rules in force.
    pub rules_loaded: u64,
    /// Rules that could not be compiled.
    pub rules_refused: u64,
    /// Rules that are not evaluated because they cost too much.
    pub rules_suspended: u64,
    /// How many events matched each rule, by its id.
    pub matches: Vec<(String, u64)>,
    /// How many alerts were raised since the process began.
    pub raised: Vec<Raised>,
    /// How old the newest snapshot of the windows is; `None` without one.
    pub snapshot_age: Option<Duration>,
    /// What keeps detection from going on, in words without paths and addresses; `None` when it goes on.
    pub trouble: Option<String>,
    /// The time of the newest event that went through detection.
    pub last_event_time: Option<Timestamp>,
    /// Requests that are being answered.
    pub requests_in_flight: u64,
    /// How long events took from receipt until detection was through with them.
    pub latency: Latency,
    /// The gateway; `None` without one.
    pub gateway: Option<Gateway>,
    /// Who pulls decisions.
    pub bouncers: Vec<Bouncer>,
    /// What became of messages, by destination.
    pub deliveries: Vec<Deliveries>,
    /// The queues that are read.
    pub sources: Vec<Source>,
    /// The exchanges to which events are passed on.
    pub forwards: Vec<Forward>,
}

/// A queue that is read; counts are since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The name of the input.
    pub name: String,
    /// Whether it is connected.
    pub is_connected: bool,
    /// How often it has connected.
    pub connects: u64,
    /// How many messages have come.
    pub received: u64,
    /// How many of them were on their way before, as the broker says.
    pub redelivered: u64,
    /// How many were acknowledged.
    pub acknowledged: u64,
    /// How many answers were sent.
    pub replies: u64,
}

/// An exchange to which events are passed on; counts are since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Its name in the configuration.
    pub name: String,
    /// How many messages the broker has confirmed.
    pub published: u64,
    /// How many of them no queue took.
    pub unrouted: u64,
    /// How many records of the log retention removed before they were read.
    pub lost: u64,
    /// How many records of the log are still to be read.
    pub behind: u64,
    /// Whether it does not go on.
    pub is_in_trouble: bool,
}

/// The state of the gateway, at one moment; counts are since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Requests by what was done with them.
    pub requests: Vec<(&'static str, u64)>,
    /// Requests whose inspection failed.
    pub uninspected: u64,
    /// Events that wait in memory.
    pub queued: u64,
    /// Events that went to disk first.
    pub spilled: u64,
    /// Events that found no room anywhere.
    pub lost: u64,
    /// Upstreams that are asked.
    pub upstreams_up: u64,
    /// Upstreams that are left out.
    pub upstreams_down: u64,
    /// Addresses and ranges that have a decision.
    pub decisions: u64,
    /// How many requests were inspected.
    pub inspections: u64,
    /// How long that took together.
    pub inspection_time: Duration,
    /// The copy of another installation's decisions, where there is one.
    pub remote: Option<Remote>,
}

/// The copy of another installation's decisions that the gateway enforces, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// How many decisions it has.
    pub decisions: u64,
    /// When the other installation was last heard; `None` for never.
    pub heard_at: Option<Timestamp>,
    /// How long ago that is.
    pub age: Option<Duration>,
    /// Whether it is enforced: it was heard, and not too long ago.
    pub is_enforced: bool,
}

/// Those who pull decisions with one key through one door; of several the worst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bouncer {
    /// The name of the key.
    pub name: String,
    /// The door.
    pub kind: String,
    /// How long ago it pulled.
    pub age: Duration,
    /// How long the newest decision that it was told of had waited for it.
    pub lag: Option<Duration>,
    /// Whether it missed several of its pulls.
    pub is_silent: bool,
}

/// What became of the messages to a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// The destination's name.
    pub destination: String,
    /// How many wait.
    pub waiting: u64,
    /// How long the oldest of them waits.
    pub oldest: Option<Duration>,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many have arrived since the process began.
    pub delivered: u64,
    /// How many attempts failed and were to be repeated, since then.
    pub failed: u64,
    /// How many were refused for good, since then.
    pub refused: u64,
    /// How many were sent although they may have arrived before, since then.
    pub repeated: u64,
    /// Whether nothing is sent for a while because too much failed.
    pub is_open: bool,
}

/// How many alerts of one rule and severity were raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The rule's id.
    pub rule: String,
    /// The detector, as the alert names it.
    pub detector: String,
    /// The severity.
    pub severity: Severity,
    /// How many.
    pub count: u64,
}
