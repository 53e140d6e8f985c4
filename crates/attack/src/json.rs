//! The texts of a JSON document, one after another; what is broken is left to the caller.

/// How deep a document is followed.
const DEPTH_MAX: usize = 64;

/// A text of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf<'a> {
    /// Where it stands: the names of the objects around it, as written, with dots between; elements of a list share its path.
    pub(crate) path: &'a [u8],
    /// What stands between the quotes, escapes and all.
    pub(crate) text: &'a [u8],
    /// Whether it is a name itself.
    pub(crate) is_name: bool,
}

/// Whether a text may be a JSON document.
pub(crate) fn may_be_document(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    match text.first() {
        Some(b'{') => matches!(text[1..].trim_ascii_start().first(), Some(b'"' | b'}')),
        Some(b'[') => matches!(
            text[1..].trim_ascii_start().first(),
            Some(b'"' | b'{' | b'[' | b']' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n')
        ),
        _ => false,
    }
}

/// Whether a text is JSON to its end.
pub(crate) fn is_document(text: &[u8]) -> bool {
    for_each(text, &mut |_| {}).is_none()
}

/// Calls `found` for each text; returns where the document stops being JSON, if it does.
pub(crate) fn for_each(document: &[u8], found: &mut dyn FnMut(Leaf<'_>)) -> Option<usize> {
    let (mut at, mut path) = (0, Path::default());
    while at < document.len() {
        match document[at] {
            b'"' => {
                let Some(end) = string_end(document, at + 1) else { return Some(at) };
                let text = &document[at + 1..end];
                at = end + 1;
                let blank = document[at..].iter().take_while(|it| it.is_ascii_whitespace()).count();
                let is_name = document.get(at + blank) == Some(&b':');
                if is_name {
                    at += blank + 1;
                    path.leave_name();
                }
                found(Leaf { path: &path.text, text, is_name });
                if is_name {
                    path.enter_name(text);
                }
            }
            b'{' | b'[' => {
                if DEPTH_MAX <= path.begins.len() {
                    return Some(at);
                }
                path.begins.push(path.text.len());
                at += 1;
            }
            b'}' | b']' => {
                let Some(begin) = path.begins.pop() else { return Some(at) };
                path.text.truncate(begin);
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E' => at += 1,
            b't' | b'f' | b'n' => {
                let word = document[at..].iter().take_while(|it| it.is_ascii_lowercase()).count();
                if !matches!(&document[at..at + word], b"true" | b"false" | b"null") {
                    return Some(at);
                }
                at += word;
            }
            _ => return Some(at),
        }
    }
    None
}

/// Where a reader of a document is.
#[derive(Debug, Default)]
struct Path {
    /// The names so far, with dots between.
    text: Vec<u8>,
    /// How long it was where each open object or list began.
    begins: Vec<usize>,
}

impl Path {
    /// Goes back to the object or list that is open.
    fn leave_name(&mut self) {
        self.text.truncate(self.begins.last().copied().unwrap_or(0));
    }

    fn enter_name(&mut self, name: &[u8]) {
        if !self.text.is_empty() {
            self.text.push(b'.');
        }
        self.text.extend_from_slice(name);
    }
}

fn string_end(document: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr2(b'"', b'\\', document.get(at..)?)?;
        if document[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Undoes the escapes of a text of JSON.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        out.extend_from_slice(&text[at..at + found]);
        at += found;
        let (byte, length) = match text.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'b') => (8, 2),
            Some(b'f') => (12, 2),
            Some(b'u') => match text
                .get(at + 2..at + 6)
                .and_then(|it| std::str::from_utf8(it).ok())
                .and_then(|it| u32::from_str_radix(it, 16).ok())
            {
                Some(code) => {
                    let character = char::from_u32(code).unwrap_or('\u{fffd}');
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    at += 6;
                    continue;
                }
                None => (b'\\', 1),
            },
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        at += length;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_text_with_its_name() {
        let mut found = Vec::new();
        let end = for_each(br#"{"a": "x", "b":[1,"y",{"c":"\"z"}], "d": true}"#, &mut |it| {
            found.push(format!("{}={}", String::from_utf8_lossy(it.path), String::from_utf8_lossy(it.text)));
        });
        assert_eq!(end, None);
        assert_eq!(found, ["=a", "a=x", "=b", "b=y", "b=c", r#"b.c=\"z"#, "=d"]);
    }

    #[test]
    fn a_name_ends_with_its_object() {
        let mut found = Vec::new();
        let document = br#"[{"a":"1","b":{"c":"2"}},"3",{"d":["4",{"e":"5"},"6"]},"7"] "8" {"f":"9"}"#;
        for_each(document, &mut |it| {
            if !it.is_name {
                found.push(format!("{}={}", String::from_utf8_lossy(it.path), String::from_utf8_lossy(it.text)));
            }
        });
        assert_eq!(found, ["a=1", "b.c=2", "=3", "d=4", "d.e=5", "d=6", "=7", "=8", "f=9"]);
    }

    #[test]
    fn says_where_it_stops_being_json() {
        for (text, expected) in [("{\"a\":<x>}", Some(5)), ("[\"open", Some(1)), ("}", Some(0)), ("{'a':1}", Some(1))] {
            assert_eq!(for_each(text.as_bytes(), &mut |_| {}), expected, "{text}");
        }
        assert!(for_each("[".repeat(100).as_bytes(), &mut |_| {}).is_some());
    }

    #[test]
    fn undoes_escapes() {
        let mut out = Vec::new();
        unescape(br#"\u003ca\/\n\"\q\u00"#, &mut out);
        assert_eq!(out, b"<a/\n\"q\\u00");
    }
}
