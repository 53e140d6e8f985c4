//! The lines of a chunked body: sizes and trailers.

use std::io;

use super::head;

/// How many digits a chunk's size may have.
const CHUNK_DIGITS_MAX: usize = 15;

/// Reads the size of a chunk: hexadecimal digits, then nothing or an extension.
pub(super) fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let digits = line.iter().take_while(|it| it.is_ascii_hexdigit()).count();
    let is_end = line.get(digits).is_none_or(|it| *it == b';');
    let is_clean = line.iter().all(|it| *it == b'\t' || (b' '..0x7f).contains(it));
    let text = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    match u64::from_str_radix(text, 16) {
        Ok(size) if is_end && is_clean && digits <= CHUNK_DIGITS_MAX => Ok(size),
        _ => Err(bad("the size of a chunk is no hexadecimal number")),
    }
}

/// Whether a line is a header field, as trailers must be.
pub(super) fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    0 < colon && line[..colon].iter().all(|it| head::is_token(*it)) && !line[colon..].contains(&b'\r')
}

/// What is wrong with a body.
pub(super) fn bad(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
