//! The settings of the gateway, complete and typed.

use std::path::PathBuf;
use std::time::Duration;

use crate::crs::Crs;
use crate::inspect::BODY_BYTES;
use crate::route::RouteSettings;
use model::network::Network;

/// What is done with requests while they cannot be inspected, or their events cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fail {
    /// They pass.
    #[default]
    Open,
    /// They get 503, for a body that was not read 413 or 415.
    Closed,
}

/// In which fields another proxy says what it asks about. Only these are read: a client can send the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthzDialect {
    /// `X-Original-URI`, `X-Original-Method` and `Host`, which the configuration of nginx sets.
    #[default]
    Nginx,
    /// `X-Forwarded-Uri`, `X-Forwarded-Method` and `X-Forwarded-Host`, which Traefik and Caddy set themselves.
    Forwarded,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The head of a request, from its first byte; 10 s by default.
    pub head: Duration,
    /// A client's connection between two requests; 60 s.
    pub keep_alive: Duration,
    /// A connection to an upstream; 5 s.
    pub connect: Duration,
    /// The head of an upstream's answer, from the end of the request's inspection; 60 s.
    pub answer: Duration,
    /// A body, in either direction, that makes no progress; 60 s. A client's body must also bring 1 KiB in each such
    /// time that is spent waiting for it, on the average and after the first.
    pub idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        }
    }
}

/// What is done with requests: the part of the settings that may change while the gateway runs.
#[derive(Clone, Debug)]
pub struct PolicySettings {
    /// Where requests go.
    pub routes: Vec<RouteSettings>,
    /// Whether requests are inspected.
    pub inspects: bool,
    /// How many bytes of a body are inspected.
    pub body_bytes: usize,
    /// What is done when that is impossible.
    pub fail: Fail,
    /// Rules of the OWASP Core Rule Set, asked beside our own inspection.
    pub crs: Option<Crs>,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { routes: Vec::new(), inspects: true, body_bytes: BODY_BYTES, fail: Fail::Open, crs: None }
    }
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is done with requests, at first.
    pub policy: PolicySettings,
    /// Proxies in front that say who the client is.
    pub trusted: Vec<Network>,
    /// The path under which other proxies ask for a decision; `None`: nowhere.
    pub authz_path: Option<String>,
    /// How they say what they ask about.
    pub authz_dialect: AuthzDialect,
    /// How long things may take.
    pub times: Times,
    /// How many connections of clients may be open at once; further ones wait.
    pub connections_max: usize,
    /// How many of them one address may have, of IPv6 one `/64`; further ones are closed. Trusted proxies have no limit.
    pub connections_per_address: usize,
    /// The path of the active health check; `None`: no check.
    pub health_path: Option<String>,
    /// How often it is asked.
    pub health_every: Duration,
    /// Where events are kept that could not be handed over.
    pub spill_folder: PathBuf,
    /// How many bytes of them.
    pub spill_bytes_max: u64,
}

impl Settings {
    /// The defaults, with no route.
    #[must_use]
    pub fn new(spill_folder: PathBuf) -> Self {
        Self {
            policy: PolicySettings::default(),
            trusted: Vec::new(),
            authz_path: None,
            authz_dialect: AuthzDialect::default(),
            times: Times::default(),
            connections_max: 10_000,
            connections_per_address: 500,
            health_path: None,
            health_every: Duration::from_secs(5),
            spill_folder,
            spill_bytes_max: 256 << 20,
        }
    }
}
