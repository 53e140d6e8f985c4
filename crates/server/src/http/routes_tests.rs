//! All routes of all edges, as the server mounts them: who may call which, and that each is in the documents.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use backends::store::{Key, Scope};
use hyper::{HeaderMap, Method};
use model::time::Timestamp;
use serde_json::Value;
use web::route::{Caller, Permission, Route};

use super::auth::{Refused, digest_of};
use crate::config::Raw;
use crate::core::{Core, WhenAway};
use crate::up::{Assembly, assemble};

/// Every route that is no file of the pages, and who may call it: `-` is everybody, `admin` may call all of them.
const TABLE: &[(&str, &str)] = &[
    ("DELETE /v1/bouncers/{name}", "admin"),
    ("DELETE /v1/decisions", "admin"),
    ("DELETE /v1/decisions/{id}", "admin"),
    ("DELETE /v1/keys/{name}", "admin"),
    ("DELETE /v1/never-block", "admin"),
    ("GET /", "read"),
    ("GET /alerts", "read"),
    ("GET /anomalies", "read"),
    ("GET /docs", "read"),
    ("GET /health", "read"),
    ("GET /healthz", "-"),
    ("GET /login", "-"),
    ("GET /login/{token}", "-"),
    ("GET /metrics", "metrics"),
    ("GET /openapi.json", "read"),
    ("GET /readyz", "-"),
    ("GET /v1/alerts", "read"),
    ("GET /v1/alerts/{id}", "read"),
    ("GET /risk/ips", "read, bouncer"),
    ("GET /v1/audit", "read"),
    ("GET /v1/bouncers", "read"),
    ("GET /v1/deliveries", "read"),
    ("GET /v1/decisions", "read"),
    ("GET /v1/decisions/changes", "read, bouncer"),
    ("GET /v1/decisions/report", "read"),
    ("GET /v1/decisions/switches", "read"),
    ("GET /v1/decisions/{id}", "read"),
    ("GET /v1/decisions/{id}/explain", "read"),
    ("GET /v1/events", "read"),
    ("GET /v1/events/{id}", "read"),
    ("GET /v1/export/alerts", "read"),
    ("GET /v1/forwards", "read"),
    ("GET /v1/keys", "admin"),
    ("GET /v1/ledger", "read"),
    ("GET /v1/lists/{form}", "read, bouncer"),
    ("GET /v1/never-block", "read"),
    ("GET /v1/notify", "read"),
    ("GET /v1/quarantine", "read"),
    ("GET /v1/quarantine/{id}", "read"),
    ("GET /v1/sources", "read"),
    ("POST /ingest", "ingest"),
    ("POST /login", "-"),
    ("POST /logout", "-"),
    ("POST /logs", "ingest"),
    ("POST /v1/alerts/{id}", "admin"),
    ("POST /v1/decisions", "admin"),
    ("POST /v1/decisions/import", "admin"),
    ("POST /v1/decisions/switches", "admin"),
    ("POST /v1/decisions/{id}/release", "admin"),
    ("POST /v1/deliveries/replay", "admin"),
    ("POST /v1/events", "ingest"),
    ("POST /v1/exceptions", "admin"),
    ("POST /v1/keys", "admin"),
    ("POST /v1/login-links", "admin"),
    ("POST /v1/never-block", "admin"),
    ("POST /v1/notify/{name}/test", "admin"),
    ("POST /v1/quarantine/replay", "admin"),
];

/// The files that the login page needs; all others need `read`.
const OPEN_FILES: &[&str] = &["GET /assets/console.css", "GET /assets/logo.svg", "GET /favicon.ico"];

/// 2026-11-20T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_176_000_000_000_000);

struct Bench {
    assembly: Assembly,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Raw::default().resolve().unwrap();
        let core = Core::open(&folder.path().join("data"), &config, WhenAway::Fail).unwrap();
        let notifier = config.notify.nobody().unwrap();
        let assembly = assemble(core, &config, None, notifier, Arc::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { assembly, runtime, _folder: folder }
    }

    fn routes(&self) -> &[Route] {
        &self.assembly.service.routes
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.runtime.block_on(self.assembly.service.call(Method::GET, path, String::new()));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Makes a key of each scope, whose secret is the word of the scope.
    fn add_keys(&self) {
        for scope in Scope::ALL {
            let key = Key {
                name: scope.as_str().into(),
                scope,
                digest: digest_of(scope.as_str()),
                rate_per_second: None,
                created_at: NOW,
                expires_at: None,
                last_used_at: None,
            };
            self.assembly.core.store.add_key(&key).unwrap();
        }
        self.assembly.auth.reload().unwrap();
    }

    /// What comes of a call of a route with a key, or without one.
    fn call(&self, route: &Route, secret: Option<&str>) -> Result<Caller, Refused> {
        let mut headers = HeaderMap::new();
        if let Some(secret) = secret {
            headers.insert("x-api-key", secret.parse().unwrap());
        }
        self.assembly.auth.caller(route, &route.method, &headers, IpAddr::from([127, 0, 0, 1]), NOW)
    }
}

fn name_of(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

fn is_file(route: &Route) -> bool {
    route.path.starts_with("/assets/") || route.path == "/favicon.ico"
}

/// The word of the table for a route; nothing for one that the table does not have.
fn told_of(route: &Route) -> Option<&'static str> {
    let name = name_of(route);
    if is_file(route) {
        return Some(if OPEN_FILES.contains(&name.as_str()) { "-" } else { "read" });
    }
    TABLE.iter().find(|it| it.0 == name).map(|it| it.1)
}

#[test]
fn every_route_is_in_the_table_and_the_reverse() {
    let bench = Bench::new();
    let mounted: Vec<String> = bench.routes().iter().map(name_of).collect();
    let names: BTreeSet<&str> = mounted.iter().map(String::as_str).collect();
    assert_eq!(names.len(), mounted.len(), "a route is mounted twice");
    let of_table = TABLE.iter().map(|it| it.0).chain(OPEN_FILES.iter().copied());
    assert_eq!(of_table.filter(|it| !names.contains(it)).collect::<Vec<_>>(), Vec::<&str>::new());
    let untold = bench.routes().iter().filter(|it| told_of(it).is_none()).map(name_of);
    assert_eq!(untold.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn each_scope_opens_what_the_table_says_and_nothing_else() {
    let bench = Bench::new();
    bench.add_keys();
    for route in bench.routes() {
        let (name, told) = (name_of(route), told_of(route).unwrap_or_default());
        let is_open = told == "-";
        for scope in Scope::ALL {
            let word = scope.as_str();
            let expected = match (is_open, scope == Scope::Admin || told.split(", ").any(|it| it == word)) {
                (true, _) => Ok(Caller::Anonymous),
                (false, true) => Ok(Caller::Key(word.into())),
                (false, false) => Err(Refused::Scope),
            };
            assert_eq!(bench.call(route, Some(word)), expected, "{word}: {name}");
        }
        for secret in [None, Some(""), Some("no-such-key"), Some("Admin"), Some("admin ")] {
            let expected = if is_open { Ok(Caller::Anonymous) } else { Err(Refused::Unknown) };
            assert_eq!(bench.call(route, secret), expected, "{secret:?}: {name}");
        }
    }
}

#[test]
fn what_changes_something_is_never_a_get_and_what_is_open_tells_nothing() {
    for route in Bench::new().routes() {
        let name = name_of(route);
        let is_admins = route.permission == Permission::Admin && route.path != "/v1/keys";
        assert!(!is_admins || route.method != Method::GET, "{name}");
        assert!(route.permission != Permission::Open || !route.path.starts_with("/v1"), "{name}");
    }
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let bench = Bench::new();
    let document = bench.get("/openapi.json");
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert(format!("{} {path}", method.to_uppercase()));
            for field in ["summary", "description", "operationId"] {
                assert!(operation[field].as_str().is_some_and(|it| !it.is_empty()), "{method} {path}: {field}");
            }
            assert!(operation["responses"].as_object().is_some_and(|it| !it.is_empty()), "{method} {path}");
        }
    }
    assert_eq!(described, bench.routes().iter().map(name_of).collect());
}

#[test]
fn the_document_refers_to_nothing_that_it_does_not_have_and_names_each_operation_once() {
    let document = Bench::new().get("/openapi.json");
    let text = document.to_string();
    for (at, found) in text.match_indices("\"#/components/schemas/") {
        let name = text[at + found.len()..].split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "`{name}` is not described");
    }
    let mut ids = BTreeSet::new();
    for operation in document["paths"].as_object().unwrap().values().flat_map(|it| it.as_object().unwrap().values()) {
        assert!(ids.insert(operation["operationId"].to_string()), "{} twice", operation["operationId"]);
    }
}

#[test]
fn every_schema_that_a_route_names_is_described() {
    for route in Bench::new().routes() {
        let named = route.responses.iter().map(|it| it.schema).chain([route.body]).filter(|it| !it.is_empty());
        for name in named {
            assert!(console::openapi::schema(name).is_some(), "{}: `{name}`", name_of(route));
        }
    }
}

#[test]
fn the_overview_in_the_documentation_names_every_route_of_the_api() {
    let overview = include_str!("../../../../docs/api.md");
    let pages = ["/", "/docs", "/openapi.json", "/login", "/login/{token}", "/logout"];
    let is_page = |route: &Route| is_file(route) || pages.contains(&route.path);
    for route in Bench::new().routes().iter().filter(|it| !is_page(it)) {
        assert!(overview.contains(&format!("`{}`", name_of(route))), "docs/api.md lacks `{}`", name_of(route));
    }
}

#[test]
fn a_list_of_keys_is_as_the_document_says() {
    let bench = Bench::new();
    bench.add_keys();
    let reader = bench.routes().iter().find(|it| it.path == "/v1/alerts").unwrap();
    bench.call(reader, Some("read")).unwrap();
    let keys = bench.get("/v1/keys");
    let used = keys["items"].as_array().unwrap().iter().find(|it| it["name"] == "read").unwrap();
    assert_eq!(used["last_used_at"], "2026-11-20T12:00:00Z");
    let described = &bench.get("/openapi.json")["components"]["schemas"]["Key"]["properties"];
    let described: BTreeSet<&String> = described.as_object().unwrap().keys().collect();
    assert_eq!(used.as_object().unwrap().keys().collect::<BTreeSet<_>>(), described);
}
