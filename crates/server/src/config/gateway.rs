//! The section `[gateway]`: text to the typed settings of the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gateway::route::{Mode, RouteSettings};
use gateway::settings::{AuthzDialect, Fail, PolicySettings, Settings, Times};
use gateway::upstream::address::Address;
use model::network::Network;

use seclang::settings::{Exclusion, RuleSelector};

use super::{Raw, Tls, one_of};
use crate::failure::Failure;
use crate::units;

/// How many routes there may be; they are looked through one by one.
const ROUTES_MAX: usize = 1000;
/// How many bytes of a body may be inspected: they are held until that is done, for each request.
const BODY_BYTES_MAX: usize = 64 << 20;

/// How long decisions of another installation must count at least without news of it: three questions.
const STOP_AFTER_MIN: Duration = Duration::from_secs(3);

/// The gateway, complete.
#[derive(Clone, Debug)]
pub(crate) struct GatewayConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) settings: Settings,
    /// The Core Rule Set that is to be loaded into them.
    pub(crate) crs: Option<CrsConfig>,
    /// Whose decisions are enforced beside our own.
    pub(crate) remote: Option<RemoteConfig>,
}

/// Another installation whose decisions are enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteConfig {
    pub(crate) address: Address,
    /// Where its key is: `file:PATH` or `env:NAME`.
    pub(crate) key: String,
    pub(crate) ca: Option<PathBuf>,
    /// How long its decisions count without news of it; `None`: each until it ends.
    pub(crate) stop_after: Option<Duration>,
}

/// Where the Core Rule Set is, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrsConfig {
    pub(crate) folder: PathBuf,
    pub(crate) paranoia: Option<u8>,
    pub(crate) threshold: Option<u32>,
    pub(crate) exclusions: Vec<Exclusion>,
}

impl GatewayConfig {
    /// Where clients reach it.
    ///
    /// `address` is where it listens in fact: the configuration may leave the port open.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }
}

impl Raw {
    /// The gateway, if there is anything for it to do.
    pub(super) fn gateway(&self) -> Result<Option<GatewayConfig>, Failure> {
        let mode = self.get("gateway.mode", Mode::from_word)?;
        let threshold = self.get("gateway.threshold", |it| it.parse().ok().filter(|it| 0 < *it))?;
        let fails = [("open", Fail::Open), ("closed", Fail::Closed)];
        let fail = self.get("gateway.fail", |it| one_of(it, &fails))?;
        let unread = self.get("gateway.unread", |it| if it.is_empty() { Some(fail) } else { unread_of(it) })?;
        let defaults = RouteSettings {
            host: None,
            path: "/".to_owned(),
            upstreams: self.upstreams()?,
            mode,
            threshold,
            crs: true,
            unread,
        };
        let mut routes = self.routes(&defaults)?;
        if !defaults.upstreams.is_empty() {
            routes.push(defaults);
        }
        let path = |name: &str| {
            let read = |it: &str| (it.is_empty() || it.starts_with('/')).then(|| it.to_owned());
            self.get(name, read).map(|it| Some(it).filter(|it| !it.is_empty()))
        };
        let authz_path = path("gateway.authz_path")?;
        let policy = PolicySettings {
            routes,
            inspects: self.get("gateway.inspect", |it| it.parse().ok())?,
            body_bytes: self.body_bytes()?,
            fail,
            crs: None,
        };
        self.refuse_unread_uninspected(policy.inspects)?;
        let crs = self.crs()?;
        let is_idle = policy.routes.is_empty() && authz_path.is_none();
        let settings = Settings {
            policy,
            trusted: self.get("gateway.trusted_proxies", |it| lines(it).map(Network::parse).collect())?,
            authz_path,
            authz_dialect: self.get("gateway.authz_dialect", |it| {
                one_of(it, &[("nginx", AuthzDialect::Nginx), ("forwarded", AuthzDialect::Forwarded)])
            })?,
            times: self.gateway_times()?,
            connections_max: self.get("gateway.connections", |it| it.parse().ok().filter(|it| 0 < *it))?,
            connections_per_address: self
                .get("gateway.connections_per_address", |it| it.parse().ok().filter(|it| 0 < *it))?,
            health_path: path("gateway.health_path")?,
            health_every: self.get("gateway.health_every", |it| units::duration(it).filter(|it| !it.is_zero()))?,
            spill_bytes_max: self.get("gateway.spill", units::size)?,
            ..Settings::new(PathBuf::new())
        };
        let tls = match (self.optional_path("gateway.tls_cert"), self.optional_path("gateway.tls_key")) {
            (Some(cert), Some(key)) => Some(Tls { cert, key }),
            (None, None) => None,
            _ => {
                let message = "`gateway.tls_cert` and `gateway.tls_key` belong together; one of them is missing";
                return Err(Failure::usage(message));
            }
        };
        let listen = self.get("gateway.listen", |it| it.parse().ok())?;
        let upstream_ca = self.optional_path("gateway.upstream_ca");
        let remote = self.remote()?;
        Ok((!is_idle).then_some(GatewayConfig { listen, tls, upstream_ca, settings, crs, remote }))
    }

    fn remote(&self) -> Result<Option<RemoteConfig>, Failure> {
        let address = self.get("gateway.decisions_from", |it| {
            let safe = |it: Address| (it.is_tls || is_loopback(&it.host)).then_some(it);
            if it.is_empty() { Some(None) } else { Address::parse(it).ok().and_then(safe).map(Some) }
        })?;
        let key = self.get("gateway.decisions_key", |it| {
            let is_good = it.is_empty() || it.starts_with("file:") || it.starts_with("env:");
            is_good.then(|| it.to_owned())
        })?;
        let ca = self.optional_path("gateway.decisions_ca");
        let stop_after = self.get("gateway.decisions_stop_after", |it| {
            let some = |it: Duration| (STOP_AFTER_MIN <= it).then_some(Some(it));
            if it.is_empty() { Some(None) } else { units::duration(it).and_then(some) }
        })?;
        let Some(address) = address else { return Ok(None) };
        if key.is_empty() {
            let message = "`gateway.decisions_from` needs `gateway.decisions_key`: `file:PATH` or `env:NAME` of a key of scope bouncer";
            return Err(Failure::usage(message));
        }
        Ok(Some(RemoteConfig { address, key, ca, stop_after }))
    }

    fn upstreams(&self) -> Result<Vec<Address>, Failure> {
        let (text, origin) = self.text("gateway.upstream");
        lines(text).map(|it| address_of("gateway.upstream", it, origin)).collect()
    }

    fn routes(&self, defaults: &RouteSettings) -> Result<Vec<RouteSettings>, Failure> {
        let (text, origin) = self.text("gateway.routes");
        let upstreams = text.split_whitespace().filter_map(|it| it.strip_prefix("upstream="));
        upstreams.flat_map(|it| it.split(',')).try_for_each(|it| address_of("gateway.routes", it, origin).map(drop))?;
        self.get("gateway.routes", |it| routes_of(it, defaults))
    }

    /// Without inspection nothing is unread, so who asks for bodies to be refused for that would wait in vain.
    fn refuse_unread_uninspected(&self, inspects: bool) -> Result<(), Failure> {
        let is_asked = |key: &str, word: &str| self.text(key).0.split_whitespace().any(|it| it == word);
        let asked = [("gateway.unread", "refuse"), ("gateway.routes", "unread=refuse")];
        match asked.iter().find(|it| !inspects && is_asked(it.0, it.1)) {
            None => Ok(()),
            Some((key, _)) => Err(Failure::usage(format!(
                "`{key}` refuses bodies that inspection cannot read, and `gateway.inspect` is `false`: nothing would be refused"
            ))),
        }
    }

    fn body_bytes(&self) -> Result<usize, Failure> {
        let bytes = self.get("gateway.inspect_body", |it| usize::try_from(units::size(it)?).ok())?;
        if BODY_BYTES_MAX < bytes {
            let (text, origin) = self.text("gateway.inspect_body");
            let reason = "must be at most 64MiB: so much of each body is held in memory";
            return Err(Failure::usage(format!("`gateway.inspect_body` is `{text}` ({origin}), and {reason}")));
        }
        Ok(bytes)
    }

    fn crs(&self) -> Result<Option<CrsConfig>, Failure> {
        let exclusions = self.get("gateway.crs_exclude", |it| lines(it).map(exclusion_of).collect())?;
        let paranoia = self.get("gateway.crs_paranoia", |it| optional(it, |it: &u8| (1..=4).contains(it)))?;
        let threshold = self.get("gateway.crs_threshold", |it| optional(it, |it: &u32| 0 < *it))?;
        let folder = self.optional_path("gateway.crs");
        Ok(folder.map(|folder| CrsConfig { folder, paranoia, threshold, exclusions }))
    }

    fn gateway_times(&self) -> Result<Times, Failure> {
        let time = |name: &str| self.get(name, |it| units::duration(it).filter(|it| !it.is_zero()));
        Ok(Times {
            head: time("gateway.head_timeout")?,
            keep_alive: time("gateway.keep_alive")?,
            connect: time("gateway.connect_timeout")?,
            answer: time("gateway.answer_timeout")?,
            idle: time("gateway.idle_timeout")?,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|it: std::net::IpAddr| it.is_loopback())
}

/// Reads the address of an upstream that stands in the key `path`.
fn address_of(path: &str, text: &str, origin: &str) -> Result<Address, Failure> {
    let complaint = |reason| Failure::usage(format!("`{path}`: the upstream `{text}` ({origin}) {reason}"));
    Address::parse(text).map_err(complaint)
}

/// A number that may be left out.
fn optional<T: FromStr>(text: &str, is_good: impl FnOnce(&T) -> bool) -> Option<Option<T>> {
    if text.is_empty() {
        return Some(None);
    }
    text.parse().ok().filter(is_good).map(Some)
}

/// Reads an exclusion: a number, a range `942100-942199` or a tag; then a target, or none.
fn exclusion_of(line: &str) -> Option<Exclusion> {
    let (rules, target) = line.split_once(char::is_whitespace).map_or((line, None), |it| (it.0, Some(it.1.trim())));
    let number = |it: &str| it.parse::<u32>().ok();
    let range = rules.split_once('-').and_then(|it| Some(number(it.0)?..=number(it.1)?));
    let ids = number(rules).map(|it| it..=it).or(range);
    let rules = match ids {
        Some(ids) if ids.is_empty() => return None,
        Some(ids) => RuleSelector::Ids(ids),
        None => RuleSelector::Tag(rules.to_owned()),
    };
    Some(Exclusion { rules, target: target.map(str::to_owned) })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|it| !it.is_empty())
}

/// Writes `[[gateway.routes]]` as a line a route, the form that a variable of the environment has.
pub(super) fn lines_of_routes(value: &toml::Value) -> Option<String> {
    let tables = value.as_array()?.iter().map(toml::Value::as_table).collect::<Option<Vec<_>>>()?;
    let lines: Option<Vec<String>> = tables.iter().map(|it| line_of_route(it)).collect();
    Some(lines?.join("\n"))
}

fn line_of_route(table: &toml::Table) -> Option<String> {
    let words: Option<Vec<String>> = table
        .iter()
        .map(|(name, value)| {
            let text = match value {
                toml::Value::String(it) => it.clone(),
                toml::Value::Integer(it) => it.to_string(),
                toml::Value::Boolean(it) => it.to_string(),
                toml::Value::Array(them) => them.iter().map(|it| it.as_str()).collect::<Option<Vec<_>>>()?.join(","),
                _ => return None,
            };
            (!text.contains(char::is_whitespace)).then(|| format!("{name}={text}"))
        })
        .collect();
    Some(words?.join(" "))
}

/// Reads what is done with bodies that are not read.
fn unread_of(word: &str) -> Option<Fail> {
    one_of(word, &[("pass", Fail::Open), ("refuse", Fail::Closed)])
}

fn routes_of(text: &str, defaults: &RouteSettings) -> Option<Vec<RouteSettings>> {
    let routes: Option<Vec<_>> = lines(text).map(|it| route_of(it, defaults)).collect();
    routes.filter(|it| it.len() <= ROUTES_MAX)
}

fn route_of(line: &str, defaults: &RouteSettings) -> Option<RouteSettings> {
    let mut route = RouteSettings { upstreams: Vec::new(), ..defaults.clone() };
    for word in line.split_whitespace() {
        let (name, value) = word.split_once('=')?;
        match name {
            "host" if !value.is_empty() => route.host = Some(value.to_owned()),
            "path" if value.starts_with('/') => route.path = value.to_owned(),
            "upstream" => {
                route.upstreams = value.split(',').map(|it| Address::parse(it).ok()).collect::<Option<_>>()?
            }
            "mode" => route.mode = Mode::from_word(value)?,
            "crs" => route.crs = value.parse().ok()?,
            "unread" => route.unread = unread_of(value)?,
            "threshold" => route.threshold = value.parse().ok().filter(|it| 0 < *it)?,
            _ => return None,
        }
    }
    (!route.upstreams.is_empty()).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(text: &str) -> Result<Option<GatewayConfig>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bartizan.toml");
        std::fs::write(&path, text).unwrap();
        let raw = Raw::read(Some(&path), std::iter::empty()).map_err(|it| it.message)?;
        raw.gateway().map_err(|it| it.message)
    }

    #[test]
    fn without_a_section_there_is_no_gateway() {
        assert!(config_of("").unwrap().is_none());
        assert!(config_of("[gateway]\nmode = \"block\"").unwrap().is_none());
    }

    #[test]
    fn reads_routes_rules_and_proxies() {
        let text = r#"
            [gateway]
            upstream = ["http://127.0.0.1:3000", "http://127.0.0.1:3001"]
            mode = "throttle"
            trusted_proxies = ["10.0.0.0/8"]
            [[gateway.routes]]
            host = "shop.example"
            path = "/api"
            upstream = ["https://app:8443"]
            mode = "block"
            threshold = 7
        "#;
        let config = config_of(text).unwrap().unwrap();
        let routes = &config.settings.policy.routes;
        let shown = |it: &RouteSettings| (it.host.clone(), it.path.clone(), it.mode, it.threshold, it.upstreams.len());
        assert_eq!(shown(&routes[0]), (Some("shop.example".to_owned()), "/api".to_owned(), Mode::Block, 7, 1));
        assert_eq!(shown(&routes[1]), (None, "/".to_owned(), Mode::Throttle, 5, 2));
        assert_eq!(config.settings.trusted, [Network::parse("10.0.0.0/8").unwrap()]);
    }

    #[test]
    fn what_is_done_with_unread_bodies_is_said_by_fail_by_itself_or_by_the_route() {
        let of = |text: &str| {
            let text = format!("[gateway]\nupstream = \"http://a\"\n{text}");
            let routes = config_of(&text).unwrap().unwrap().settings.policy.routes;
            routes.iter().map(|it| it.unread).collect::<Vec<_>>()
        };
        let route = "routes = [{ path = \"/files\", upstream = [\"http://a\"], unread = \"pass\" }]";
        assert_eq!(of(""), [Fail::Open]);
        assert_eq!(of("fail = \"closed\""), [Fail::Closed]);
        assert_eq!(of("fail = \"closed\"\nunread = \"pass\""), [Fail::Open]);
        assert_eq!(of("unread = \"refuse\""), [Fail::Closed]);
        assert_eq!(of(&format!("fail = \"closed\"\n{route}")), [Fail::Open, Fail::Closed]);
        check_refused("upstream = \"http://a\"\nunread = \"closed\"", "unread");
        check_refused("upstream = \"http://a\"\ninspect = false\nunread = \"refuse\"", "unread");
        let refusing = "routes = [{ path = \"/x\", upstream = [\"http://a\"], unread = \"refuse\" }]";
        check_refused(&format!("inspect = false\n{refusing}"), "routes");
        assert_eq!(of(refusing), [Fail::Closed, Fail::Open]);
        assert_eq!(of("inspect = false\nfail = \"closed\""), [Fail::Closed]);
    }

    #[test]
    fn reads_the_core_rule_set_and_what_is_excluded_of_it() {
        let text = r#"
            [gateway]
            crs = "/etc/crs"
            crs_threshold = 10
            crs_exclude = ["942100 ARGS:q", "941000-941999", "attack-sqli REQUEST_COOKIES:/^_ga/"]
            routes = [{ upstream = ["http://a"], crs = false }]
        "#;
        let config = config_of(text).unwrap().unwrap();
        assert!(!config.settings.policy.routes[0].crs);
        let exclusion = |rules, target: Option<&str>| Exclusion { rules, target: target.map(str::to_owned) };
        let expected = CrsConfig {
            folder: "/etc/crs".into(),
            paranoia: None,
            threshold: Some(10),
            exclusions: vec![
                exclusion(RuleSelector::Ids(942_100..=942_100), Some("ARGS:q")),
                exclusion(RuleSelector::Ids(941_000..=941_999), None),
                exclusion(RuleSelector::Tag("attack-sqli".to_owned()), Some("REQUEST_COOKIES:/^_ga/")),
            ],
        };
        assert_eq!(config.crs, Some(expected));
    }

    #[test]
    fn decisions_come_from_elsewhere_with_a_key_that_is_named_and_never_in_the_clear() {
        let read = |it: &str| config_of(&format!("[gateway]\nupstream = [\"http://127.0.0.1:3000\"]\n{it}"));
        let full =
            "decisions_from = \"https://lead:7070\"\ndecisions_key = \"file:/k\"\ndecisions_stop_after = \"1h\"\n";
        let remote = read(full).unwrap().unwrap().remote.unwrap();
        assert_eq!((remote.address.host.as_str(), remote.stop_after), ("lead", Some(Duration::from_secs(3600))));
        assert_eq!(read("").unwrap().unwrap().remote, None);
        for (text, key) in [
            ("decisions_from = \"http://lead:7070\"\ndecisions_key = \"file:/k\"\n", "gateway.decisions_from"),
            ("decisions_from = \"https://lead:7070\"\n", "gateway.decisions_key"),
            ("decisions_from = \"https://lead:7070\"\ndecisions_key = \"bz_x\"\n", "gateway.decisions_key"),
            ("decisions_stop_after = \"2s\"\n", "gateway.decisions_stop_after"),
        ] {
            let complaint = read(text).unwrap_err();
            assert!(complaint.contains(key), "{complaint}");
        }
    }

    #[track_caller]
    fn check_refused(text: &str, key: &str) {
        let error = config_of(&format!("[gateway]\n{text}")).expect_err(text);
        assert!(error.contains(&format!("`gateway.{key}`")), "{text}: {error}");
    }

    #[test]
    fn a_complaint_says_what_is_wrong_with_an_upstream() {
        for (text, expected) in [
            ("upstream = \"localhost:3000\"", "`localhost:3000`"),
            ("upstream = [\"localhost:3000\"]", "needs its scheme, as `http://localhost:3000`"),
            ("upstream = [\"http://app/base\"]", "has a path or a query"),
            ("routes = [{ upstream = [\"app:80\"] }]", "needs its scheme"),
        ] {
            let error = config_of(&format!("[gateway]\n{text}")).expect_err(text);
            assert!(error.contains(expected) && !error.contains("list of texts"), "{text}: {error}");
        }
    }

    #[test]
    fn takes_64_mib_of_a_body_and_no_byte_more() {
        let text = |size| format!("[gateway]\nupstream = \"http://a\"\ninspect_body = \"{size}\"");
        assert_eq!(config_of(&text("64MiB")).unwrap().unwrap().settings.policy.body_bytes, BODY_BYTES_MAX);
        for size in ["65MiB", "5GiB"] {
            let error = config_of(&text(size)).expect_err(size);
            assert!(error.contains("`gateway.inspect_body`") && error.contains("at most 64MiB"), "{error}");
        }
    }

    #[test]
    fn a_complaint_names_the_key() {
        check_refused("upstream = [\"localhost:3000\"]", "upstream");
        check_refused("upstream = 5", "upstream");
        check_refused("authz_dialect = \"apache\"", "authz_dialect");
        check_refused("connections_per_address = 0", "connections_per_address");
        check_refused("mode = \"deny\"", "mode");
        check_refused("threshold = 0", "threshold");
        check_refused("fail = \"shut\"", "fail");
        check_refused("trusted_proxies = [\"10.0.0.1/8\"]", "trusted_proxies");
        check_refused("authz_path = \"authz\"", "authz_path");
        check_refused("routes = [{ path = \"/\" }]", "routes");
        check_refused("routes = [{ upstream = [\"http://a\"], colour = \"red\" }]", "routes");
        check_refused("crs_paranoia = 5", "crs_paranoia");
        check_refused("crs_threshold = 0", "crs_threshold");
        check_refused("crs_exclude = [\"942199-942100\"]", "crs_exclude");
        check_refused("tls_cert = \"a.pem\"", "tls_cert");
        check_refused("head_timeout = \"0s\"", "head_timeout");
    }
}
