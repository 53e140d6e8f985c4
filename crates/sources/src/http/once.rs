//! The `Idempotency-Key`: a request that names itself, so that it can be repeated.

use hyper::HeaderMap;
use model::intake::Once;
use normalize::reading::Ids;
use web::route::Request;

/// The name of the header, as people write it.
pub(super) const HEADER: &str = "Idempotency-Key";
/// The longest key, in bytes: room for any kind of id, and small beside the answer that is remembered with it.
const KEY_BYTES_MAX: usize = 200;

/// Why a key cannot be used, in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadKey(pub(super) &'static str);

/// Reads the key of a request, if it has one.
pub(super) fn key_of(headers: &HeaderMap) -> Result<Option<String>, BadKey> {
    let mut keys = headers.get_all(HEADER).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(BadKey("there is more than one Idempotency-Key; send one"));
    }
    let is_usable = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    let text = key.to_str().ok().filter(|_| is_usable);
    text.map(|it| Some(it.to_owned())).ok_or(BadKey("the Idempotency-Key must be 1 to 200 visible ASCII characters"))
}

/// How the records of a request with this name get their ids.
pub(super) fn ids(name: Option<&str>) -> Ids<'_> {
    name.map_or(Ids::New, |key| Ids::Request { key })
}

/// Names the request by its key; the digest tells a repetition from another request under the same key.
pub(super) fn once(key: Option<String>, request: &Request) -> Option<Once> {
    key.map(|key| Once { key, body: model::id::digest128(&[request.path.as_bytes(), &request.body]) })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&[u8]], expected: Result<Option<&str>, ()>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        assert_eq!(key_of(&headers).map_err(|_| ()), expected.map(|it| it.map(str::to_owned)));
    }

    #[test]
    fn takes_visible_ascii_up_to_200_bytes() {
        let longest = "k".repeat(KEY_BYTES_MAX);
        check(&[], Ok(None));
        check(&[b"night-batch"], Ok(Some("night-batch")));
        check(&[longest.as_bytes()], Ok(Some(&longest)));
        check(&["k".repeat(KEY_BYTES_MAX + 1).as_bytes()], Err(()));
        for wrong in [&b""[..], b"a b", b"a\tb", b"\xff", "ü".as_bytes()] {
            check(&[wrong], Err(()));
        }
        check(&[b"a", b"a"], Err(()));
    }
}
