//! Paths that leave their folder, and files that no visitor asks for.

use std::sync::LazyLock;

use crate::commands::COMMANDS;
use crate::hit::Hit;
use crate::report::Family;
use aho_corasick::AhoCorasick;

/// A longer text is no path.
const PATH_BYTES_MAX: usize = 8192;

/// Files and folders whose names say that the system itself is read: found below a climb, or from the root.
const SYSTEM_FILES: &[&[u8]] = &[
    b"etc/passwd",
    b"etc/shadow",
    b"etc/issue",
    b"etc/hosts",
    b"etc/group",
    b"etc/hostname",
    b"etc/crontab",
    b"etc/master.passwd",
    b"etc/security",
    b"etc/sudoers",
    b"etc/mysql/",
    b"etc/apache2/",
    b"etc/httpd/",
    b"etc/nginx/",
    b"etc/ssh/",
    b"proc/self/",
    b"proc/version",
    b"windows/win.ini",
    b"windows/system32",
    b"winnt/system32",
    b"windows/repair",
    b"windows/system.ini",
    b"system32/drivers",
    b"var/log/apache",
    b"var/log/nginx",
    b"var/log/httpd",
    b"var/log/auth.log",
    b"var/log/syslog",
    b"web-inf/",
    b"meta-inf/",
    b".ssh/id_",
    b".ssh/authorized_keys",
    b".bash_history",
    b"c$/users/",
    b"c$/windows/",
    b"root/.",
    b"boot.ini",
    b"autoexec.bat",
    b"inetpub/",
];

/// Files that are telling below a climb only.
const OTHER_FILES: &[&[u8]] = &[
    b"etc/",
    b"boot.ini",
    b"win.ini",
    b"php.ini",
    b"my.cnf",
    b"httpd.conf",
    b".htaccess",
    b".htpasswd",
    b"web.config",
    b"var/log/",
    b"usr/lib/",
    b"usr/local/",
    b"proc/",
    b"autoexec.bat",
    b"ntuser.dat",
    b"inetpub/",
    b"web.xml",
    b"wp-config",
    b".env",
    b".git/",
    b"windows/",
    b"winnt/",
    b"system.ini",
    b"passwd",
    b"shadow",
    b"id_rsa",
    b"access.log",
    b"access_log",
    b"error_log",
    b"error.log",
    b"bin/",
    b"cmd.exe",
    b"config.",
    b"global.asa",
];

/// Schemes with which interpreters read files and run code.
const WRAPPERS: &[&[u8]] = &[
    b"php://",
    b"data://",
    b"phar://",
    b"expect://",
    b"zip://",
    b"compress.zlib://",
    b"netdoc:",
    b"jar:http",
    b"glob://",
];

/// A text as a lenient server reads it as a path.
#[derive(Debug, Default)]
pub(crate) struct Path {
    text: Vec<u8>,
    /// Without steps that stay in place.
    flat: Vec<u8>,
    /// Whether a dot or a slash was written so that only a lenient decoder reads it.
    is_disguised: bool,
    climbs: usize,
    /// Climbs with a question mark for a dot: some servers read it as any character.
    soft_climbs: usize,
    /// How many climbs follow one another.
    climbs_in_a_row: usize,
    idle_steps: usize,
}

impl Path {
    /// Reads `text`, after percent-decoding and in lower case.
    pub(crate) fn read(&mut self, text: &[u8]) {
        self.text.clear();
        self.is_disguised = false;
        let mut at = 0;
        while at < text.len() {
            let (byte, length) = self.byte_at(&text[at..]);
            self.text.extend(byte);
            at += length;
        }
        self.count();
    }

    fn byte_at(&mut self, rest: &[u8]) -> (Option<u8>, usize) {
        let first = rest[0];
        match first {
            b'\\' => (Some(b'/'), 1),
            0..0x20 => (None, 1),
            b'%' => match lax_escape(rest) {
                Some(byte) if 0xc0 == byte || 0xc1 == byte => match rest.get(3..).and_then(lax_escape) {
                    Some(other) => self.disguised(overlong(&[byte, other]), 6),
                    None => (Some(b'%'), 1),
                },
                _ => (Some(b'%'), 1),
            },
            b'0' if rest.starts_with(b"0x2e") => self.disguised(Some(b'.'), 4),
            b'0' if rest.starts_with(b"0x2f") || rest.starts_with(b"0x5c") => self.disguised(Some(b'/'), 4),
            0xc0 | 0xc1 => self.two_bytes(rest),
            0xe0 if matches!(rest.get(1), Some(0x80..=0x9f)) && 3 <= rest.len() => {
                self.disguised(overlong(&rest[1..3]), 3)
            }
            0xf0 if rest.get(1) == Some(&0x80) && 4 <= rest.len() => self.disguised(overlong(&rest[2..4]), 4),
            0xf8 if rest.get(1) == Some(&0x80) && 5 <= rest.len() => self.disguised(overlong(&rest[3..5]), 5),
            0xfc if rest.get(1) == Some(&0x80) && 6 <= rest.len() => self.disguised(overlong(&rest[4..6]), 6),
            0xe2 | 0xee | 0xef => {
                match std::str::from_utf8(rest.get(..3).unwrap_or_default()).ok().and_then(|it| it.chars().next()) {
                    Some(
                        '\u{2215}' | '\u{2216}' | '\u{2044}' | '\u{29f5}' | '\u{ff0f}' | '\u{ff3c}' | '\u{efc8}'
                        | '\u{f025}',
                    ) => self.disguised(Some(b'/'), 3),
                    Some('\u{ff0e}' | '\u{2024}') => self.disguised(Some(b'.'), 3),
                    _ => (Some(first), 1),
                }
            }
            _ => (Some(first), 1),
        }
    }

    fn two_bytes(&mut self, rest: &[u8]) -> (Option<u8>, usize) {
        match rest.get(1) {
            Some(b'.' | b'/' | b'\\') => self.disguised(Some(if rest[1] == b'.' { b'.' } else { b'/' }), 2),
            Some(b'%') => match lax_escape(&rest[1..]) {
                Some(other) => self.disguised(overlong(&[rest[0], other]), 4),
                None => (Some(rest[0]), 1),
            },
            // No decoder agrees with another on these; one of them reads a dot, or a slash.
            Some(0x1c | 0xaf) if rest[0] == 0xc1 => self.disguised(Some(b'/'), 2),
            Some(0xc0.. | b'^') if rest[0] == 0xc0 => self.disguised(Some(b'.'), 2),
            Some(0x80..=0xbf) => self.disguised(overlong(&rest[..2]), 2),
            _ => (Some(rest[0]), 1),
        }
    }

    fn disguised(&mut self, byte: Option<u8>, length: usize) -> (Option<u8>, usize) {
        match byte {
            Some(b'.' | b'/' | b'\\') => {
                self.is_disguised = true;
                (byte.map(|it| if it == b'\\' { b'/' } else { it }), length)
            }
            // It stands for something else: another alphabet than UTF-8, most likely.
            _ => (byte.or(Some(b'?')), length),
        }
    }

    fn count(&mut self) {
        (self.climbs, self.soft_climbs, self.climbs_in_a_row, self.idle_steps) = (0, 0, 0, 0);
        self.flat.clear();
        for (number, segment) in self.text.split(|it| *it == b'/').enumerate() {
            // The first stays, empty or not: a root is a root.
            if number == 0 || !(segment.is_empty() || segment == b".") {
                self.flat.extend_from_slice(segment);
                self.flat.push(b'/');
            }
        }
        self.flat.pop();
        let mut row = 0;
        let mut segments = self.text.split(|it| *it == b'/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            // `..;` is `..` to servers that let segments have parameters.
            let segment = match memchr::memchr(b';', segment) {
                Some(end) if 0 < end && segment[..end].iter().all(|it| *it == b'.') => &segment[..end],
                _ => segment,
            };
            // Of a first segment the end counts: `x=..`, `"..`.
            let is_dot = |it: &&u8| matches!(**it, b'.' | b'?');
            let tail = segment.len() - segment.iter().rev().take_while(is_dot).count();
            let dots = segment.len() - tail;
            let is_dots = tail == 0 || segment[tail - 1].is_ascii_punctuation() && segment[tail - 1] != b'.';
            let is_soft = segment[tail..].contains(&b'?') && !self.is_disguised;
            if 2 <= dots && is_dots && !is_last && is_soft {
                self.soft_climbs += 1;
            } else if 2 <= dots && is_dots && !is_last {
                self.climbs += 1;
                row += 1;
                self.climbs_in_a_row = self.climbs_in_a_row.max(row);
            } else if tail == 0 && dots == 1 && !is_last {
                self.idle_steps += 1;
            } else if !segment.is_empty() {
                row = 0;
            }
        }
    }

    fn begins_with_climb(&self) -> bool {
        let text = self.flat.strip_prefix(b"/").unwrap_or(&self.flat);
        [&b"../"[..], b".../", b"..../"].iter().any(|it| text.starts_with(it))
    }

    /// Whether it ends as what a server runs or is set up with, and serves to nobody.
    fn ends_as_source(&self) -> bool {
        const ENDS: &[&[u8]] = &[
            b".php",
            b".ini",
            b".conf",
            b".cfg",
            b".log",
            b".asp",
            b".aspx",
            b".jsp",
            b".bak",
            b".sql",
            b".inc",
            b".properties",
            b".pem",
            b".key",
            b".passwd",
        ];
        let name = self.flat.rsplit(|it| *it == b'/').next().unwrap_or_default();
        let name = name.split(|it| matches!(it, b';' | b'?' | b'#' | b'%')).next().unwrap_or_default();
        ENDS.iter().any(|it| name.ends_with(it))
    }

    fn find(&self, names: &AhoCorasick) -> bool {
        names
            .find_overlapping_iter(&self.flat)
            .map(|it| it.start())
            .any(|at| at == 0 || matches!(self.flat[at - 1], b'/' | b'.' | b'=' | b':' | b'"' | b'\'' | b' ' | b'?'))
    }

    /// Whether a name of the system's files stands behind a root: `/etc/passwd`, `c:/windows/win.ini`, `file:///etc`.
    fn has_absolute(&self) -> bool {
        NAMES.system.find_overlapping_iter(&self.flat).any(|hit| {
            let (name, before) = (SYSTEM_FILES[hit.pattern().as_usize()], &self.flat[..hit.start()]);
            let is_rooted = before.ends_with(b"/") || (name.starts_with(b"web-inf") && before.is_empty());
            let folder = before.strip_suffix(b"/").unwrap_or(before);
            let is_root = folder.is_empty()
                || folder.ends_with(b":")
                || folder.ends_with(b"/")
                || folder.last().is_some_and(|it| {
                    matches!(it, b' ' | b'=' | b'"' | b'\'' | b'(' | b'<' | b'>' | b'`' | b'.' | b'|' | b',')
                });
            is_rooted && (is_root || matches!(name, b"web-inf/" | b".ssh/id_" | b"c$/users/" | b"c$/windows/"))
        })
    }
}

/// The names of files, each list found in one pass.
struct Names {
    system: AhoCorasick,
    others: AhoCorasick,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let all = |names: &[&[u8]]| AhoCorasick::new(names).expect("the names are few and short");
    Names { system: all(SYSTEM_FILES), others: all(OTHER_FILES) }
});

/// How the text stands in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the path of the target, where browsers leave no climb.
    Target,
    /// It is a value.
    Value,
}

/// Looks for traversal in a text after percent-decoding, in lower case.
pub(crate) fn check(text: &[u8], standing: Standing, path: &mut Path) -> Option<Hit> {
    if PATH_BYTES_MAX < text.len() {
        return None;
    }
    if let Some(at) = WRAPPERS.iter().find_map(|it| scheme_at(text, it)) {
        return Some(Hit::sure(Family::FileInclusion, "file-wrapper", at..text.len().min(at + 80)));
    }
    path.read(text);
    if is_padded(text) {
        return Some(Hit::sure(Family::PathTraversal, "path-padded", 0..text.len().min(80)));
    }
    if is_squashed(text) {
        return Some(Hit::sure(Family::PathTraversal, "path-squashed", 0..text.len().min(80)));
    }
    let all = 0..text.len();
    let sure = |check| Some(Hit::sure(Family::PathTraversal, check, all.clone()));
    let is_named = path.has_absolute();
    if is_named && !is_sentence(text) {
        return sure("path-system-file");
    }
    let has_space = memchr::memchr2(b' ', b'\n', text).is_some();
    if 0 < path.climbs
        && (path.find(&NAMES.system)
            || (!has_space && path.find(&NAMES.others) && (1 < path.climbs || path.is_disguised)))
    {
        return sure("path-climb-to-file");
    }
    if 0 < path.soft_climbs && path.find(&NAMES.system) {
        return sure("path-climb-to-file");
    }
    // A value that climbs from a root climbs from nowhere.
    if standing == Standing::Value && path.text.starts_with(b"/..") && !has_space {
        return sure("path-climb");
    }
    if path.is_disguised && 0 < path.climbs {
        return sure("path-disguised");
    }
    if path.begins_with_climb()
        && (!has_space || 1 < path.climbs_in_a_row)
        && text.len() < 300
        && (path.find(&NAMES.others) || path.ends_as_source())
    {
        return sure("path-climb-to-file");
    }
    if path.is_disguised && path.text.starts_with(b".") && path.find(&NAMES.system) {
        return sure("path-disguised");
    }
    if 2 <= path.climbs_in_a_row && !has_space && !is_source_map(text) {
        return sure("path-climb");
    }
    if 3 <= path.idle_steps && !has_space {
        return sure("path-steps");
    }
    if 0 < path.climbs && standing == Standing::Target {
        return Some(Hit::hint(Family::PathTraversal, "path-climb", all));
    }
    let single = 0 < path.climbs && !has_space && (path.find(&NAMES.others) && text.len() < 200);
    if is_named {
        return Some(Hit::hint(Family::PathTraversal, "path-system-file", all));
    }
    single.then(|| Hit::hint(Family::PathTraversal, "path-climb", all))
}

/// Whether a text asks about a file, as people do: a few words before it, and nothing that a path or a command has.
fn is_sentence(text: &[u8]) -> bool {
    let before = &text[..memchr::memchr(b'/', text).unwrap_or(text.len())];
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b' ' | b',' | b'?' | b'!' | b'-' | b'.' | b'/');
    let is_word = |it: &&[u8]| 1 < it.len() && it.iter().all(u8::is_ascii_alphabetic);
    let first = before.split(|it| *it == b' ').next().unwrap_or_default();
    let is_command = COMMANDS.contains(&first) || [&b"cat"[..], b"head", b"tail", b"less", b"more"].contains(&first);
    3 <= before.split(|it| *it == b' ').filter(is_word).count() && text.iter().all(is_plain) && !is_command
}

/// Whether a path is filled up with one letter, so that a server cuts off what it would put behind.
pub(crate) fn is_padded(text: &[u8]) -> bool {
    const RUN_MIN: usize = 200;
    let Some((b'/', [first, rest @ ..])) = text.split_first() else { return false };
    first.is_ascii_alphabetic() && rest.iter().take(RUN_MIN).take_while(|it| *it == first).count() == RUN_MIN
}

/// Whether it is a climb or a path from a root whose slashes a filter took out: `......etcpasswd`, `c:windowswin.ini`.
fn is_squashed(text: &[u8]) -> bool {
    const FILES: &[&[u8]] = &[
        b"etcpasswd",
        b"etcshadow",
        b"windowswin.ini",
        b"oot.ini",
        b"web-infweb.xml",
        b"web-inf/web.xml",
        b"inetpubwwwroot",
    ];
    let text = text.strip_prefix(b"file:").unwrap_or(text);
    let text = text.strip_prefix(b"/").unwrap_or(text);
    let dots = text.iter().take_while(|it| **it == b'.').count();
    let (is_rooted, rest) = match text[dots..].strip_prefix(b"c:").or_else(|| text[dots..].strip_prefix(b"d:")) {
        Some(rest) => (true, rest),
        None => (2 <= dots, &text[dots..]),
    };
    is_rooted && FILES.iter().any(|it| rest.starts_with(it))
}

/// Where a scheme stands at the beginning of a text, or of something within it.
fn scheme_at(text: &[u8], scheme: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, scheme).filter(|at| *at == 0 || !text[at - 1].is_ascii_alphanumeric())
}

/// Where scripts were made, tools write down as relative paths.
fn is_source_map(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"webpack").is_some() || memchr::memmem::find(text, b"node_modules").is_some()
}

/// An escape whose digits are no hex: the arithmetic of an old server takes them all the same.
fn lax_escape(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| match rest.get(at)? {
        it @ b'0'..=b'9' => Some(u32::from(it - b'0')),
        it if it.is_ascii_alphabetic() => Some(u32::from(it.to_ascii_uppercase() - b'A') + 10),
        _ => None,
    };
    (rest.first() == Some(&b'%')).then_some(())?;
    Some((digit(1)? * 16 + digit(2)?) as u8)
}

/// The character that the last two bytes of an overlong sequence stand for.
fn overlong(bytes: &[u8]) -> Option<u8> {
    let code = u32::from(bytes[0] & 0x1f) << 6 | u32::from(bytes[1] & 0x3f);
    match code as u8 {
        // The lead bytes C0 and C1 give 0 to 7F; of a longer sequence the byte before the last is 80.
        it if code < 0x80 => Some(it),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn score(encoded: &str, standing: Standing) -> u32 {
        let mut text = Vec::new();
        decode::percent(encoded.as_bytes(), true, &mut text);
        check(&text.to_ascii_lowercase(), standing, &mut Path::default()).map_or(0, |it| it.score)
    }

    #[test]
    fn finds_climbs_however_they_are_written() {
        for text in [
            "../../../../etc/passwd",
            "..%5c..%5cwindows%5cwin.ini",
            "%c0%ae%c0%ae%c0%af%c0%ae%c0%ae%c0%afetc%c0%afissue",
            "%fc%80%80%80%80%ae%fc%80%80%80%80%ae%u2216boot.ini",
            "..%01%uEFC8etc%uEFC8passwd",
            "%c0.%c0.%c0/etc%c0/hosts",
            "0x2e0x2e%bg%qfetc%bg%qfpasswd",
            "%c0%fe%c0%fe%c0%qfetc%c0%qfissue",
            ".%00./.%00./etc/issue",
            "..../%c1%pcboot.ini",
            "file:///etc/./passwd",
            "/static/img/../../etc/passwd",
            "php://filter/convert.base64-encode/resource=index",
            "....//....//x",
            "c:\\windows\\win.ini",
        ] {
            assert!(5 <= score(text, Standing::Value), "{text}");
        }
        assert!(0 < score("/assets/../secret", Standing::Target));
    }

    #[test]
    fn lets_relative_links_names_and_other_alphabets_pass() {
        for text in [
            "../images/logo.png",
            "and so on ... / etc.",
            "package.json",
            "passport-files/2023",
            "https://example.com/a/../b",
            "%c4%e3%ba%c3",
            "a/b/c",
            "1.2.3/4",
            "webpack:///../../node_modules/x.js",
            "/docs/etc/readme",
        ] {
            assert!(score(text, Standing::Value) < 5, "{text}");
        }
    }
}
