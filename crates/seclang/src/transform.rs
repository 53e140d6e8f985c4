//! Transformations: what a rule wants undone before it looks.
//!
//! Each says which bytes wake it. A text without any of them comes out as it went in, which is how nearly all texts go
//! through nearly all transformations without being read.

mod digest;
mod escape;
mod path;
mod space;
mod url;

use crate::bytes::ByteSet;

/// A transformation.
///
/// Source: "Transformation functions" of the reference manual of `ModSecurity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    Base64Decode,
    Base64DecodeLenient,
    Base64Encode,
    CmdLine,
    CompressWhitespace,
    CssDecode,
    EscapeSeqDecode,
    HexDecode,
    HexEncode,
    HtmlEntityDecode,
    JsDecode,
    Length,
    Lowercase,
    NormalizePath,
    NormalizePathWin,
    RemoveComments,
    RemoveCommentsChar,
    RemoveNulls,
    RemoveWhitespace,
    ReplaceComments,
    ReplaceNulls,
    Sha1,
    SqlHexDecode,
    Trim,
    TrimLeft,
    TrimRight,
    Uppercase,
    UrlDecode,
    UrlDecodeUni,
    UrlEncode,
    Utf8ToUnicode,
}

impl Transform {
    /// Every transformation under the names that rules use, in lower case.
    const NAMES: &[(&str, Self)] = &[
        ("base64decode", Self::Base64Decode),
        ("base64decodeext", Self::Base64DecodeLenient),
        ("base64encode", Self::Base64Encode),
        ("cmdline", Self::CmdLine),
        ("compresswhitespace", Self::CompressWhitespace),
        ("cssdecode", Self::CssDecode),
        ("escapeseqdecode", Self::EscapeSeqDecode),
        ("hexdecode", Self::HexDecode),
        ("hexencode", Self::HexEncode),
        ("htmlentitydecode", Self::HtmlEntityDecode),
        ("jsdecode", Self::JsDecode),
        ("length", Self::Length),
        ("lowercase", Self::Lowercase),
        ("normalisepath", Self::NormalizePath),
        ("normalisepathwin", Self::NormalizePathWin),
        ("normalizepath", Self::NormalizePath),
        ("normalizepathwin", Self::NormalizePathWin),
        ("removecomments", Self::RemoveComments),
        ("removecommentschar", Self::RemoveCommentsChar),
        ("removenulls", Self::RemoveNulls),
        ("removewhitespace", Self::RemoveWhitespace),
        ("replacecomments", Self::ReplaceComments),
        ("replacenulls", Self::ReplaceNulls),
        ("sha1", Self::Sha1),
        ("sqlhexdecode", Self::SqlHexDecode),
        ("trim", Self::Trim),
        ("trimleft", Self::TrimLeft),
        ("trimright", Self::TrimRight),
        ("uppercase", Self::Uppercase),
        ("urldecode", Self::UrlDecode),
        ("urldecodeuni", Self::UrlDecodeUni),
        ("urlencode", Self::UrlEncode),
        ("utf8tounicode", Self::Utf8ToUnicode),
    ];

    /// The transformation of this name, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1)
    }

    /// The bytes one of which a text must have so that it is changed. A text without them stays as it is.
    pub(crate) fn wakes_at(self) -> ByteSet {
        match self {
            Self::UrlDecode | Self::UrlDecodeUni => ByteSet::of(b"%+"),
            Self::HtmlEntityDecode => ByteSet::of(b"&"),
            Self::JsDecode | Self::CssDecode | Self::EscapeSeqDecode => ByteSet::of(b"\\"),
            Self::Utf8ToUnicode => ByteSet::range(0x80, 0xff),
            Self::RemoveNulls | Self::ReplaceNulls => ByteSet::of(b"\0"),
            Self::Lowercase => ByteSet::range(b'A', b'Z'),
            Self::Uppercase => ByteSet::range(b'a', b'z'),
            Self::NormalizePath => ByteSet::of(b"/"),
            Self::NormalizePathWin => ByteSet::of(b"/\\"),
            Self::ReplaceComments => ByteSet::of(b"*"),
            Self::RemoveComments | Self::RemoveCommentsChar => ByteSet::of(b"*-#"),
            Self::RemoveWhitespace | Self::CompressWhitespace => ByteSet::WHITE.union(&ByteSet::of(b"\xa0")),
            Self::Trim | Self::TrimLeft | Self::TrimRight => ByteSet::WHITE,
            Self::CmdLine => ByteSet::of(b"\"'\\^,; \t\r\n\x0b\x0c").union(&ByteSet::range(b'A', b'Z')),
            Self::SqlHexDecode => ByteSet::of(b"xX"),
            Self::Base64Decode
            | Self::Base64DecodeLenient
            | Self::Base64Encode
            | Self::HexDecode
            | Self::HexEncode
            | Self::Length
            | Self::Sha1
            | Self::UrlEncode => ByteSet::FULL,
        }
    }

    /// Whether it changes the case of ASCII letters and nothing else.
    pub(crate) fn only_folds_case(self) -> bool {
        matches!(self, Self::Lowercase | Self::Uppercase)
    }

    /// Writes what becomes of `text` to `out`, which is cleared. At most six times as long as `text`, or 40 bytes.
    pub(crate) fn apply(self, text: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match self {
            Self::Base64Decode => digest::base64_decode(text, false, out),
            Self::Base64DecodeLenient => digest::base64_decode(text, true, out),
            Self::Base64Encode => digest::base64_encode(text, out),
            Self::CmdLine => space::command_line(text, out),
            Self::CompressWhitespace => space::compress(text, out),
            Self::CssDecode => escape::css(text, out),
            Self::EscapeSeqDecode => escape::ansi_c(text, out),
            Self::HexDecode => digest::hex_decode(text, out),
            Self::HexEncode => digest::hex_encode(text, out),
            Self::HtmlEntityDecode => escape::html(text, out),
            Self::JsDecode => escape::javascript(text, out),
            Self::Length => out.extend_from_slice(text.len().to_string().as_bytes()),
            Self::Lowercase => out.extend(text.iter().map(u8::to_ascii_lowercase)),
            Self::NormalizePath => path::normalize(text, false, out),
            Self::NormalizePathWin => path::normalize(text, true, out),
            Self::RemoveComments => space::replace_comments(text, None, out),
            Self::RemoveCommentsChar => space::remove_comment_marks(text, out),
            Self::RemoveNulls => space::leave_out(text, |it| it == 0, out),
            Self::RemoveWhitespace => space::leave_out(text, space::is_white_or_hard_space, out),
            Self::ReplaceComments => space::replace_comments(text, Some(b' '), out),
            Self::ReplaceNulls => out.extend(text.iter().map(|it| if *it == 0 { b' ' } else { *it })),
            Self::Sha1 => out.extend_from_slice(&digest::sha1(text)),
            Self::SqlHexDecode => digest::sql_hex_decode(text, out),
            Self::Trim => out.extend_from_slice(space::trim_left(space::trim_right(text))),
            Self::TrimLeft => out.extend_from_slice(space::trim_left(text)),
            Self::TrimRight => out.extend_from_slice(space::trim_right(text)),
            Self::Uppercase => out.extend(text.iter().map(u8::to_ascii_uppercase)),
            Self::UrlDecode => url::decode(text, false, out),
            Self::UrlDecodeUni => url::decode(text, true, out),
            Self::UrlEncode => url::encode(text, out),
            Self::Utf8ToUnicode => url::utf8_to_unicode(text, out),
        }
    }
}

/// Undoes `%HH` in a path, where `+` is itself.
pub(crate) fn decode_path(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    url::decode_escapes(text, out);
}

/// The value of a hexadecimal digit.
fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that two hexadecimal digits at the beginning of `text` stand for.
fn hex_byte(text: &[u8]) -> Option<u8> {
    Some(hex_value(*text.first()?)? << 4 | hex_value(*text.get(1)?)?)
}

/// The byte for a code point of four hexadecimal digits: full-width forms become what they look like, others lose their
/// upper half.
fn narrow(text: &[u8]) -> Option<u8> {
    let upper = hex_byte(text)?;
    let lower = hex_byte(text.get(2..)?)?;
    let is_full_width = upper == 0xff && (0x01..=0x5e).contains(&lower);
    Some(if is_full_width { lower + 0x20 } else { lower })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Transform;
    use crate::bytes::ByteSet;

    #[track_caller]
    fn check(name: &str, text: &[u8], expected: &[u8]) {
        let mut out = Vec::new();
        Transform::from_name(name).unwrap().apply(text, &mut out);
        assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn undoes_the_encodings_of_addresses() {
        check("urlDecodeUni", b"a%41+%u0042%uff1c%zz%4", b"aA B<%zz%4");
        check("urlDecode", b"%u0041%20", b"%u0041 ");
        check("utf8toUnicode", "aé<\u{ff1c}".as_bytes(), b"a%u00e9<%uff1c");
        check("utf8toUnicode", b"\xffa\xc3", b"\xffa\xc3");
        check("urlEncode", b"a b/", b"a+b%2f");
    }

    #[test]
    fn undoes_escapes() {
        check("htmlEntityDecode", b"&lt;&#x41;&#66;&#67&amp&nbsp;&x;&#x;&", b"<ABC&\xa0&x;&#x;&");
        check("jsDecode", b"\\u0041\\x42\\103\\n\\'\\uff1c\\", b"ABC\n'<\\");
        check("cssDecode", b"\\41 b\\000042c\\\nd\\z", b"Ab\x42cdz");
        check("escapeSeqDecode", b"\\x41\\102\\n\\q\\", b"AB\n\\q\\");
    }

    #[test]
    fn takes_white_space_comments_and_quotes_away() {
        check("removeWhitespace", b" a\tb\xa0c\n", b"abc");
        check("compressWhitespace", b"a \t\n b", b"a b");
        check("replaceComments", b"a/*x*/b/*y", b"a b ");
        check("removeComments", b"a/*x*/b", b"ab");
        check("removeCommentsChar", b"a/*b*/c--d#e", b"abcde");
        check("cmdLine", b"C^aT  /etc;'x'\\y , (Z", b"cat/etc xy(z");
        check("trim", b" a b\n", b"a b");
        check("removeNulls", b"a\0b", b"ab");
        check("replaceNulls", b"a\0b", b"a b");
    }

    #[test]
    fn resolves_paths() {
        check("normalizePath", b"/a//b/./c/../d/", b"/a/b/d/");
        check("normalizePath", b"../a/../../b", b"../../b");
        check("normalizePath", b"/../../etc/passwd", b"/etc/passwd");
        check("normalizePathWin", b"a\\..\\windows\\x", b"windows/x");
    }

    #[test]
    fn encodes_and_digests() {
        check("base64Decode", b"YWI/Yw==", b"ab?c");
        check("base64Decode", b"YWJj!!", b"abc");
        check("base64Encode", b"abcd", b"YWJjZA==");
        check("hexEncode", b"\x01\xff", b"01ff");
        check("hexDecode", b"01fF", b"\x01\xff");
        check("sqlHexDecode", b"a 0x414243 0x4", b"a ABC 0x4");
        check("length", b"abc", b"3");
        check("sha1", b"abc", b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d");
        check("sha1", &[b'a'; 64], b"\x00\x98\xba\x82\x4b\x5c\x16\x42\x7b\xd7\xa1\x12\x2a\x5a\x44\x2a\x25\xec\x64\x4d");
    }

    proptest! {
        #[test]
        fn a_text_without_the_bytes_that_wake_it_stays(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = ByteSet::of(&text);
            let mut out = Vec::new();
            for (name, transform) in Transform::NAMES {
                transform.apply(&text, &mut out);
                prop_assert!(out.len() <= 40.max(6 * text.len()), "{}", name);
                prop_assert!(bytes.meets(&transform.wakes_at()) || out == text || text.is_empty(), "{}", name);
            }
        }
    }
}
