//! Bodies that are compressed, undone within a limit.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::request::Request;

/// How much of a compressed body is read once it is undone: four times what is handed over by default.
const PLAIN_BYTES_MAX: usize = 256 << 10;
/// How many codings may lie over each other.
const CODINGS_MAX: usize = 3;

/// A body without its codings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether there is more of it than [`PLAIN_BYTES_MAX`].
    pub(crate) is_cut: bool,
    /// Whether it is compressed in a way that cannot be undone; `bytes` are as sent then.
    pub(crate) is_sealed: bool,
}

/// Undoes what `Content-Encoding` says, gzip and deflate. A body that ends too early is read as far as it goes.
pub(crate) fn undo<'a>(request: &Request<'a>) -> Plain<'a> {
    let fields = request.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("content-encoding"));
    let names = fields.flat_map(|it| it.value.split(|it| *it == b',')).map(|it| it.trim_ascii().to_ascii_lowercase());
    let codings: Vec<Vec<u8>> = names.filter(|it| !matches!(&**it, b"" | b"identity")).take(CODINGS_MAX + 1).collect();
    let mut plain = Plain { bytes: Cow::Borrowed(request.body), is_cut: false, is_sealed: false };
    for coding in codings.iter().rev().enumerate() {
        let undone = if coding.0 < CODINGS_MAX { undone(coding.1, &plain.bytes) } else { None };
        let Some(mut bytes) = undone else {
            return Plain { bytes: Cow::Borrowed(request.body), is_cut: false, is_sealed: true };
        };
        plain.is_cut |= PLAIN_BYTES_MAX < bytes.len();
        bytes.truncate(PLAIN_BYTES_MAX);
        plain.bytes = Cow::Owned(bytes);
    }
    plain
}

fn undone(coding: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    match coding {
        b"gzip" | b"x-gzip" => text_of(MultiGzDecoder::new(body)),
        // Some senders leave the frame of zlib out. Source: RFC 9110, section 8.4.1.2.
        b"deflate" => text_of(ZlibDecoder::new(body)).or_else(|| text_of(DeflateDecoder::new(body))),
        _ => None,
    }
}

/// What can be read, one byte more than the limit at most; `None`: nothing can.
fn text_of(decoder: impl Read) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let read = decoder.take(PLAIN_BYTES_MAX as u64 + 1).read_to_end(&mut out);
    (read.is_ok() || !out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::request::Header;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(codings: &[&str], body: &[u8]) -> (Vec<u8>, bool, bool) {
        let header = |it: &&'static str| Header { name: "Content-Encoding", value: it.as_bytes() };
        let codings: Vec<&'static str> = codings.iter().map(|it| &*it.to_string().leak()).collect();
        let headers: Vec<Header<'_>> = codings.iter().map(header).collect();
        let plain = undo(&Request { headers: &headers, body, ..Request::default() });
        (plain.bytes.into_owned(), plain.is_cut, plain.is_sealed)
    }

    #[track_caller]
    fn check(codings: &[&str], body: &[u8], expected: &[u8]) {
        assert_eq!(plain(codings, body), (expected.to_vec(), false, false), "{codings:?}");
    }

    #[test]
    fn undoes_what_the_fields_say() {
        check(&[], b"a=1", b"a=1");
        check(&["identity"], b"a=1", b"a=1");
        check(&["GZIP"], &gzip(b"a=1"), b"a=1");
        check(&["x-gzip, identity"], &gzip(b"a=1"), b"a=1");
        check(&["deflate"], &zlib(b"a=1"), b"a=1");
        check(&["deflate"], &raw(b"a=1"), b"a=1");
        check(&["gzip", "deflate"], &zlib(&gzip(b"a=1")), b"a=1");
        check(&["gzip"], &[gzip(b"a=1"), gzip(b"&b=2")].concat(), b"a=1&b=2");
    }

    #[test]
    fn what_cannot_be_undone_is_sealed_and_read_as_sent() {
        let four = ["gzip", "gzip", "gzip", "gzip"];
        for (codings, body) in [(&["br"][..], &b"a=1"[..]), (&["gzip"], b"a=1"), (&["gzip"], b""), (&four, b"a=1")] {
            assert_eq!(plain(codings, body), (body.to_vec(), false, true), "{codings:?}");
        }
    }

    #[test]
    fn a_body_that_grows_is_cut_at_the_limit_and_a_torn_one_read_as_far_as_it_goes() {
        assert_eq!(plain(&["gzip"], &gzip(&vec![b'a'; PLAIN_BYTES_MAX])), (vec![b'a'; PLAIN_BYTES_MAX], false, false));
        assert_eq!(
            plain(&["gzip"], &gzip(&vec![b'a'; PLAIN_BYTES_MAX + 1])),
            (vec![b'a'; PLAIN_BYTES_MAX], true, false)
        );
        let whole = gzip(b"a=1&b=2&c=3");
        let (bytes, _, is_sealed) = plain(&["gzip"], &whole[..whole.len() - 6]);
        assert!(bytes.starts_with(b"a=1") && !is_sealed, "{bytes:?}");
    }
}
