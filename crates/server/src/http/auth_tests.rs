//! Who may pass, and that what was taken away is gone with the next request.

use backends::store::sqlite::SqliteStore;

use super::*;

#[test]
fn reads_the_password_of_basic() {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Basic YW55b25lOnNlY3JldA==".parse().unwrap());
    assert_eq!(secret_of(&headers).as_deref(), Some("secret"));
    headers.insert("authorization", "Bearer abc ".parse().unwrap());
    assert_eq!(secret_of(&headers).as_deref(), Some("abc"));
    headers.insert("authorization", "Digest x".parse().unwrap());
    assert_eq!(secret_of(&headers).as_deref(), Some(""));
}

#[test]
fn every_scope_opens_its_own_and_admin_all() {
    let permissions = [Permission::Ingest, Permission::Read, Permission::Metrics, Permission::Admin];
    let opened = |scope| permissions.map(|it| allows(scope, it));
    assert_eq!(opened(Scope::Ingest), [true, false, false, false]);
    assert_eq!(opened(Scope::Read), [false, true, false, false]);
    assert_eq!(opened(Scope::Metrics), [false, false, true, false]);
    assert_eq!(opened(Scope::Bouncer), [false; 4]);
    assert_eq!(opened(Scope::Admin), [true; 4]);
}

#[test]
fn another_site_is_told_apart() {
    let headers = |pairs: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        pairs.iter().for_each(|(name, value)| {
            headers.insert(*name, value.parse().unwrap());
        });
        headers
    };
    assert!(is_same_site(&headers(&[("sec-fetch-site", "same-origin")])));
    assert!(!is_same_site(&headers(&[("sec-fetch-site", "cross-site"), ("x-requested-with", "bartizan")])));
    assert!(is_same_site(&headers(&[("origin", "http://a:1"), ("host", "a:1")])));
    assert!(!is_same_site(&headers(&[("origin", "http://evil"), ("host", "a:1")])));
    assert!(!is_same_site(&headers(&[])));
}

const NOW: Timestamp = Timestamp(1_000_000_000_000_000_000);

struct Bench {
    _folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    auth: Auth,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("bartizan.db")).unwrap());
        let auth = another(&store);
        Self { _folder: folder, store, auth }
    }

    fn add(&self, name: &str, scope: Scope, expires_at: Option<Timestamp>) {
        let key = Key {
            name: name.to_owned(),
            scope,
            digest: digest_of(&secret(name)),
            rate_per_second: None,
            created_at: NOW,
            expires_at,
            last_used_at: None,
        };
        self.store.add_key(&key).unwrap();
        self.auth.reload().unwrap();
    }

    fn link(&self, caller: &Caller, headers: &HeaderMap) -> String {
        self.auth.make_link(caller, headers, NOW).unwrap().unwrap()
    }

    /// Follows a link; returns the token of the session.
    fn follow(&self, link: &str) -> Option<String> {
        self.auth.use_link(link, NOW).unwrap()
    }

    fn revoke(&self, name: &str) {
        self.auth.forget(name);
        assert!(self.store.remove_key(name).unwrap());
        self.auth.reload().unwrap();
    }
}

/// A header map with one header.
fn headers_of(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), value.parse().unwrap())])
}

fn another(store: &Arc<SqliteStore>) -> Auth {
    let access = Access { anonymous_ingest: false, anonymous_read: false, is_behind_proxy: false };
    Auth::new(store.clone(), access, 1.0).unwrap()
}

fn secret(name: &str) -> String {
    format!("bz_{name}")
}

/// Whether a request with this header may read.
fn passes(auth: &Auth, header: (&'static str, &str), now: Timestamp) -> bool {
    let route = Route::get("/x", |_| async { web::answer::Answer::new(hyper::StatusCode::OK, "", "") });
    let mut headers = HeaderMap::new();
    headers.insert(header.0, header.1.parse().unwrap());
    auth.caller(&route.for_whom(Permission::Read), &Method::GET, &headers, IpAddr::from([127, 0, 0, 1]), now).is_ok()
}

fn cookie(token: &str) -> (&'static str, String) {
    ("cookie", format!("{COOKIE}={token}"))
}

#[test]
fn a_key_ends_at_its_time_and_when_it_is_revoked() {
    let bench = Bench::new();
    let end = NOW.plus(Duration::from_secs(60));
    bench.add("a", Scope::Read, Some(end));
    let has = |now| passes(&bench.auth, ("x-api-key", &secret("a")), now);
    assert!(has(NOW) && has(Timestamp(end.0 - 1)) && !has(end));
    bench.revoke("a");
    assert!(!has(NOW));
}

#[test]
fn a_key_that_the_store_cannot_remove_opens_nothing_meanwhile() {
    let bench = Bench::new();
    bench.add("a", Scope::Read, None);
    bench.auth.forget("a");
    assert!(!passes(&bench.auth, ("x-api-key", &secret("a")), NOW));
}

#[test]
fn a_session_ends_at_its_time_and_when_it_is_ended_in_every_process() {
    let bench = Bench::new();
    let link = bench.link(&Caller::Owner, &HeaderMap::new());
    let token = bench.follow(&link).unwrap();
    assert!(bench.follow(&link).is_none(), "a link works once");
    let (name, value) = cookie(&token);
    let (end, later) = (NOW.plus(SESSION), another(&bench.store));
    for auth in [&bench.auth, &later] {
        let has = |now| passes(auth, (name, &value), now);
        assert!(has(NOW) && has(Timestamp(end.0 - 1)) && !has(end));
    }
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    bench.auth.end_session(&headers, NOW).unwrap();
    for auth in [&bench.auth, &later] {
        assert!(!passes(auth, (name, &value), NOW));
    }
}

#[test]
fn a_session_ends_with_the_key_that_opened_it() {
    let bench = Bench::new();
    let end = NOW.plus(Duration::from_secs(60));
    bench.add("admin", Scope::Admin, None);
    bench.add("guest", Scope::Admin, Some(end));
    bench.add("reader", Scope::Read, None);
    assert!(bench.auth.log_in(&secret("reader"), NOW).unwrap().is_none());
    let opened = |name: &str| cookie(&bench.auth.log_in(&secret(name), NOW).unwrap().unwrap());
    let ((name, by_admin), (_, by_guest)) = (opened("admin"), opened("guest"));
    let has = |value: &str, now| passes(&bench.auth, (name, value), now);
    assert!(has(&by_admin, end) && has(&by_guest, NOW) && !has(&by_guest, end));
    bench.revoke("admin");
    assert!(!has(&by_admin, NOW) && has(&by_guest, NOW));
    // The mark of the key cannot be taken off.
    let cut = by_admin.split_once(OPENED_BY).unwrap().0;
    assert!(!has(cut, NOW));
    assert!(!passes(&another(&bench.store), (name, &by_admin), NOW));
}

#[test]
fn a_session_of_a_link_ends_with_the_key_that_asked_for_the_link() {
    let bench = Bench::new();
    bench.add("admin", Scope::Admin, None);
    bench.add("guest", Scope::Admin, None);
    let (admin, guest) = (Caller::Key("admin".into()), Caller::Key("guest".into()));
    let none = HeaderMap::new();
    let has = |token: &str| passes(&bench.auth, ("cookie", &cookie(token).1), NOW);

    let by_guest = bench.follow(&bench.link(&guest, &none)).unwrap();
    // A link that a session asked for, and one that is not followed in time.
    let asked_for = bench.link(&Caller::Session, &headers_of("cookie", &cookie(&by_guest).1));
    let by_session = bench.follow(&asked_for).unwrap();
    let unused = bench.link(&guest, &none);
    let by_admin = bench.follow(&bench.link(&admin, &none)).unwrap();
    let by_owner = bench.follow(&bench.link(&Caller::Owner, &none)).unwrap();
    let all = [&by_guest, &by_session, &by_admin, &by_owner];
    assert_eq!(all.map(|it| has(it)), [true; 4]);

    bench.revoke("guest");
    assert_eq!(all.map(|it| has(it)), [false, false, true, true]);
    assert!(bench.follow(&unused).is_none());
    assert!(bench.auth.make_link(&guest, &none, NOW).unwrap().is_none());
    // A later key of the same name opens nothing that the former one opened.
    let key = Key {
        name: "guest".into(),
        scope: Scope::Admin,
        digest: digest_of("another secret"),
        rate_per_second: None,
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
    };
    bench.store.add_key(&key).unwrap();
    bench.auth.reload().unwrap();
    assert!(!has(&by_guest));
}

#[test]
fn when_a_key_was_used_is_noted_and_outlives_a_reload() {
    let bench = Bench::new();
    bench.add("a", Scope::Read, None);
    let digest = digest_of(&secret("a"));
    let stored = || bench.store.keys().unwrap()[0].last_used_at;
    assert_eq!(bench.auth.last_used(&digest), None);
    assert!(passes(&bench.auth, ("x-api-key", &secret("a")), NOW));
    assert_eq!((bench.auth.last_used(&digest), stored()), (Some(NOW), None), "the request itself writes nothing");
    bench.add("b", Scope::Read, None);
    assert_eq!(bench.auth.last_used(&digest), Some(NOW));
    bench.auth.note_uses().unwrap();
    assert_eq!(stored(), Some(NOW));
    assert_eq!(another(&bench.store).last_used(&digest), Some(NOW));
}
