//! Who sends a request, and whether he may: keys, sessions of the page, rates.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use backends::store::{Key, Scope, Store, StoreError};
use hyper::{HeaderMap, Method};
use model::time::Timestamp;
use sha2::{Digest, Sha256};
use web::route::{Anonymous, Caller, Permission, Route};

use crate::config::Access;

/// How long a session of the page lasts.
pub(crate) const SESSION: Duration = Duration::from_secs(12 * 3600);
/// How long a login link is valid.
pub(crate) const LINK: Duration = Duration::from_secs(600);
/// The purpose of a session's token.
pub(crate) const PURPOSE_SESSION: &str = "session";
/// The purpose of a login link's token.
pub(crate) const PURPOSE_LINK: &str = "login-link";
/// The name of the cookie. Without TLS it cannot be `__Host-`, which browsers take over TLS only.
pub(crate) const COOKIE: &str = "bartizan_session";
/// The same over TLS.
pub(crate) const COOKIE_TLS: &str = "__Host-bartizan_session";
/// The name of the key that the first start makes.
pub(crate) const ADMIN_KEY_NAME: &str = "admin";
/// How many addresses without a key are counted apart; further ones share one count.
const ADDRESSES_MAX: usize = 50_000;
/// What stands in the token of a session or a link between its secret and the mark of the key behind it.
const OPENED_BY: char = '.';
/// How many sessions that began here are remembered without asking the store.
const SESSIONS_MAX: usize = 10_000;

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No key, or a wrong one.
    Unknown,
    /// A key that may do other things.
    Scope,
    /// A request from another site with the cookie of ours.
    CrossSite,
    /// Too many requests; try again after this.
    Rate(Duration),
    /// The store cannot be asked.
    Unavailable,
}

struct Holder {
    name: Arc<str>,
    scope: Scope,
    expires_at: Option<Timestamp>,
    rate: Option<f64>,
    /// What a session's token says of the key that opened it; tells nothing of the key itself.
    mark: String,
    /// When the key was last used, in nanoseconds since 1970; [`NEVER`] for never.
    used: AtomicI64,
    /// What of that is in the store.
    noted: AtomicI64,
}

/// Stands for a key that was never used.
const NEVER: i64 = i64::MIN;

impl Holder {
    fn of(key: Key) -> Self {
        let used = key.last_used_at.map_or(NEVER, |it| it.0);
        Self {
            name: key.name.into(),
            scope: key.scope,
            expires_at: key.expires_at,
            rate: key.rate_per_second,
            mark: Sha256::digest(key.digest)[..8].iter().map(|it| format!("{it:02x}")).collect(),
            used: AtomicI64::new(used),
            noted: AtomicI64::new(used),
        }
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expiry| now < expiry)
    }

    fn opens_page(&self, now: Timestamp) -> bool {
        self.scope == Scope::Admin && self.is_valid(now)
    }

    fn last_used(&self) -> Option<Timestamp> {
        Some(self.used.load(Ordering::Relaxed)).filter(|it| *it != NEVER).map(Timestamp)
    }
}

/// The keys and sessions that are known, and what they have used up.
pub(crate) struct Auth {
    store: Arc<dyn Store>,
    access: Access,
    anonymous_rate: f64,
    keys: RwLock<HashMap<[u8; 32], Arc<Holder>>>,
    /// One reads the keys at a time: who reads last has what was committed last.
    reloading: Mutex<()>,
    /// The sessions that began here, with their ends; of others the store is asked each time.
    sessions: Mutex<HashMap<[u8; 32], Timestamp>>,
    buckets: Mutex<HashMap<Bucket, Level>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bucket {
    Key(Arc<str>),
    Address(IpAddr),
    Rest,
}

struct Level {
    tokens: f64,
    at: Instant,
}

/// Makes 32 random bytes as hexadecimal text.
pub(crate) fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(bytes.iter().map(|it| format!("{it:02x}")).collect())
}

/// The digest under which a secret is stored: it is random and long, so nothing slower is needed.
pub(crate) fn digest_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    pub(crate) fn new(store: Arc<dyn Store>, access: Access, anonymous_rate: f64) -> Result<Self, StoreError> {
        let auth = Self {
            store,
            access,
            anonymous_rate,
            keys: RwLock::default(),
            reloading: Mutex::default(),
            sessions: Mutex::default(),
            buckets: Mutex::default(),
        };
        auth.reload()?;
        Ok(auth)
    }

    /// Reads the keys again, after one was made or revoked.
    pub(crate) fn reload(&self) -> Result<(), StoreError> {
        let _alone = locked(&self.reloading);
        let mut keys: HashMap<_, _> =
            self.store.keys()?.into_iter().map(|it| (it.digest, Arc::new(Holder::of(it)))).collect();
        let mut known = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for (digest, holder) in &mut keys {
            if let Some(before) = known.get(digest) {
                holder.used.fetch_max(before.used.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        *known = keys;
        Ok(())
    }

    /// Whether there is a key of this scope.
    pub(crate) fn has_scope(&self, scope: Scope) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).values().any(|it| it.scope == scope)
    }

    /// Forgets a key before it is removed from the store: whatever comes of that, it opens nothing any more.
    pub(crate) fn forget(&self, name: &str) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).retain(|_, it| it.name.as_ref() != name);
    }

    /// When a key was last used, as far as this process knows.
    pub(crate) fn last_used(&self, digest: &[u8; 32]) -> Option<Timestamp> {
        self.holder_of(digest)?.last_used()
    }

    /// Writes to the store which keys were used since the last time. Blocks.
    pub(crate) fn note_uses(&self) -> Result<(), StoreError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let later = |it: &&Arc<Holder>| it.noted.load(Ordering::Relaxed) < it.used.load(Ordering::Relaxed);
        let used: Vec<_> =
            keys.values().filter(later).filter_map(|it| Some((it, it.name.to_string(), it.last_used()?))).collect();
        if used.is_empty() {
            return Ok(());
        }
        let uses: Vec<_> = used.iter().map(|(_, name, at)| (name.clone(), *at)).collect();
        self.store.note_key_uses(&uses)?;
        used.iter().for_each(|(holder, _, at)| holder.noted.store(at.0, Ordering::Relaxed));
        Ok(())
    }

    fn holder_of(&self, digest: &[u8; 32]) -> Option<Arc<Holder>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Says who sends a request to `route`, or why it may not pass. Blocks only for a session that began in another
    /// process.
    pub(crate) fn caller(
        &self,
        route: &Route,
        method: &Method,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, Refused> {
        if route.permission == Permission::Open {
            return Ok(Caller::Anonymous);
        }
        if let Some(secret) = secret_of(headers) {
            let holder = self.holder_of(&digest_of(&secret)).filter(|it| it.is_valid(now)).ok_or(Refused::Unknown)?;
            holder.used.fetch_max(now.0, Ordering::Relaxed);
            if !allows(holder.scope, route.permission) {
                return Err(Refused::Scope);
            }
            // A bouncer takes 429 for the end of the world.
            if let Some(rate) = holder.rate.filter(|_| route.permission != Permission::Bouncer) {
                self.spend(Bucket::Key(holder.name.clone()), rate)?;
            }
            return Ok(Caller::Key(holder.name.clone()));
        }
        if self.has_session(headers, now)? {
            return if method.is_safe() || is_same_site(headers) {
                Ok(Caller::Session)
            } else {
                Err(Refused::CrossSite)
            };
        }
        let is_open = match route.anonymous {
            Anonymous::Never => false,
            Anonymous::Ingest => self.access.anonymous_ingest,
            Anonymous::Read => self.access.anonymous_read,
        };
        if is_open && peer.is_loopback() && is_direct(headers) {
            self.spend(Bucket::Address(peer), self.anonymous_rate)?;
            return Ok(Caller::Anonymous);
        }
        Err(Refused::Unknown)
    }

    /// Takes one request out of a bucket that fills with `rate` a second and holds a second's worth.
    fn spend(&self, bucket: Bucket, rate: f64) -> Result<(), Refused> {
        let mut buckets = locked(&self.buckets);
        let bucket =
            if ADDRESSES_MAX <= buckets.len() && !buckets.contains_key(&bucket) { Bucket::Rest } else { bucket };
        let full = rate.max(1.0);
        let now = Instant::now();
        let level = buckets.entry(bucket).or_insert(Level { tokens: full, at: now });
        level.tokens = (level.tokens + now.duration_since(level.at).as_secs_f64() * rate).min(full);
        level.at = now;
        if level.tokens < 1.0 {
            return Err(Refused::Rate(Duration::from_secs_f64((1.0 - level.tokens) / rate)));
        }
        level.tokens -= 1.0;
        Ok(())
    }

    fn has_session(&self, headers: &HeaderMap, now: Timestamp) -> Result<bool, Refused> {
        let Some(token) = cookie_of(headers) else { return Ok(false) };
        if !self.is_opener_valid(&token, now) {
            return Ok(false);
        }
        let digest = digest_of(&token);
        match locked(&self.sessions).get(&digest).copied() {
            Some(end) => Ok(now < end),
            None => self.store.has_token(PURPOSE_SESSION, &digest, now).map_err(|_| Refused::Unavailable),
        }
    }

    /// Whether the key behind a session or a link still opens the page; what the owner of the folder made needs none.
    ///
    /// The digest of the whole token is what is stored, so nobody can take the key's mark off.
    fn is_opener_valid(&self, token: &str, now: Timestamp) -> bool {
        let Some(mark) = mark_of(token) else { return true };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().any(|it| it.mark == mark && it.opens_page(now))
    }

    /// Begins a session that ends with the key of this mark; returns its token.
    fn begin_session(&self, mark: Option<&str>, now: Timestamp) -> anyhow::Result<String> {
        let token = new_token(mark)?;
        let (digest, end) = (digest_of(&token), now.plus(SESSION));
        self.store.add_token(PURPOSE_SESSION, &digest, end)?;
        let mut sessions = locked(&self.sessions);
        if SESSIONS_MAX <= sessions.len() {
            sessions.clear();
        }
        sessions.insert(digest, end);
        Ok(token)
    }

    /// Begins a session with a key that may open the page; `None` when it may not.
    pub(crate) fn log_in(&self, secret: &str, now: Timestamp) -> anyhow::Result<Option<String>> {
        let Some(holder) = self.holder_of(&digest_of(secret.trim())).filter(|it| it.opens_page(now)) else {
            return Ok(None);
        };
        holder.used.fetch_max(now.0, Ordering::Relaxed);
        self.begin_session(Some(&holder.mark), now).map(Some)
    }

    /// Ends the session of a request.
    pub(crate) fn end_session(&self, headers: &HeaderMap, now: Timestamp) -> anyhow::Result<()> {
        if let Some(token) = cookie_of(headers) {
            let digest = digest_of(&token);
            locked(&self.sessions).remove(&digest);
            self.store.take_token(PURPOSE_SESSION, &digest, now)?;
        }
        Ok(())
    }

    /// Makes a login link's token for who asks for it; `None` when his key was revoked meanwhile.
    ///
    /// The link and the session that it opens end with the key that asked, or that opened the session that asked. What
    /// the owner of the data folder asks for ends at its time only.
    pub(crate) fn make_link(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> anyhow::Result<Option<String>> {
        let mark = match caller {
            Caller::Key(name) => match self.mark_of_key(name, now) {
                None => return Ok(None),
                mark => mark,
            },
            Caller::Session => cookie_of(headers).and_then(|it| mark_of(&it).map(str::to_owned)),
            Caller::Owner | Caller::Anonymous => None,
        };
        let token = new_token(mark.as_deref())?;
        self.store.add_token(PURPOSE_LINK, &digest_of(&token), now.plus(LINK))?;
        Ok(Some(token))
    }

    fn mark_of_key(&self, name: &str, now: Timestamp) -> Option<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().find(|it| it.name.as_ref() == name && it.opens_page(now)).map(|it| it.mark.clone())
    }

    /// Uses a login link; `None` when it is not valid.
    pub(crate) fn use_link(&self, token: &str, now: Timestamp) -> anyhow::Result<Option<String>> {
        if !self.store.take_token(PURPOSE_LINK, &digest_of(token), now)? || !self.is_opener_valid(token, now) {
            return Ok(None);
        }
        self.begin_session(mark_of(token), now).map(Some)
    }
}

/// Makes a token; with a mark it ends with the key of that mark.
fn new_token(mark: Option<&str>) -> anyhow::Result<String> {
    let mut token = random_secret()?;
    if let Some(mark) = mark {
        token.push(OPENED_BY);
        token.push_str(mark);
    }
    Ok(token)
}

/// The mark of the key behind a token, if there is one.
fn mark_of(token: &str) -> Option<&str> {
    token.split_once(OPENED_BY).map(|it| it.1)
}

/// Whether a scope opens what a permission guards. A session of the page is as an admin's.
const fn allows(scope: Scope, permission: Permission) -> bool {
    matches!(
        (scope, permission),
        (Scope::Admin, _)
            | (_, Permission::Open)
            | (Scope::Ingest, Permission::Ingest)
            | (Scope::Read, Permission::Read)
            | (Scope::Metrics, Permission::Metrics)
            | (Scope::Bouncer, Permission::Bouncer | Permission::Decisions)
            | (Scope::Read, Permission::Decisions)
    )
}

/// The key of a request: `Authorization: Bearer`, `X-Api-Key`, or the password of HTTP Basic.
fn secret_of(headers: &HeaderMap) -> Option<String> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.to_str().unwrap_or_default().to_owned());
    }
    let text = headers.get(hyper::header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = base64(rest.trim()).and_then(|it| String::from_utf8(it).ok()).unwrap_or_default();
        return Some(decoded.split_once(':').map_or(String::new(), |it| it.1.to_owned()));
    }
    Some(String::new())
}

fn cookie_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(hyper::header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let mut pairs = cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    pairs.find(|(name, value)| (*name == COOKIE || *name == COOKIE_TLS) && !value.is_empty()).map(|it| it.1.to_owned())
}

/// Whether a request without a key comes straight from a program of this host: through no proxy, and from no other
/// site's page.
fn is_direct(headers: &HeaderMap) -> bool {
    let is_forwarded = ["x-forwarded-for", "forwarded", "x-real-ip", "via"].iter().any(|it| headers.contains_key(*it));
    let is_page = headers.contains_key("origin") || headers.contains_key("sec-fetch-site");
    !is_forwarded && (!is_page || is_same_site(headers))
}

/// Whether a browser says that a request comes from our own page.
///
/// Source: Fetch Metadata Request Headers, `Sec-Fetch-Site`; else the `Origin` must be the `Host`; else our script's
/// header, which no form of another site can send.
pub(crate) fn is_same_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    if let Some(origin) = text("origin") {
        let host = text("host").unwrap_or_default();
        return origin.split_once("://").is_some_and(|it| it.1 == host);
    }
    text("x-requested-with") == Some("bartizan")
}

/// Reads base64 with or without padding (RFC 4648, section 4).
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if 8 <= count {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
