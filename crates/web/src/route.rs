//! The route: method, path, permission, what it is for, and what answers it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use crate::answer::Answer;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Everybody. Nothing that it answers tells of an event.
    Open,
    /// Who may send events.
    Ingest,
    /// Who may read.
    Read,
    /// Who may read the metrics.
    Metrics,
    /// Who may use the API of the bouncers.
    Bouncer,
    /// Who may read decisions as such: bouncers and readers.
    Decisions,
    /// Who may do everything.
    Admin,
}

/// Which setting lets a route be called without a key from the loopback address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anonymous {
    /// None.
    Never,
    /// `[access] anonymous_ingest`.
    Ingest,
    /// `[access] anonymous_read`.
    Read,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody we know, where that is allowed.
    Anonymous,
    /// The holder of the key of this name.
    Key(Arc<str>),
    /// Somebody at the page.
    Session,
    /// Who owns the data folder, by a command.
    Owner,
}

impl Caller {
    /// The name of the input for what this caller sends.
    #[must_use]
    pub fn input(&self) -> Arc<str> {
        match self {
            Self::Anonymous => Arc::from("anonymous"),
            Self::Key(name) => name.clone(),
            Self::Session | Self::Owner => Arc::from("console"),
        }
    }

    /// Who it is, for a history: `key:NAME`, `page`, `command` or `anonymous`.
    #[must_use]
    pub fn actor(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Key(name) => format!("key:{name}"),
            Self::Session => "page".to_owned(),
            Self::Owner => "command".to_owned(),
        }
    }
}

/// A request whose sender is known and whose body is whole and unpacked.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path, percent-encoded as it was sent.
    pub path: String,
    /// The query without its question mark; empty when there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked.
    pub body: Bytes,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Who sent it.
    pub caller: Caller,
    /// The values of the path's parameters, in order, decoded.
    pub parameters: Vec<String>,
    /// The id under which it is found in the logs.
    pub id: Arc<str>,
}

impl Request {
    /// Returns a header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }

    /// Returns the value of the path's only parameter.
    #[must_use]
    pub fn parameter(&self) -> &str {
        self.parameters.first().map_or("", String::as_str)
    }
}

/// What answers a request.
pub type Handler = Arc<dyn Fn(Request) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct QueryParameter {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
}

/// What a route answers in one case.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// When.
    pub about: &'static str,
    /// The media type; empty for none.
    pub media_type: &'static str,
    /// The name of its schema in the document; empty for none.
    pub schema: &'static str,
}

impl Response {
    /// What a route answers with `status`; see the fields.
    #[must_use]
    pub const fn new(status: u16, about: &'static str, media_type: &'static str, schema: &'static str) -> Self {
        Self { status, about, media_type, schema }
    }
}

/// A route.
#[derive(Clone)]
pub struct Route {
    /// The method. `HEAD` is answered by `GET`.
    pub method: Method,
    /// The path; `{name}` stands for one segment.
    pub path: &'static str,
    /// Who may call it.
    pub permission: Permission,
    /// Which setting opens it to loopback.
    pub anonymous: Anonymous,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// The parameters of its query.
    pub query: &'static [QueryParameter],
    /// The name of the schema of its body; empty for none.
    pub body: &'static str,
    /// What it answers.
    pub responses: &'static [Response],
    /// Whether browsers are sent to the login page when they may not call it.
    pub is_page: bool,
    /// What answers it.
    pub handler: Handler,
}

impl Route {
    /// Makes a route that nobody but an admin may call and that documents nothing yet.
    pub fn new<F, A>(method: Method, path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self {
            method,
            path,
            permission: Permission::Admin,
            anonymous: Anonymous::Never,
            about: "",
            query: &[],
            body: "",
            responses: &[],
            is_page: false,
            handler: Arc::new(move |request| Box::pin(handler(request))),
        }
    }

    /// Makes a `GET` route.
    pub fn get<F, A>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::GET, path, handler)
    }

    /// Makes a `DELETE` route.
    pub fn delete<F, A>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::DELETE, path, handler)
    }

    /// Makes a `POST` route.
    pub fn post<F, A>(path: &'static str, handler: F) -> Self
    where
        F: Fn(Request) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::POST, path, handler)
    }

    /// Says who may call it.
    #[must_use]
    pub const fn for_whom(mut self, permission: Permission) -> Self {
        self.permission = permission;
        self
    }

    /// Says which setting opens it to loopback.
    #[must_use]
    pub const fn without_key_by(mut self, anonymous: Anonymous) -> Self {
        self.anonymous = anonymous;
        self
    }

    /// Says what it is for.
    #[must_use]
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Names the parameters of its query.
    #[must_use]
    pub const fn with_query(mut self, query: &'static [QueryParameter]) -> Self {
        self.query = query;
        self
    }

    /// Names the schema of its body.
    #[must_use]
    pub const fn with_body(mut self, schema: &'static str) -> Self {
        self.body = schema;
        self
    }

    /// Says what it answers.
    #[must_use]
    pub const fn answers(mut self, responses: &'static [Response]) -> Self {
        self.responses = responses;
        self
    }

    /// Says that it is a page for a browser.
    #[must_use]
    pub const fn page(mut self) -> Self {
        self.is_page = true;
        self
    }
}

/// What a path leads to.
pub enum Found<'a> {
    /// A route, with the values of its parameters.
    Route(&'a Route, Vec<String>),
    /// A path that has other methods only.
    OtherMethods(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// Finds the route of a request. Of several that match, the one with the fewest parameters is meant.
#[must_use]
pub fn find<'a>(routes: &'a [Route], method: &Method, path: &str) -> Found<'a> {
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    // Nothing fits better than the very path; most requests, and all that come often, name one.
    let is_very = |it: &&Route| it.path == path && it.method == *wanted && !path.contains('{');
    if let Some(route) = routes.iter().find(is_very) {
        return Found::Route(route, Vec::new());
    }
    let (mut found, mut others): (Option<(&Route, Vec<String>)>, _) = (None, Vec::new());
    for route in routes {
        let Some(parameters) = matched(route.path, path) else { continue };
        if route.method != *wanted {
            others.push(route.method.clone());
        } else if found.as_ref().is_none_or(|it| parameters.len() < it.1.len()) {
            found = Some((route, parameters));
        }
    }
    match found {
        Some((route, parameters)) => Found::Route(route, parameters),
        None if others.is_empty() => Found::Nothing,
        None => Found::OtherMethods(others),
    }
}

fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    if !pattern.contains('{') {
        return (pattern == path).then(Vec::new);
    }
    let (mut wanted, mut given, mut parameters) = (pattern.split('/'), path.split('/'), Vec::new());
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(name), Some(value)) if name.starts_with('{') => {
                if value.is_empty() {
                    return None;
                }
                parameters.push(crate::query::decode(value, false));
            }
            (Some(name), Some(value)) if name == value => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_segment_by_segment() {
        assert_eq!(matched("/v1/alerts", "/v1/alerts"), Some(vec![]));
        assert_eq!(matched("/v1/alerts/{id}", "/v1/alerts/a%20b"), Some(vec!["a b".to_owned()]));
        for path in ["/v1/alerts", "/v1/alerts/", "/v1/alerts/a/b", "/v2/alerts/a"] {
            assert_eq!(matched("/v1/alerts/{id}", path), None, "{path}");
        }
    }

    #[test]
    fn a_name_is_meant_before_a_parameter() {
        let answer = |_: Request| async { Answer::new(hyper::StatusCode::OK, "", "") };
        let routes = [Route::get("/a/{id}", answer), Route::get("/a/b", answer), Route::delete("/a/{id}", answer)];
        let path_of = |method, path| match find(&routes, &method, path) {
            Found::Route(route, _) => route.path,
            Found::OtherMethods(_) => "others",
            Found::Nothing => "nothing",
        };
        assert_eq!(path_of(Method::GET, "/a/b"), "/a/b");
        assert_eq!(path_of(Method::GET, "/a/c"), "/a/{id}");
        assert_eq!(path_of(Method::DELETE, "/a/b"), "/a/{id}");
        assert_eq!((path_of(Method::POST, "/a/b"), path_of(Method::GET, "/b")), ("others", "nothing"));
    }
}
