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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Whether there is more of it than [`PLAIN_BYTES_MAX`].
    pub(crate) is_cut: bool,
    /// Whether it is compressed in a way that cannot be undone; `bytes` are as sent then.
    pub(crate) is_sealed: bool,
    /// Whether it is undone up to a mistake, or there is something behind what is compressed.
    pub(crate) is_torn: bool,
}

/// Undoes what `Content-Encoding` says, gzip and deflate. A body that ends too early, or in something else, is read as far as it
/// goes.
pub(crate) fn undo<'a>(request: &Request<'a>) -> Plain<'a> {
    let fields = request.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("content-encoding"));
    let names = fields.flat_map(|it| it.value.split(|it| *it == b',')).map(|it| it.trim_ascii().to_ascii_lowercase());
    let codings: Vec<Vec<u8>> = names.filter(|it| !matches!(&**it, b"" | b"identity")).take(CODINGS_MAX + 1).collect();
    let sent = Plain { bytes: Cow::Borrowed(request.body), is_cut: false, is_sealed: false, is_torn: false };
    let mut plain = sent.clone();
    for (number, coding) in codings.iter().rev().enumerate() {
        let undone = if number < CODINGS_MAX { undone(coding, &plain.bytes) } else { None };
        let Some(mut undone) = undone else {
            return Plain { is_sealed: true, ..sent };
        };
        plain.is_cut |= PLAIN_BYTES_MAX < undone.bytes.len();
        plain.is_torn |= undone.is_torn;
        undone.bytes.truncate(PLAIN_BYTES_MAX);
        plain.bytes = Cow::Owned(undone.bytes);
    }
    plain
}

/// What came out of one coding.
struct Undone {
    bytes: Vec<u8>,
    is_torn: bool,
}

fn undone(coding: &[u8], body: &[u8]) -> Option<Undone> {
    let length = body.len() as u64;
    match coding {
        // What follows its last member is a mistake to it.
        b"gzip" | b"x-gzip" => text_of(&mut MultiGzDecoder::new(body), |_| length, length),
        // Some senders leave the frame of zlib out. Source: RFC 9110, section 8.4.1.2.
        b"deflate" => text_of(&mut ZlibDecoder::new(body), ZlibDecoder::total_in, length)
            .or_else(|| text_of(&mut DeflateDecoder::new(body), DeflateDecoder::total_in, length)),
        _ => None,
    }
}

/// What can be read, one byte more than the limit at most; `None`: nothing can. `taken` says how much of `length` was used up.
fn text_of<D: Read>(decoder: &mut D, taken: impl Fn(&D) -> u64, length: u64) -> Option<Undone> {
    let mut bytes = Vec::new();
    let read = decoder.by_ref().take(PLAIN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    let is_whole = read.is_ok() && (PLAIN_BYTES_MAX < bytes.len() || taken(decoder) == length);
    (read.is_ok() || !bytes.is_empty()).then_some(Undone { bytes, is_torn: !is_whole })
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
        (plain.bytes.into_owned(), plain.is_cut, plain.is_sealed || plain.is_torn)
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
        for cut in [1, 6] {
            let (bytes, _, is_torn) = plain(&["gzip"], &whole[..whole.len() - cut]);
            assert!(bytes.starts_with(b"a=1") && is_torn, "{bytes:?}");
        }
    }

    #[test]
    fn what_stands_behind_a_compressed_body_is_told() {
        for (coding, body) in [("gzip", gzip(b"a=1")), ("deflate", zlib(b"a=1")), ("deflate", raw(b"a=1"))] {
            check(&[coding], &body, b"a=1");
            assert_eq!(plain(&[coding], &[&body[..], b"&b=2"].concat()), (b"a=1".to_vec(), false, true), "{coding}");
        }
    }
}
