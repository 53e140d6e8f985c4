//! Markup that a browser would act on: tags with handlers, links that are script, pages within the page.
//!
//! Tags are read as browsers read them (HTML standard, 13.2.5): also broken, unclosed, with slashes for spaces. Markup that editors
//! make, with pictures, links and formats, is none of an attack.

use crate::hit::Hit;
use crate::report::Family;
use crate::script;
use crate::work;

/// How many tags of a text are looked at.
const TAGS_MAX: usize = 512;
/// How many attributes of a tag are looked at.
const ATTRIBUTES_MAX: usize = 64;
/// How much of a style is read.
const STYLE_BYTES_MAX: usize = 1024;
/// How long the name of an attribute may be: `<a<a<a` is one long name to a browser, and none that means anything.
const NAME_BYTES_MAX: usize = 128;

/// Looks for markup in a text in lower case.
pub(crate) fn check(text: &[u8]) -> Option<Hit> {
    let mut hint = None;
    for at in memchr::memchr_iter(b'<', text).take(TAGS_MAX) {
        match tag_at(text, at) {
            Some(hit) if 5 <= hit.score => return Some(hit),
            other => hint = hint.or(other),
        }
    }
    handler_without_tag(text).or(hint)
}

/// An attribute of a tag.
struct Attribute<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

fn tag_at(text: &[u8], at: usize) -> Option<Hit> {
    let rest = &text[at + 1..];
    let sure = |check| Some(Hit::sure(Family::CrossSiteScripting, check, at..text.len().min(at + 160)));
    if rest.starts_with(b"!--#") {
        let command = rest[4..].trim_ascii_start();
        let is_directive = [&b"exec"[..], b"include", b"echo", b"printenv", b"config", b"set"]
            .iter()
            .any(|it| command.starts_with(it));
        return is_directive
            .then(|| Hit::sure(Family::CodeInjection, "server-side-include", at..text.len().min(at + 80)));
    }
    if let Some(code) = rest.strip_prefix(b"?=") {
        let first = code.trim_ascii_start().first();
        let is_code =
            first.is_some_and(|it| it.is_ascii_alphabetic() || matches!(it, b'$' | b'\'' | b'"' | b'`' | b'('));
        return is_code.then(|| Hit::sure(Family::CodeInjection, "php-tag", at..text.len().min(at + 80)));
    }
    if rest.starts_with(b"?import") || rest.starts_with(b"?xml:namespace") {
        return sure("markup-active");
    }
    let skipped = rest.iter().take(4).take_while(|it| matches!(it, b'/' | 0..=0x1f | b'?')).count();
    let name = &rest[skipped..];
    let length = name.iter().take_while(|it| is_in_tag(**it)).count();
    let (name, behind) = name.split_at(length);
    if name.is_empty() || !name[0].is_ascii_alphabetic() {
        return None;
    }
    let is_closing = rest.first() == Some(&b'/');
    let local = name.rsplit(|it| *it == b':').next().unwrap_or(name);
    let ends_well = behind
        .first()
        .is_none_or(|it| matches!(it, b' ' | b'\t' | b'\n' | b'\r' | 0x0c | b'/' | b'>' | b'<' | b'"' | b'\''));
    if local == b"script" && ends_well && (is_closing || is_tag(behind)) {
        return sure("markup-script");
    }
    let mut attributes = Attributes { rest: behind, left: ATTRIBUTES_MAX };
    let mut hint = None;
    for attribute in &mut attributes {
        match judge(name, &attribute) {
            Some(true) => return sure("markup-attribute"),
            Some(false) => hint = Some(()),
            None => {}
        }
    }
    if is_closing {
        // What ends a text that browsers do not read as markup is to get out of it.
        let is_way_out =
            matches!(name, b"title" | b"textarea" | b"style" | b"noscript" | b"xmp" | b"template" | b"noembed");
        return (is_way_out && ends_well)
            .then(|| Hit::hint(Family::CrossSiteScripting, "markup-way-out", at..at + 2 + name.len()));
    }
    let content = &attributes.rest;
    let is_active = match name {
        b"style" => {
            let content = &content[..content.len().min(STYLE_BYTES_MAX)];
            contains_any(content, &[b"@import", b"@im\\"]) || is_active_style(content)
        }
        b"isindex" | b"applet" | b"bgsound" | b"layer" | b"ilayer" => true,
        _ => false,
    };
    if is_active && ends_well {
        return sure("markup-active");
    }
    let is_hint = hint.is_some()
        || matches!(name, b"iframe" | b"object" | b"embed" | b"base" | b"frame" | b"frameset" | b"meta" | b"link")
        || (name == b"xml" && rest.first() != Some(&b'?'));
    (is_hint && ends_well).then(|| Hit::hint(Family::CrossSiteScripting, "markup-tag", at..at + 1 + name.len()))
}

/// Whether what follows a name goes on as a tag does: to its end, or with an attribute.
fn is_tag(behind: &[u8]) -> bool {
    let head = &behind[..behind.len().min(512)];
    let is_quoted = head.first().is_some_and(|it| matches!(it, b'"' | b'\''));
    let goes_on = memchr::memchr(b'>', head).is_some() || memchr::memmem::find(head, b"src").is_some();
    !is_quoted && (goes_on || head.trim_ascii().is_empty() || matches!(head.first(), Some(b'<' | b'/')))
}

const fn is_in_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_') || 0x80 <= byte
}

fn contains_any(text: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|it| memchr::memmem::find(text, it).is_some())
}

/// `Some(true)`: it acts; `Some(false)`: it may.
fn judge(tag: &[u8], attribute: &Attribute<'_>) -> Option<bool> {
    let (name, value) = (attribute.name, attribute.value);
    let local = name.rsplit(|it| *it == b':').next().unwrap_or(name);
    if local.starts_with(b"on")
        && 5 <= local.len()
        && local[2..].iter().all(u8::is_ascii_alphabetic)
        && !value.trim_ascii().is_empty()
        // A template of a page, as programmers send it to one another.
        && !value.starts_with(b"{")
    {
        return Some(true);
    }
    match local {
        b"href" | b"src" | b"action" | b"formaction" | b"data" | b"from" | b"to" | b"values" | b"dynsrc"
        | b"lowsrc" | b"background" | b"code" | b"content" | b"poster" | b"xmlns" | b"ping" | b"size" | b"cite"
        | b"srcset" => {
            if script::is_link(value) {
                return Some(true);
            }
            let is_source = matches!(tag, b"base" | b"object" | b"embed" | b"applet" | b"frame" | b"link" | b"iframe")
                && !value.is_empty();
            let is_set = matches!(tag, b"animate" | b"set") && matches!(local, b"values" | b"to" | b"from");
            match () {
                () if is_set && contains_any(value, &[b"script:", b"data:"]) => Some(true),
                () if tag == b"base" && local == b"href" => Some(true),
                () if is_source => Some(false),
                () => None,
            }
        }
        b"srcdoc" => contains_any(value, &[b"<", b"&lt", b"&#"]).then_some(true),
        b"attributename" => contains_any(value, &[b"href", b"xlink", b"on"]).then_some(true),
        b"style" => is_active_style(value).then_some(true),
        b"type" if tag == b"style" => contains_any(value, &[b"javascript"]).then_some(true),
        // Data islands put markup from elsewhere into a page.
        b"datasrc" => value.starts_with(b"#").then_some(true),
        b"dataformatas" => (value == b"html").then_some(true),
        b"http-equiv" => contains_any(value, &[b"refresh", b"set-cookie", b"content-security"]).then_some(true),
        b"rel" if tag == b"link" => contains_any(value, &[b"import", b"stylesheet"]).then_some(false),
        b"autofocus" => Some(false),
        _ => None,
    }
}

/// Whether a style runs script: what browsers take for one name may have comments and escapes within.
fn is_active_style(style: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"expression(",
        b"javascript:",
        b"vbscript:",
        b"-moz-binding",
        b"behavior:",
        b"behaviour:",
        b"binding:url(",
        b"binding: url(",
    ];
    let style = &style[..style.len().min(STYLE_BYTES_MAX)];
    if contains_any(style, NAMES) {
        return true;
    }
    if memchr::memchr(b'\\', style).is_none() && memchr::memmem::find(style, b"/*").is_none() {
        return false;
    }
    let (mut plain, mut rest) = (Vec::with_capacity(style.len()), style);
    while let Some(&byte) = rest.first() {
        let comment = rest.strip_prefix(b"/*").and_then(|it| memchr::memmem::find(it, b"*/"));
        rest = &rest[comment.map_or(1, |it| it + 4)..];
        if comment.is_none() && byte != b'\\' {
            plain.push(byte);
        }
    }
    contains_any(&plain, NAMES)
}

struct Attributes<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        self.left = self.left.checked_sub(1)?;
        let begin = self.rest.iter().position(|it| !matches!(it, 0..=b' ' | b'/' | b'"' | b'\'' | b'`'))?;
        self.rest = &self.rest[begin..];
        if self.rest[0] == b'>' {
            return None;
        }
        // A name may begin with `=`.
        let length = 1 + self.rest[1..]
            .iter()
            .take(NAME_BYTES_MAX)
            .take_while(|it| !matches!(it, 0..=b' ' | b'/' | b'>' | b'='))
            .count();
        work::count(begin + length);
        if NAME_BYTES_MAX < length {
            self.left = 0;
            return None;
        }
        let (name, mut rest) = self.rest.split_at(length);
        rest = &rest[rest.iter().take_while(|it| **it <= b' ').count()..];
        let Some(after) = rest.strip_prefix(b"=") else {
            self.rest = rest;
            return Some(Attribute { name, value: b"" });
        };
        let after = &after[after.iter().take_while(|it| **it <= b' ').count()..];
        let (value, rest) = match after.first() {
            Some(quote @ (b'"' | b'\'' | b'`')) => {
                let end = memchr::memchr(*quote, &after[1..]).map_or(after.len(), |it| it + 1);
                (&after[1..end], &after[(end + 1).min(after.len())..])
            }
            _ => {
                let end = after.iter().position(|it| *it <= b' ' || *it == b'>').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        self.rest = rest;
        Some(Attribute { name, value })
    }
}

/// The events whose handlers attackers put into a tag that is there already.
const EVENTS: &[&[u8]] = &[
    b"abort",
    b"afterprint",
    b"animation",
    b"auxclick",
    b"beforecopy",
    b"beforecut",
    b"beforeinput",
    b"beforeprint",
    b"beforescriptexecute",
    b"beforetoggle",
    b"beforeunload",
    b"begin",
    b"blur",
    b"bounce",
    b"canplay",
    b"change",
    b"click",
    b"contextmenu",
    b"copy",
    b"cut",
    b"dblclick",
    b"drag",
    b"drop",
    b"durationchange",
    b"end",
    b"error",
    b"finish",
    b"focus",
    b"fullscreenchange",
    b"hashchange",
    b"input",
    b"invalid",
    b"key",
    b"load",
    b"message",
    b"mouse",
    b"page",
    b"paste",
    b"play",
    b"pointer",
    b"popstate",
    b"progress",
    b"ratechange",
    b"readystatechange",
    b"repeat",
    b"reset",
    b"resize",
    b"scroll",
    b"search",
    b"seek",
    b"select",
    b"show",
    b"start",
    b"submit",
    b"suspend",
    b"timeupdate",
    b"toggle",
    b"touch",
    b"transition",
    b"unhandledrejection",
    b"unload",
    b"volumechange",
    b"waiting",
    b"webkit",
    b"wheel",
];

/// `" onfocus=alert(1) autofocus x="`: no tag, since the page has one around.
fn handler_without_tag(text: &[u8]) -> Option<Hit> {
    let first_quote = memchr::memchr3(b'"', b'\'', b'`', text).unwrap_or(text.len());
    let has_angle = memchr::memchr2(b'>', b'<', text).is_some();
    for at in memchr::memmem::find_iter(text, b"on").take(256) {
        let before = at.checked_sub(1).map(|it| text[it]);
        if !before.is_none_or(|it| it <= b' ' || matches!(it, b'/' | b'"' | b'\'' | b'`' | b'>')) {
            continue;
        }
        let name = &text[at + 2..];
        let length = name.iter().take_while(|it| it.is_ascii_alphabetic()).count();
        if !EVENTS.iter().any(|it| name[..length].starts_with(it)) {
            continue;
        }
        let rest = name[length..].trim_ascii_start();
        let Some(value) = rest.strip_prefix(b"=") else { continue };
        let value = value.trim_ascii_start();
        let is_out = has_angle || first_quote < at;
        let is_code = script::is_code(value);
        if value.is_empty() || value.starts_with(b"{") || !(is_out || is_code) {
            continue;
        }
        let at = at..text.len().min(at + 80);
        return Some(match is_code || value.len() < 3 {
            true => Hit::sure(Family::CrossSiteScripting, "markup-handler", at),
            false => Hit::hint(Family::CrossSiteScripting, "markup-handler", at),
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> u32 {
        check(text.to_ascii_lowercase().as_bytes()).map_or(0, |it| it.score)
    }

    #[test]
    fn finds_markup_that_acts() {
        for text in [
            "<script>alert(1)</script>",
            "<scr<script>ipt>",
            "<svg/onload=alert(1)//",
            "<img src=x onerror=\"x()\">",
            "<a href=\"java\tscript:alert(1)\">x</a>",
            "<iframe srcdoc=&lt;script&gt;>",
            "<x:script xmlns:x='http://www.w3.org/1999/xhtml'>",
            "\" onfocus=alert(1) autofocus x=\"",
            "<svg><animate xlink:href=#x attributeName=href values=\"javascript:x\">",
            "<style>@import'http://x'</style>",
            "<base href=\"javascript:/a/-alert(1)//\">",
            "<!--#exec cmd=\"ls\" -->",
            "<object data=javascript:alert(1)>",
            "<meta http-equiv=refresh content=0>",
        ] {
            assert!(5 <= score(text), "{text}");
        }
    }

    #[test]
    fn lets_what_editors_make_pass() {
        for text in [
            "<p class=\"a\">one <b>two</b> <img src=\"https://example.com/a.png\" alt='x'></p>",
            "<a href=\"https://example.com/?a=1&on=2\">on Monday</a>",
            "a < b and c > d",
            "x <- y",
            "mail <anna@example.com>",
            "<3 onward = forward",
            "the option = on",
            "<a href=\"javascript:void(0)\">",
            "season=4 on demand",
        ] {
            assert!(score(text) < 5, "{text}: {:?}", check(text.as_bytes()));
        }
    }
}
