//! Texts in alphabets that are no extension of ASCII: EBCDIC and UTF-7. Some servers read a body so when its type says it.

/// How a text is written, as far as inspection must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// ASCII, an extension of it, or UTF-16 and UTF-32, which are known by their bytes.
    Common,
    /// EBCDIC; the pairs are where it differs from code page 037.
    Ebcdic(&'static [(u8, u8)]),
    /// ASCII with parts in base64. Source: RFC 2152.
    Utf7,
    /// Another one.
    Unknown,
}

/// Where code page 500 differs from 037.
const PAGE_500: &[(u8, u8)] =
    &[(0x4a, b'['), (0x4f, b'!'), (0x5a, b']'), (0x5f, b'^'), (0xb0, 0xa2), (0xba, 0xac), (0xbb, b'|')];
/// Where code page 1047 differs from 037.
const PAGE_1047: &[(u8, u8)] =
    &[(0x15, b'\n'), (0x25, 0x85), (0x5f, b'^'), (0xad, b'['), (0xb0, 0xac), (0xba, 0xdd), (0xbb, 0xa8), (0xbd, b']')];

/// How the names of alphabets begin that are extensions of ASCII, in lower case and without what is between letters and digits.
const COMMON: [&str; 37] = [
    "utf8", "utf16", "utf32", "ucs2", "ucs4", "iso10646", "usascii", "ascii", "ansi", "iso88", "iso646", "latin",
    "windows", "cp125", "cp437", "cp850", "cp852", "cp866", "cp874", "cp932", "cp936", "cp949", "cp950", "koi8",
    "gb2312", "gbk", "gb18030", "big5", "euc", "shiftjis", "sjis", "xsjis", "ksc", "tis620", "mac", "xmac", "xeuc",
];
/// Names of pages of EBCDIC that are read as 037.
const EBCDIC: [&str; 6] = ["037", "1140", "csibm037", "ebcdiccpus", "ebcdiccpca", "ebcdiccpnl"];

impl Alphabet {
    /// Finds it by its name, however that is spelled; no name is a common one.
    pub(crate) fn of_name(name: &[u8]) -> Self {
        let is_letter = |it: &&u8| it.is_ascii_alphanumeric();
        let name: String =
            name.iter().filter(is_letter).take(32).map(|it| char::from(it.to_ascii_lowercase())).collect();
        if name.is_empty() || COMMON.iter().any(|it| name.starts_with(it)) {
            return Self::Common;
        }
        if name.ends_with("utf7") {
            return Self::Utf7;
        }
        match name.strip_prefix("ibm").or_else(|| name.strip_prefix("cp")).unwrap_or(&name).trim_start_matches('0') {
            "500" | "csibm500" | "1148" => Self::Ebcdic(PAGE_500),
            "1047" => Self::Ebcdic(PAGE_1047),
            "37" => Self::Ebcdic(&[]),
            it if EBCDIC.contains(&it) => Self::Ebcdic(&[]),
            _ => Self::Unknown,
        }
    }

    /// The alphabet that the declaration of an XML document names.
    pub(crate) fn declared(document: &[u8]) -> Self {
        /// A declaration is hardly longer.
        const DECLARATION_BYTES_MAX: usize = 256;
        let head = &document[..document.len().min(DECLARATION_BYTES_MAX)];
        if head.starts_with(b"\x4c\x6f\xa7\x94\x93") {
            // `<?xml` in EBCDIC. Source: XML 1.0, appendix F.
            return Self::Ebcdic(&[]);
        }
        let head = head.trim_ascii_start();
        let end = memchr::memmem::find(head, b"?>").unwrap_or(head.len());
        let Some(at) = memchr::memmem::find(&head[..end], b"encoding").filter(|_| head.starts_with(b"<?xml")) else {
            return Self::Common;
        };
        let value = head[at + b"encoding".len()..end].split(|it| matches!(it, b'"' | b'\'')).nth(1);
        Self::of_name(value.unwrap_or_default())
    }

    /// Returns `text` in UTF-8; `None` where that changes nothing or cannot be done.
    pub(crate) fn to_utf8(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Common | Self::Unknown => None,
            Self::Ebcdic(differences) => {
                let character =
                    |it: &u8| differences.iter().find(|d| d.0 == *it).map_or(PAGE_037[usize::from(*it)], |d| d.1);
                Some(text.iter().map(character).map(char::from).collect::<String>().into_bytes())
            }
            Self::Utf7 => memchr::memchr(b'+', text).map(|_| utf7(text)),
        }
    }
}

/// Undoes UTF-7; what is broken is left out.
fn utf7(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'+', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let length = rest.iter().position(|it| digit(*it).is_none()).unwrap_or(rest.len());
        let (digits, behind) = rest.split_at(length);
        if digits.is_empty() {
            out.push(b'+');
        } else {
            let units = char::decode_utf16(units(digits));
            let part: String = units.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            out.extend_from_slice(part.as_bytes());
        }
        rest = behind.strip_prefix(b"-").unwrap_or(behind);
    }
    out.extend_from_slice(rest);
    out
}

/// The units of UTF-16 that stand in base64.
fn units(digits: &[u8]) -> impl Iterator<Item = u16> {
    let (mut bits, mut count) = (0_u32, 0);
    digits.iter().filter_map(|it| digit(*it)).filter_map(move |it| {
        bits = bits << 6 | it;
        count += 6;
        if count < 16 {
            return None;
        }
        count -= 16;
        u16::try_from(bits >> count & 0xffff).ok()
    })
}

const fn digit(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    } as u32)
}

/// Code page 037 in Latin-1.
#[rustfmt::skip]
const PAGE_037: [u8; 256] = [
    0x00, 0x01, 0x02, 0x03, 0x9c, 0x09, 0x86, 0x7f, 0x97, 0x8d, 0x8e, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x9d, 0x85, 0x08, 0x87, 0x18, 0x19, 0x92, 0x8f, 0x1c, 0x1d, 0x1e, 0x1f,
    0x80, 0x81, 0x82, 0x83, 0x84, 0x0a, 0x17, 0x1b, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x05, 0x06, 0x07,
    0x90, 0x91, 0x16, 0x93, 0x94, 0x95, 0x96, 0x04, 0x98, 0x99, 0x9a, 0x9b, 0x14, 0x15, 0x9e, 0x1a,
    0x20, 0xa0, 0xe2, 0xe4, 0xe0, 0xe1, 0xe3, 0xe5, 0xe7, 0xf1, 0xa2, 0x2e, 0x3c, 0x28, 0x2b, 0x7c,
    0x26, 0xe9, 0xea, 0xeb, 0xe8, 0xed, 0xee, 0xef, 0xec, 0xdf, 0x21, 0x24, 0x2a, 0x29, 0x3b, 0xac,
    0x2d, 0x2f, 0xc2, 0xc4, 0xc0, 0xc1, 0xc3, 0xc5, 0xc7, 0xd1, 0xa6, 0x2c, 0x25, 0x5f, 0x3e, 0x3f,
    0xf8, 0xc9, 0xca, 0xcb, 0xc8, 0xcd, 0xce, 0xcf, 0xcc, 0x60, 0x3a, 0x23, 0x40, 0x27, 0x3d, 0x22,
    0xd8, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0xab, 0xbb, 0xf0, 0xfd, 0xfe, 0xb1,
    0xb0, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0xaa, 0xba, 0xe6, 0xb8, 0xc6, 0xa4,
    0xb5, 0x7e, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0xa1, 0xbf, 0xd0, 0xdd, 0xde, 0xae,
    0x5e, 0xa3, 0xa5, 0xb7, 0xa9, 0xa7, 0xb6, 0xbc, 0xbd, 0xbe, 0x5b, 0x5d, 0xaf, 0xa8, 0xb4, 0xd7,
    0x7b, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0xad, 0xf4, 0xf6, 0xf2, 0xf3, 0xf5,
    0x7d, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0xb9, 0xfb, 0xfc, 0xf9, 0xfa, 0xff,
    0x5c, 0xf7, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0xb2, 0xd4, 0xd6, 0xd2, 0xd3, 0xd5,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0xb3, 0xdb, 0xdc, 0xd9, 0xda, 0x9f,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alphabet_is_found_however_its_name_is_spelled() {
        for (name, expected) in [
            ("", Alphabet::Common),
            ("UTF-8", Alphabet::Common),
            ("utf8", Alphabet::Common),
            ("ISO-8859-15", Alphabet::Common),
            ("x-sjis", Alphabet::Common),
            ("cp930", Alphabet::Unknown),
            ("Shift_JIS", Alphabet::Common),
            ("utf-7", Alphabet::Utf7),
            ("UNICODE-1-1-UTF-7", Alphabet::Utf7),
            ("ibm037", Alphabet::Ebcdic(&[])),
            ("CP037", Alphabet::Ebcdic(&[])),
            ("ibm-37", Alphabet::Ebcdic(&[])),
            ("IBM01140", Alphabet::Ebcdic(&[])),
            ("ebcdic-cp-us", Alphabet::Ebcdic(&[])),
            ("ibm500", Alphabet::Ebcdic(PAGE_500)),
            ("ibm1047", Alphabet::Ebcdic(PAGE_1047)),
            ("ibm273", Alphabet::Unknown),
            ("hz-gb-2312", Alphabet::Unknown),
            ("iso-2022-kr", Alphabet::Unknown),
        ] {
            assert_eq!(Alphabet::of_name(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn a_document_names_its_alphabet() {
        for (document, expected) in [
            (&b"<a/>"[..], Alphabet::Common),
            (b"<?xml version=\"1.0\"?><a encoding=\"utf-7\"/>", Alphabet::Common),
            (b"<?xml version='1.0' encoding='UTF-7'?>", Alphabet::Utf7),
            (b"<?xml version=\"1.0\" encoding = \"ibm500\" ?>", Alphabet::Ebcdic(PAGE_500)),
            (b"<?xml encoding=\"x\"", Alphabet::Unknown),
            (b"<?xml encoding=", Alphabet::Common),
            (b"\x4c\x6f\xa7\x94\x93\x40", Alphabet::Ebcdic(&[])),
        ] {
            assert_eq!(Alphabet::declared(document), expected, "{document:?}");
        }
    }

    #[track_caller]
    fn check(name: &str, text: &[u8], expected: Option<&str>) {
        let actual = Alphabet::of_name(name.as_bytes()).to_utf8(text);
        assert_eq!(actual.as_deref(), expected.map(str::as_bytes), "{name} {text:?}");
    }

    #[test]
    fn reads_ebcdic_and_utf_7() {
        check("utf-8", b"+ADw-", None);
        check("ibm037", b"\x7d\x40\x96\x99\x40\xf1\x7e\xf1", Some("' or 1=1"));
        check("ibm037", b"\xba\xbb", Some("[]"));
        check("ibm500", b"\x4a\x5a", Some("[]"));
        check("ibm1047", b"\xad\xbd", Some("[]"));
        check("utf-7", b"+ADw-script+AD4-1+-1", Some("<script>1+1"));
        check("utf-7", b"+ADwAcwB2AGc-", Some("<svg"));
        check("utf-7", b"a+2D3eAA.b", Some("a\u{1f600}.b"));
        check("utf-7", b"a+2D0-b+", Some("a\u{fffd}b+"));
        check("utf-7", b"plain", None);
    }
}
