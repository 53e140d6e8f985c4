//! Every key there is, with its default and what it is for: the only place where they are named.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Address,
    Path,
    Paths,
    Flag,
    Count,
    Size,
    Duration,
    Rate,
    Url,
    Loopback,
    Proxy,
    LogFormat,
    Texts,
    Networks,
    Percent,
    Mode,
    Fail,
    Unread,
    Dialect,
    Secret,
    Routes,
    Exclusions,
    Resolver,
    Source,
}

impl Kind {
    /// What would do, for complaints.
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Self::Address => "an address with a port, as `127.0.0.1:7070`",
            Self::Path => "a path",
            Self::Paths => "a list of paths",
            Self::Flag => "true or false",
            Self::Count => "a whole number above zero",
            Self::Size => "a size, as `256MiB`",
            Self::Duration => "a time, as `90s`, `15m` or `14d`",
            Self::Rate => "a rate, as `500/s`",
            Self::Url => "an address, as the documentation of the key says",
            Self::Loopback => "`none` or `loopback`",
            Self::Proxy => "`none` or `behind-proxy`",
            Self::LogFormat => "`text` or `json`",
            Self::Texts => "a list of texts",
            Self::Percent => "a number from 0 to 100",
            Self::Networks => "a list of addresses and networks, as `10.0.0.0/8`",
            Self::Mode => "`observe`, `throttle` or `block`",
            Self::Fail => "`open` or `closed`",
            Self::Unread => "`pass` or `refuse`",
            Self::Resolver => "nothing, `system`, or the address of a resolver, as `127.0.0.1:53`",
            Self::Source => "an https address; http only on a loopback address",
            Self::Secret => "`file:PATH` or `env:NAME`: where the secret is",
            Self::Dialect => "`nginx` or `forwarded` (Traefik, Caddy)",
            Self::Routes => {
                "tables with `upstream` and, of `host`, `path`, `mode`, `threshold`, `crs` and `unread`, what applies"
            }
            Self::Exclusions => {
                "a list of rules (a number, a range or a tag), each with or without a target, as `942100 ARGS:q`"
            }
        }
    }
}

/// A key.
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default, about }
}

/// Every key, by section.
pub(crate) const KEYS: &[Key] = &[
    key("server.data", Kind::Path, "bartizan-data", "the folder of everything that is kept"),
    key("server.listen", Kind::Address, "127.0.0.1:7070", "where the page and the API are"),
    key("server.log_format", Kind::LogFormat, "text", "how the program's own log looks on stderr"),
    key("access.anonymous_ingest", Kind::Loopback, "none", "who may POST /logs and /ingest without a key"),
    key(
        "access.anonymous_read",
        Kind::Loopback,
        "none",
        "who may GET /alerts, /anomalies, /health and /metrics without a key",
    ),
    key(
        "access.plain_http",
        Kind::Proxy,
        "none",
        "says that a proxy in front speaks TLS, so that another address than loopback may be plain",
    ),
    key("tls.cert", Kind::Path, "", "the certificate chain, PEM; read again when it changes"),
    key("tls.key", Kind::Path, "", "its private key, PEM"),
    key("inputs.watch", Kind::Paths, "", "files to follow"),
    key("rules.folders", Kind::Paths, "", "folders of further rules"),
    key("rules.shipped", Kind::Flag, "true", "whether the shipped rules are loaded"),
    key(
        "rules.config",
        Kind::Path,
        "",
        "rules.toml: state and severity of rules; else the one beside the configuration",
    ),
    key(
        "log.url",
        Kind::Url,
        "",
        "the broker that keeps the log, as `amqp://USER:PASSWORD@HOST:5672/VHOST`; none: the data folder",
    ),
    key("log.password_file", Kind::Path, "", "the file that holds the password for `log.url`"),
    key("log.segment", Kind::Size, "64MiB", "the size of a segment"),
    key("log.keep_age", Kind::Duration, "14d", "how long events are kept"),
    key("log.keep_size", Kind::Size, "20GiB", "how much is kept at most"),
    key(
        "store.url",
        Kind::Url,
        "",
        "the PostgreSQL database that keeps alerts, decisions and keys; none: the data folder",
    ),
    key("store.password_file", Kind::Path, "", "the file whose first line is the password for it"),
    key("store.connections", Kind::Count, "12", "how many connections to the database are open at once"),
    key("store.statement_timeout", Kind::Duration, "10s", "how long a statement of the database may take"),
    key("store.keep_closed", Kind::Duration, "90d", "how long closed alerts are kept, from their last change on"),
    key("store.warn_size", Kind::Size, "10GiB", "the size of the store above which the log warns; nothing is removed"),
    key("detection.lateness", Kind::Duration, "120s", "how late an event may be for a window"),
    key("detection.first_match", Kind::Flag, "false", "whether the first single-event rule that fires ends the list"),
    key("detection.keys_max", Kind::Count, "65536", "how many keys a rule keeps windows of"),
    key("detection.seeds_max", Kind::Count, "12000000", "how many keys seen once a rule remembers beyond those"),
    key("limits.url", Kind::Url, "", "reserved: this version counts rates in its own process and refuses a value"),
    key("limits.body", Kind::Size, "8MiB", "the largest body as sent"),
    key("limits.body_unpacked", Kind::Size, "64MiB", "the largest body unpacked"),
    key("limits.ratio", Kind::Count, "100", "how many times its packed size a body may be, beyond 1 MiB"),
    key("limits.records", Kind::Count, "100000", "how many records a body may hold"),
    key("limits.head_timeout", Kind::Duration, "10s", "how long the head of a request may take"),
    key("limits.body_timeout", Kind::Duration, "60s", "how long a body may make no progress"),
    key("limits.anonymous_rate", Kind::Rate, "1000/s", "how many requests without a key one address may send"),
    key(
        "crawlers.resolver",
        Kind::Resolver,
        "",
        "who is asked whether a crawler is who it says: `system`, or an address; none: nobody",
    ),
    key(
        "data.crawlers_url",
        Kind::Source,
        "https://raw.githubusercontent.com/monperrus/crawler-user-agents/master/crawler-user-agents.json",
        "where `data fetch crawlers` takes the list from",
    ),
    key("decisions.never_block", Kind::Networks, "", "who is never blocked, whoever wants it"),
    key("decisions.spare_local", Kind::Flag, "true", "whether loopback and private addresses are never blocked"),
    key("decisions.per_minute", Kind::Count, "100", "how many addresses rules may decide on in a minute"),
    key(
        "decisions.share_percent",
        Kind::Percent,
        "2",
        "how many in a hundred of the clients of an hour they may decide on in it",
    ),
    key("decisions.share_min", Kind::Count, "5", "how many they may always decide on in an hour"),
    key(
        "decisions.spoofable_inputs",
        Kind::Texts,
        "anonymous",
        "inputs through which anybody may claim any address: they alone block nobody",
    ),
    key(
        "crowdsec.listen",
        Kind::Address,
        "127.0.0.1:7071",
        "where bouncers of CrowdSec pull decisions; open once this section is written or a key of scope bouncer exists",
    ),
    key(
        "crowdsec.expand_ranges",
        Kind::Flag,
        "true",
        "whether crowdsec-firewall-bouncer, which blocks only the first address of a range, gets each of up to 256",
    ),
    key("gateway.listen", Kind::Address, "127.0.0.1:8080", "where the gateway takes the traffic of the site"),
    key("gateway.upstream", Kind::Texts, "", "where requests go that no route takes; several take turns"),
    key("gateway.mode", Kind::Mode, "observe", "what is done with attacks where no route says it"),
    key("gateway.threshold", Kind::Count, "5", "the attack score from which a request is one"),
    key("gateway.routes", Kind::Routes, "", "further upstreams and modes, by host and path"),
    key("gateway.trusted_proxies", Kind::Networks, "", "proxies in front that say who the client is"),
    key("gateway.inspect", Kind::Flag, "true", "whether requests are inspected"),
    key("gateway.inspect_body", Kind::Size, "64KiB", "how much of a body is inspected before it is forwarded"),
    key("gateway.crs", Kind::Path, "", "a folder with the OWASP Core Rule Set, asked beside our own inspection"),
    key("gateway.crs_paranoia", Kind::Count, "", "its paranoia level, 1 to 4; none: as its files say"),
    key(
        "gateway.crs_threshold",
        Kind::Count,
        "",
        "the score from which it takes a request for an attack; none: as its files say",
    ),
    key("gateway.crs_exclude", Kind::Exclusions, "", "rules of it that do not run, or not on a target"),
    key("gateway.fail", Kind::Fail, "open", "what is done while requests cannot be inspected or events not be kept"),
    key("gateway.unread", Kind::Unread, "", "what is done with bodies that are not read; none: as `fail` says"),
    key("gateway.authz_path", Kind::Path, "", "the path under which trusted proxies ask for decisions; none: nowhere"),
    key("gateway.authz_dialect", Kind::Dialect, "nginx", "in which fields they say what they ask about"),
    key(
        "gateway.decisions_from",
        Kind::Source,
        "",
        "another installation whose decisions are enforced too, as `https://HOST:7070`; none: only our own",
    ),
    key("gateway.decisions_key", Kind::Secret, "", "a key of it, of scope bouncer"),
    key("gateway.decisions_ca", Kind::Path, "", "the authorities of its certificate, PEM; none: those of the system"),
    key(
        "gateway.decisions_stop_after",
        Kind::Duration,
        "",
        "how long its decisions count without news of it, at least `3s`; none: each until it ends",
    ),
    key("gateway.upstream_ca", Kind::Path, "", "the authorities of https upstreams, PEM; none: those of the system"),
    key("gateway.tls_cert", Kind::Path, "", "the certificate chain of the gateway, PEM; read again when it changes"),
    key("gateway.tls_key", Kind::Path, "", "its private key, PEM"),
    key(
        "gateway.health_path",
        Kind::Path,
        "",
        "what is asked of upstreams to see whether they are well; none: nothing",
    ),
    key("gateway.health_every", Kind::Duration, "5s", "how often"),
    key("gateway.head_timeout", Kind::Duration, "10s", "how long the head of a request may take"),
    key("gateway.keep_alive", Kind::Duration, "60s", "how long a connection may wait for its next request"),
    key("gateway.connect_timeout", Kind::Duration, "5s", "how long a connection to an upstream may take"),
    key("gateway.answer_timeout", Kind::Duration, "60s", "how long an upstream may take to begin its answer"),
    key(
        "gateway.idle_timeout",
        Kind::Duration,
        "60s",
        "how long a body may make no progress, in either direction; a client's must bring 1 KiB in it",
    ),
    key("gateway.connections", Kind::Count, "10000", "how many connections may be open at once; further ones wait"),
    key(
        "gateway.connections_per_address",
        Kind::Count,
        "500",
        "how many of them one address may have, of IPv6 one /64; further ones are closed; trusted proxies have no limit",
    ),
    key("gateway.spill", Kind::Size, "256MiB", "how many events may wait on disk while the log takes none"),
    key(
        "outbound.allow",
        Kind::Networks,
        "",
        "what of loopback, private and other special networks may be connected to, as by messages",
    ),
    key("outbound.ca", Kind::Path, "", "the authorities that are believed, PEM; none: those of the system"),
    key("outbox.keep_waiting", Kind::Duration, "3d", "how long a message is tried before it is a dead letter"),
    key("outbox.waiting", Kind::Count, "10000", "how many messages may wait for one destination"),
    key("outbox.keep_dead", Kind::Duration, "30d", "how long dead letters are kept"),
    key("outbox.dead", Kind::Count, "10000", "how many dead letters of one destination are kept"),
];

/// The sections, for complaints.
pub(crate) fn sections() -> String {
    let mut names: Vec<_> = KEYS.iter().filter_map(|it| it.path.split('.').next()).collect();
    names.dedup();
    names.extend(["inputs.NAME", "forward.NAME", "notify.NAME"]);
    names.join(", ")
}

/// The keys that a wrong one may have meant, for complaints.
pub(crate) fn hint(name: &str) -> String {
    let section = name.split('.').next().unwrap_or(name);
    let near: Vec<_> = KEYS.iter().filter(|it| it.path.split('.').next() == Some(section)).map(|it| it.path).collect();
    if near.is_empty() {
        format!("; there are the sections {}", sections())
    } else {
        format!("; there are {}", near.join(", "))
    }
}
