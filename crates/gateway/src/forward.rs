//! Forwarding: a connection, one exchange on it, and another try where nothing can have happened.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use tokio::time::timeout;

use crate::answer::Plain;
use crate::body::RequestBody;
use crate::upstream::connection::Connection;
use crate::upstream::group::{Group, Upstream};

/// How often a request is tried at most.
const TRIES_MAX: usize = 3;

/// An answer, and the connection it comes from.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) connection: Connection,
}

/// How one try ended.
enum Tried {
    Answered(Box<Response<Incoming>>),
    /// Nothing of it was sent.
    NotSent(Box<Request<RequestBody>>),
    /// The connection died before any byte of an answer.
    Died(hyper::Error),
    /// Something came, and no answer.
    Broken(hyper::Error),
    Late,
}

/// Sends a request to an upstream of `group` and waits for the head of the answer.
///
/// It is sent again only when nothing of it was sent, or when it is idempotent, all of it is at hand, and a kept
/// connection died before any byte came back.
pub(crate) async fn exchange(group: &Group, request: Request<RequestBody>, time: Duration) -> Result<Exchange, Plain> {
    let mut request = request;
    let mut unreachable: Vec<Arc<Upstream>> = Vec::new();
    for number in 0..TRIES_MAX {
        let Some(upstream) = group.pick(&unreachable) else { return Err(Plain::BAD_GATEWAY) };
        // The last try takes a connection that cannot have died already.
        let connected =
            if number + 1 < TRIES_MAX { upstream.connection().await } else { upstream.new_connection().await };
        let mut connection = match connected {
            Ok(it) => it,
            Err(error) => {
                tracing::debug!(upstream = %upstream.address, reason = %error, "An upstream cannot be reached");
                upstream.failed();
                unreachable.push(upstream);
                continue;
            }
        };
        let spare = spare_of(&request, &connection);
        match send(&mut connection, request, time).await {
            Tried::Answered(response) => {
                upstream.succeeded();
                return Ok(Exchange { response: *response, upstream, connection });
            }
            Tried::NotSent(unsent) => request = *unsent,
            Tried::Died(_) if let Some(spare) = spare => request = spare,
            Tried::Died(error) | Tried::Broken(error) => return Err(broken(&upstream, &error)),
            Tried::Late => {
                upstream.failed();
                return Err(Plain::TIMEOUT);
            }
        }
    }
    Err(Plain::BAD_GATEWAY)
}

/// What is told when an exchange broke: it may have been the client's body.
fn broken(upstream: &Upstream, error: &hyper::Error) -> Plain {
    tracing::debug!(upstream = %upstream.address, reason = %error, "An exchange with an upstream broke");
    if error.is_user() {
        return Plain::BODY_FAILED;
    }
    upstream.failed();
    Plain::BAD_GATEWAY
}

/// The same request once more, where it may be sent twice.
fn spare_of(request: &Request<RequestBody>, connection: &Connection) -> Option<Request<RequestBody>> {
    if !connection.is_used || !is_idempotent(request.method()) {
        return None;
    }
    let mut spare = Request::new(request.body().again()?);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    Some(spare)
}

/// Whether doing it twice is doing it once. Source: RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

async fn send(connection: &mut Connection, request: Request<RequestBody>, time: Duration) -> Tried {
    let before = connection.received();
    match timeout(time, connection.sender.try_send_request(request)).await {
        Ok(Ok(response)) => Tried::Answered(Box::new(response)),
        Err(_) => Tried::Late,
        Ok(Err(mut error)) => match error.take_message() {
            Some(request) => Tried::NotSent(Box::new(request)),
            None if connection.received() == before => Tried::Died(error.into_error()),
            None => Tried::Broken(error.into_error()),
        },
    }
}
