//! One canonical form: undoing the encodings under which attacks hide.
//!
//! Each step appends to `out` and says whether it changed anything. What is broken stays as it is.

/// Undoes percent-encoding, `%uXXXX` of old servers too; `plus` makes `+` a space, as forms do.
pub(crate) fn percent(input: &[u8], is_form: bool, out: &mut Vec<u8>) -> bool {
    let (mut at, mut is_changed) = (0, false);
    while let Some(&byte) = input.get(at) {
        match byte {
            b'+' if is_form => {
                out.push(b' ');
                is_changed = true;
                at += 1;
            }
            b'%' => match percent_at(&input[at..]) {
                Some((code, length)) => {
                    push_char(code, 3 < length, out);
                    is_changed = true;
                    at += length;
                }
                None => {
                    out.push(b'%');
                    at += 1;
                }
            },
            _ => {
                let plain = memchr::memchr2(b'%', if is_form { b'+' } else { b'%' }, &input[at..]);
                let end = plain.map_or(input.len(), |it| at + it);
                out.extend_from_slice(&input[at..end]);
                at = end;
            }
        }
    }
    is_changed
}

/// The code that an escape stands for, and its length.
fn percent_at(rest: &[u8]) -> Option<(u32, usize)> {
    if matches!(rest.get(1), Some(b'u' | b'U')) {
        let code = hex(rest.get(2..6)?)?;
        return Some((code, 6));
    }
    Some((hex(rest.get(1..3)?)?, 3))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

/// `is_char`: a character of Unicode, else a byte.
fn push_char(code: u32, is_char: bool, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(it) if is_char && 0x7f < code => out.extend_from_slice(it.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => out.push(code as u8),
    }
}

/// Undoes character references of HTML, with and without their semicolon.
pub(crate) fn entities(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut at, mut is_changed) = (0, false);
    while let Some(found) = memchr::memchr(b'&', &input[at..]) {
        out.extend_from_slice(&input[at..at + found]);
        at += found;
        match entity_at(&input[at..]) {
            Some((code, length)) => {
                push_char(code, true, out);
                is_changed = true;
                at += length;
            }
            None => {
                out.push(b'&');
                at += 1;
            }
        }
    }
    out.extend_from_slice(&input[at..]);
    is_changed
}

/// The references that matter in markup and script, by name in lower case.
const ENTITIES: &[(&[u8], u32)] = &[
    (b"amp", '&' as u32),
    (b"apos", '\'' as u32),
    (b"ast", '*' as u32),
    (b"bsol", '\\' as u32),
    (b"colon", ':' as u32),
    (b"comma", ',' as u32),
    (b"commat", '@' as u32),
    (b"dollar", '$' as u32),
    (b"equals", '=' as u32),
    (b"excl", '!' as u32),
    (b"grave", '`' as u32),
    (b"gt", '>' as u32),
    (b"lbrace", '{' as u32),
    (b"lcub", '{' as u32),
    (b"lowbar", '_' as u32),
    (b"lpar", '(' as u32),
    (b"lsqb", '[' as u32),
    (b"lt", '<' as u32),
    (b"nbsp", ' ' as u32),
    (b"newline", '\n' as u32),
    (b"num", '#' as u32),
    (b"percnt", '%' as u32),
    (b"period", '.' as u32),
    (b"plus", '+' as u32),
    (b"quest", '?' as u32),
    (b"quot", '"' as u32),
    (b"rbrace", '}' as u32),
    (b"rcub", '}' as u32),
    (b"rpar", ')' as u32),
    (b"rsqb", ']' as u32),
    (b"semi", ';' as u32),
    (b"sol", '/' as u32),
    (b"tab", '\t' as u32),
    (b"vert", '|' as u32),
];

fn entity_at(rest: &[u8]) -> Option<(u32, usize)> {
    if rest.get(1) == Some(&b'#') {
        let is_hex = matches!(rest.get(2), Some(b'x' | b'X'));
        let (from, base) = if is_hex { (3, 16) } else { (2, 10) };
        // Any number of zeros may stand before.
        let zeros = rest[from.min(rest.len())..].iter().take(64).take_while(|it| **it == b'0').count();
        let digits = rest.get(from + zeros..)?.iter().take(7).take_while(|it| char::from(**it).is_digit(base)).count();
        if digits == 0 {
            return None;
        }
        let code = rest[from + zeros..from + zeros + digits]
            .iter()
            .fold(0, |code, it| code * base + char::from(*it).to_digit(base).unwrap_or_default());
        let end = from + zeros + digits;
        return Some((code, end + usize::from(rest.get(end) == Some(&b';'))));
    }
    let length = rest[1..].iter().take(9).take_while(|it| it.is_ascii_alphabetic()).count();
    let name = rest[1..=length].to_ascii_lowercase();
    let has_end = rest.get(1 + length) == Some(&b';');
    // Only these old ones are read without a semicolon; of the others, browsers want it.
    let is_old = matches!(name.as_slice(), b"lt" | b"gt" | b"amp" | b"quot" | b"nbsp");
    let found = ENTITIES.iter().find(|it| it.0 == name)?;
    (has_end || is_old || matches!(name.as_slice(), b"colon" | b"lpar" | b"rpar")).then_some(())?;
    Some((found.1, 1 + length + usize::from(has_end)))
}

/// Undoes the escapes of JavaScript and its kin: `\x41`, `\u0041`, `\u{41}`, `\101`.
pub(crate) fn escapes(input: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut at, mut is_changed) = (0, false);
    while let Some(found) = memchr::memchr(b'\\', &input[at..]) {
        out.extend_from_slice(&input[at..at + found]);
        at += found;
        match escape_at(&input[at..]) {
            Some((code, length)) => {
                push_char(code, true, out);
                is_changed = true;
                at += length;
            }
            None => {
                out.push(b'\\');
                at += 1;
            }
        }
    }
    out.extend_from_slice(&input[at..]);
    is_changed
}

fn escape_at(rest: &[u8]) -> Option<(u32, usize)> {
    match rest.get(1)? {
        b'x' | b'X' => Some((hex(rest.get(2..4)?)?, 4)),
        b'u' | b'U' if rest.get(2) == Some(&b'{') => {
            let length = rest[3..].iter().take(32).take_while(|it| it.is_ascii_hexdigit()).count();
            let digits = &rest[3..3 + length];
            let significant = &digits[digits.iter().take_while(|it| **it == b'0').count()..];
            (rest.get(3 + length) == Some(&b'}') && 0 < length && significant.len() <= 6).then_some(())?;
            Some((hex(significant)?, 4 + length))
        }
        b'u' | b'U' => Some((hex(rest.get(2..6)?)?, 6)),
        b'0'..=b'3' => {
            let digits = rest.get(1..4)?;
            let code = digits.iter().try_fold(0, |code, it| Some(code * 8 + char::from(*it).to_digit(8)?))?;
            (b' '..=b'~').contains(&(code as u8)).then_some((code, 4))
        }
        _ => None,
    }
}

/// The shortest text that is taken for base64: shorter ones are words.
const BASE64_MIN: usize = 6;

/// Undoes base64 of either alphabet, with or without padding, when it gives text and not a word only.
pub(crate) fn base64(input: &[u8], out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let is_text = base64_text(input, out) && out[begin..].iter().any(|it| !it.is_ascii_alphanumeric());
    if !is_text {
        out.truncate(begin);
    }
    is_text
}

/// Undoes base64 of either alphabet, with or without padding, when it gives text.
pub(crate) fn base64_text(input: &[u8], out: &mut Vec<u8>) -> bool {
    let trimmed = input.trim_ascii();
    let padding = trimmed.iter().rev().take(2).take_while(|it| **it == b'=').count();
    let digits = &trimmed[..trimmed.len() - padding];
    if digits.len() < BASE64_MIN || digits.len() % 4 == 1 {
        return false;
    }
    let begin = out.len();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let Some(value) = base64_digit(*digit) else {
            out.truncate(begin);
            return false;
        };
        bits = bits << 6 | value;
        count += 6;
        if 8 <= count {
            count -= 8;
            let byte = (bits >> count) as u8;
            if byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n') || byte == 0x7f {
                out.truncate(begin);
                return false;
            }
            out.push(byte);
        }
    }
    let is_text = std::str::from_utf8(&out[begin..]).is_ok();
    if !is_text {
        out.truncate(begin);
    }
    is_text
}

const fn base64_digit(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' | b' ' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    } as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(step: impl Fn(&[u8], &mut Vec<u8>) -> bool, input: &str, expected: Option<&str>) {
        let mut out = Vec::new();
        let is_changed = step(input.as_bytes(), &mut out);
        assert_eq!(is_changed.then(|| String::from_utf8_lossy(&out).into_owned()).as_deref(), expected, "{input}");
        if !is_changed {
            assert!(out.is_empty() || out == input.as_bytes());
        }
    }

    #[test]
    fn undoes_percent_encoding() {
        let form = |input: &[u8], out: &mut Vec<u8>| percent(input, true, out);
        check(form, "a%20b+c%2", Some("a b c%2"));
        check(form, "%u0041%uff0f", Some("A／"));
        check(form, "100%", None);
        check(|input, out| percent(input, false, out), "a+b", None);
    }

    #[test]
    fn undoes_references_of_html() {
        check(entities, "&lt;a&#62&#x0000041;", Some("<a>A"));
        check(entities, "jav&Tab;a&colon;alert&lpar;1&rpar;", Some("jav\ta:alert(1)"));
        check(entities, "fish & chips &unknown; &#;", None);
        check(entities, "a&copy=1&section=2", None);
    }

    #[test]
    fn undoes_escapes_of_script() {
        check(escapes, r"\x61\u006c\u{0000065}\162t", Some("alert"));
        check(escapes, r"C:\path\new", None);
        check(escapes, r"\u{110000000} \x", None);
    }

    #[test]
    fn undoes_base64_only_where_it_gives_text() {
        check(base64, "PHNjcmlwdD4", Some("<script>"));
        check(base64, "PHNjcmlwdD4=", Some("<script>"));
        check(base64, "YWJjZGVm", None);
        check(base64, "q83vEjRWeJ", None);
        check(base64, "abc", None);
    }
}
