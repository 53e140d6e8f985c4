//! Script that leaves its place in a page: calls behind a quote, calls by name in brackets, script without letters.

use crate::hit::Hit;
use crate::report::Family;

/// Functions that every proof of an attack calls, and no visitor types.
const PROOFS: &[&[u8]] = &[b"alert", b"confirm", b"prompt"];
/// Functions and places that an attack uses once it runs; code of tools names them, too.
const SINKS: &[&[u8]] = &[
    b"eval",
    b"settimeout",
    b"setinterval",
    b"function",
    b"execscript",
    b"fetch",
    b"atob",
    b"import",
    b"document.write",
    b"setimmediate",
];
/// The objects through which a page reaches its functions.
const GLOBALS: &[&[u8]] =
    &[b"window", b"self", b"top", b"parent", b"frames", b"this", b"globalthis", b"document", b"content", b"location"];

/// Looks for script in a text in lower case.
pub(crate) fn check(text: &[u8]) -> Option<Hit> {
    let sure = |check, at: usize| Some(Hit::sure(Family::CrossSiteScripting, check, at..text.len().min(at + 120)));
    let code = text.trim_ascii();
    if is_link(code) && (!code.contains(&b' ') || is_code(code)) {
        return sure("script-link", 0);
    }
    for at in memchr::memmem::find_iter(text, b"document[") {
        let inside = text[at + 9..].trim_ascii_start();
        let name = inside.get(1..).unwrap_or_default();
        let is_quoted = matches!(inside.first(), Some(b'\'' | b'"' | b'`'));
        if is_quoted && [&b"cookie"[..], b"domain", b"write", b"location"].iter().any(|it| name.starts_with(it)) {
            return sure("script-sink", at);
        }
    }
    if let Some(at) = bracket_call(text) {
        return sure("script-bracket-call", at);
    }
    if let Some(at) = without_letters(text) {
        return sure("script-without-letters", at);
    }
    if let Some(at) = constructor(text) {
        return sure("script-constructor", at);
    }
    let mut hint = None;
    for name in PROOFS {
        for at in memchr::memmem::find_iter(text, name).take(64) {
            match call(text, at, name.len()) {
                Some(true) => return sure("script-call", at),
                Some(false) => hint = hint.or(Some(at)),
                None => {}
            }
        }
    }
    for name in SINKS {
        for at in memchr::memmem::find_iter(text, name).take(64) {
            if call(text, at, name.len()) == Some(true) && is_way_out(text, at) {
                return sure("script-call", at);
            }
        }
    }
    for name in [
        &b"document.cookie"[..],
        b"document.domain",
        b"document[",
        b"location=",
        b"location.href=",
        b"innerhtml=",
        b"document.location",
    ] {
        if let Some(at) = memchr::memmem::find(text, name)
            && is_way_out(text, at)
        {
            return sure("script-sink", at);
        }
    }
    hint.map(|at| Hit::hint(Family::CrossSiteScripting, "script-call", at..text.len().min(at + 80)))
}

/// Whether a handler's value is code: a call or an assignment.
pub(crate) fn is_code(value: &[u8]) -> bool {
    let head = &value[..value.len().min(200)];
    memchr::memchr2(b'(', b'`', head).is_some()
        || memchr::memmem::find(head, b"location").is_some()
        || head.contains(&b'&')
}

/// Whether a link runs script: `javascript:`, `vbscript:`, `data:text/html`, with what browsers skip within. Links that do nothing
/// (`javascript:void(0)`) are none.
pub(crate) fn is_link(value: &[u8]) -> bool {
    let mut head = [0; 64];
    let mut length = 0;
    for byte in value.iter().filter(|it| b' ' < **it && !matches!(it, b'"' | b'\'' | b'`')).take(head.len()) {
        head[length] = *byte;
        length += 1;
    }
    let head = &head[..length];
    let script =
        [&b"javascript:"[..], b"vbscript:", b"livescript:", b"mocha:"].iter().find_map(|it| head.strip_prefix(*it));
    if let Some(code) = script {
        return !matches!(
            code,
            b"" | b";"
                | b"void(0)"
                | b"void(0);"
                | b"void0"
                | b"void0;"
                | b"//"
                | b"#"
                | b"void(null)"
                | b"returnfalse;"
                | b"returnfalse"
                | b";;"
                | b"void();"
                | b"void()"
                | b"history.back()"
                | b"history.go(-1)"
                | b"window.print()"
        );
    }
    let is_page = [
        &b"data:text/html"[..],
        b"data:image/svg+xml",
        b"data:text/xml",
        b"data:application/xhtml",
        b"data:text/javascript",
        b"data:,",
        b"data:;base64",
        b"data:application/javascript",
    ]
    .iter()
    .any(|it| head.starts_with(it));
    // A picture as data is fine: only markup in the clear is not.
    is_page
        && (!head.starts_with(b"data:image/svg")
            || memchr::memmem::find(value, b"<script").is_some()
            || memchr::memmem::find(value, b"onload").is_some())
}

/// Whether the name at `at` is called: `Some(true)` behind punctuation, `Some(false)` behind a word, as in a sentence on code.
fn call(text: &[u8], at: usize, length: usize) -> Option<bool> {
    let before = text[..at].iter().rposition(|it| b' ' < *it).map(|it| text[it]);
    let adjacent = at.checked_sub(1).map(|it| text[it]);
    if adjacent
        .is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'$' | b'-') && !is_operator(text, at))
    {
        return None;
    }
    if adjacent == Some(b'.') && !GLOBALS.iter().any(|it| text[..at - 1].ends_with(it)) {
        return None;
    }
    let mut rest = &text[at + length..];
    let is_wrapped = rest.first() == Some(&b')') && adjacent == Some(b'(');
    loop {
        rest = match rest {
            [b')' | b'?' | 0..=0x1f, behind @ ..] => behind,
            [b'/', b'*', ..] => match memchr::memmem::find(rest, b"*/") {
                Some(end) => &rest[end + 2..],
                None => break,
            },
            _ => break,
        };
    }
    for method in [&b".call"[..], b".apply", b".bind", b".constructor", b"."] {
        if let Some(behind) = rest.strip_prefix(method) {
            rest = behind;
            break;
        }
    }
    if !matches!(rest.first(), Some(b'(' | b'`' | b'[')) || (rest[0] == b'[' && !is_wrapped) {
        return None;
    }
    let is_word_before =
        before.is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b',') || 0x80 <= it);
    Some(!is_word_before || adjacent == Some(b'.') || is_way_out(text, at))
}

/// Whether the minus before a name is one of arithmetic, as in `'-alert(1)-'`.
fn is_operator(text: &[u8], at: usize) -> bool {
    at < 2 || !text[at - 2].is_ascii_alphanumeric()
}

/// Whether the text before `at` ends what it stood in: a string, a call, a block, a tag.
fn is_way_out(text: &[u8], at: usize) -> bool {
    let before = text[..at].trim_ascii_end();
    let starts_out =
        before.first().is_some_and(|it| matches!(it, b'\'' | b'"' | b'`' | b')' | b'}' | b']' | b';' | b'>'));
    let is_close = before.iter().rposition(|it| matches!(it, b'\'' | b'"' | b'`')).is_some_and(|quote| {
        let between = &before[quote + 1..];
        between.len() < 40
            && !between.is_empty()
            && between.iter().all(|it| !it.is_ascii_alphanumeric() || between.len() < 4)
            && between
                .iter()
                .any(|it| matches!(it, b';' | b')' | b'}' | b'-' | b'+' | b'*' | b'^' | b'|' | b'&' | b'/' | b','))
    });
    (starts_out && before.len() < 200) || is_close || before.ends_with(b"javascript:")
}

/// `window['al'+'ert'](1)`, `self[/al/.source](1)`
fn bracket_call(text: &[u8]) -> Option<usize> {
    for open in memchr::memchr_iter(b'[', text).take(256) {
        let before = text[..open].trim_ascii_end();
        let is_global = GLOBALS.iter().any(|it| {
            before.ends_with(it)
                && !before[..before.len() - it.len()]
                    .last()
                    .is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'$'))
        });
        if !is_global {
            continue;
        }
        let inside = &text[open + 1..text.len().min(open + 400)];
        let Some(end) = closing(inside) else { continue };
        let is_made = inside[..end].iter().any(|it| matches!(it, b'\'' | b'"' | b'`' | b'/' | b'+' | b'('));
        let mut after = &inside[end + 1..];
        after = after.trim_ascii_start();
        let is_called = matches!(after.first(), Some(b'(' | b'`' | b'[' | b'?' | b')'))
            || after.starts_with(b".call")
            || after.starts_with(b".apply");
        if is_made && is_called {
            return Some(open);
        }
    }
    None
}

fn closing(inside: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    inside.iter().position(|it| match it {
        b'[' => {
            depth += 1;
            false
        }
        b']' if depth == 0 => true,
        b']' => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

/// `[][(![]+[])[+[]]...`: how script is written with six characters.
fn without_letters(text: &[u8]) -> Option<usize> {
    /// Shorter runs are data: an empty list of empty lists.
    const RUN_MIN: usize = 16;
    let mut begin = 0;
    let of_six = |it: &u8| matches!(it, b'[' | b']' | b'(' | b')' | b'!' | b'+' | b'{' | b'}');
    while begin < text.len() {
        let run = text[begin..].iter().take_while(|it| of_six(it)).count();
        let part = &text[begin..begin + run];
        let is_sum = memchr::memmem::find(part, b"[]+").is_some()
            || memchr::memmem::find(part, b"![]").is_some()
            || memchr::memmem::find(part, b"{}+").is_some();
        if RUN_MIN <= run && is_sum {
            return Some(begin);
        }
        begin += run + 1;
    }
    None
}

/// `x.constructor.constructor("...")()`, `''.constructor.prototype.charAt=[].join`
fn constructor(text: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, b"constructor")?;
    let rest = &text[at + b"constructor".len()..];
    let telling =
        [&b".constructor"[..], b".prototype.", b".fromcharcode", b"(\"", b"('", b"(`", b".call", b"[\"", b"['"];
    let is_reached = 0 < at && matches!(text[at - 1], b'.' | b'[' | b'"' | b'\'');
    (is_reached
        && (telling.iter().any(|it| rest.starts_with(it))
            || rest.starts_with(b"\"](")
            || rest.starts_with(b"'](")
            || rest.starts_with(b"\"][")
            || rest.starts_with(b"'][")))
    .then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> u32 {
        check(text.to_ascii_lowercase().as_bytes()).map_or(0, |it| it.score)
    }

    #[test]
    fn finds_script_out_of_its_place() {
        for text in [
            "';alert(1)//",
            "\"-confirm(1)-\"",
            "alert?.(document?.cookie)",
            "(alert)(1)",
            "prompt.call(null,1)",
            "alert`1`",
            "window['ale'+'rt'](1)",
            "self[/al/.source+/ert/.source](1);//",
            "{}.\")));alert(1)//\";",
            "javascript:alert(1)",
            "java\nscript:x=1",
            "a.constructor.constructor('return 1')()",
            "[][(![]+[])[+[]]+([![]]+[][[]])[+!+[]]]",
            "'};fetch('//x')",
            "data:text/html;base64,PHN2",
            "window[/*x*/'alert'/*y*/](1)",
        ] {
            assert!(5 <= score(text), "{text}");
        }
    }

    #[test]
    fn lets_sentences_and_data_pass() {
        for text in [
            "please alert (urgently) the team",
            "[[],[],{},[[]]]",
            "the eval() function",
            "javascript:void(0)",
            "data:image/png;base64,iVBO",
            "confirm your mail",
            "items[0](a)",
            "window.alert is blocked",
            "price-alert (new)",
        ] {
            assert!(score(text) < 5, "{text}: {:?}", check(text.as_bytes()));
        }
    }
}
