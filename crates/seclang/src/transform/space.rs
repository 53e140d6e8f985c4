//! White space, comments, and what a shell does not see.

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether `byte` is white space or the hard space of Latin-1.
pub(super) fn is_white_or_hard_space(byte: u8) -> bool {
    is_white(byte) || byte == 0xa0
}

/// Leaves bytes out, what is between them in one piece.
pub(super) fn leave_out(text: &[u8], is_out: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for part in text.split(|it| is_out(*it)) {
        out.extend_from_slice(part);
    }
}

/// Writes one space for each run of white space.
pub(super) fn compress(text: &[u8], out: &mut Vec<u8>) {
    let mut is_in_space = false;
    for byte in text {
        let is_space = is_white_or_hard_space(*byte);
        match (is_space, is_in_space) {
            (true, true) => {}
            (true, false) => out.push(b' '),
            (false, _) => out.push(*byte),
        }
        is_in_space = is_space;
    }
}

/// The text without the white space at its beginning.
pub(super) fn trim_left(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|it| !is_white(*it)).unwrap_or(text.len());
    &text[from..]
}

/// The text without the white space at its end.
pub(super) fn trim_right(text: &[u8]) -> &[u8] {
    let to = text.iter().rposition(|it| !is_white(*it)).map_or(0, |it| it + 1);
    &text[..to]
}

/// Writes `with` for each `/* … */`, whose end may be missing.
pub(super) fn replace_comments(text: &[u8], with: Option<u8>, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, b"/*") {
        out.extend_from_slice(&rest[..at]);
        out.extend(with);
        let inside = &rest[at + 2..];
        rest = memchr::memmem::find(inside, b"*/").map_or(&[], |end| &inside[end + 2..]);
    }
    out.extend_from_slice(rest);
}

/// Leaves out `/*`, `*/`, `--` and `#`.
pub(super) fn remove_comment_marks(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += match (byte, text.get(at + 1)) {
            (b'/', Some(b'*')) | (b'*', Some(b'/')) | (b'-', Some(b'-')) => 2,
            (b'#', _) => 1,
            _ => {
                out.push(*byte);
                1
            }
        };
    }
}

/// Writes a command as a shell sees it: without quotes and carets, with one space where there was any, in lower case.
pub(super) fn command_line(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t'..=b'\r' => {
                if out.last() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            b'/' | b'(' => {
                if out.last() == Some(&b' ') {
                    out.pop();
                }
                out.push(*byte);
            }
            it => out.push(it.to_ascii_lowercase()),
        }
    }
}
