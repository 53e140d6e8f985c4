//! Paths.

/// Resolves `.`, `..` and doubled slashes. A `..` at the beginning of a relative path stays; above the root is the root.
/// With `is_windows` a backslash is a slash.
pub(super) fn normalize(text: &[u8], is_windows: bool, out: &mut Vec<u8>) {
    let is_slash = |byte: u8| byte == b'/' || (is_windows && byte == b'\\');
    let is_rooted = text.first().is_some_and(|it| is_slash(*it));
    let ends_in_slash = text.last().is_some_and(|it| is_slash(*it));
    if is_rooted {
        out.push(b'/');
    }
    for part in text.split(|it| is_slash(*it)) {
        match part {
            b"" | b"." => {}
            b".." => leave(is_rooted, out),
            it => enter(it, out),
        }
    }
    if ends_in_slash && !out.is_empty() && out.last() != Some(&b'/') {
        out.push(b'/');
    }
}

fn enter(part: &[u8], out: &mut Vec<u8>) {
    if !out.is_empty() && out.last() != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(part);
}

fn leave(is_rooted: bool, out: &mut Vec<u8>) {
    let cut = memchr::memrchr(b'/', out);
    let last = cut.map_or(&out[..], |at| &out[at + 1..]);
    match (last, cut) {
        (b"", _) if is_rooted => {}
        (b"" | b"..", _) => enter(b"..", out),
        (_, Some(0)) if is_rooted => out.truncate(1),
        (_, cut) => out.truncate(cut.unwrap_or(0)),
    }
}
