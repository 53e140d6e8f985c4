//! Command injection: a separator, a command, and arguments as commands have them.

use crate::commands::{COMMANDS, LANGUAGES, WORDS};
use crate::hit::Hit;
use crate::report::Family;
use crate::work;

/// How many blanks and brackets may stand between a separator and its command.
const BLANK_MAX: usize = 8;
/// How far apart two backticks may stand that belong together.
const SPAN_BYTES_MAX: usize = 512;
/// How far around a command a sentence is looked for.
const SENTENCE_BYTES_MAX: usize = 128;
/// Texts that are longer are taken for prose, records and programs: what is set as code in them is not run.
const VALUE_BYTES_MAX: usize = 400;
/// From so many lines on a long text may be a script or have one in it.
const SCRIPT_LINES_MIN: usize = 3;

/// What is left of a command line once quotes, escapes and the like are out, as a shell reads it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    text: Vec<u8>,
}

impl Line {
    fn read(&mut self, text: &[u8]) {
        self.text.clear();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            let rest = &text[at..];
            let inner = 0 < at
                && text[at - 1].is_ascii_alphanumeric()
                && text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric);
            let skipped = match byte {
                b'$' if rest.starts_with(b"${ifs") => {
                    self.text.push(b' ');
                    memchr::memchr(b'}', rest).map_or(5, |it| it + 1)
                }
                b'$' if rest.starts_with(b"$ifs$9") => {
                    self.text.push(b' ');
                    6
                }
                b'$' if rest.starts_with(b"$ifs") => {
                    self.text.push(b' ');
                    4
                }
                b'$' if rest.starts_with(b"$()") && 0 < at && text[at - 1].is_ascii_alphanumeric() => 3,
                b'$' if rest.starts_with(b"$@") || rest.starts_with(b"$*") => 2,
                b'\'' | b'"' | b'\\' | b'^' if inner => 1,
                // `c''at`
                b'\'' | b'"' if rest.get(1) == Some(&byte) && 0 < at && text[at - 1].is_ascii_alphanumeric() => 2,
                b'`' if rest.starts_with(b"``") && 0 < at && text[at - 1].is_ascii_alphanumeric() => 2,
                b'+' => {
                    self.text.push(b' ');
                    1
                }
                _ => {
                    self.text.push(byte);
                    1
                }
            };
            at += skipped;
        }
    }
}

/// Looks for commands in a text in lower case; `is_text`: it may be prose or a record with code in it.
pub(crate) fn check(text: &[u8], is_text: bool, line: &mut Line) -> Option<Hit> {
    if let Some(at) = shellshock(text) {
        return Some(Hit::sure(Family::CommandInjection, "shell-function", at..text.len().min(at + 80)));
    }
    line.read(text);
    let text = &line.text[..];
    let is_long = is_text && VALUE_BYTES_MAX < text.len();
    let is_script = is_long && SCRIPT_LINES_MIN <= memchr::memchr_iter(b'\n', text).count();
    let (mut hint, mut begin, mut is_code) = (None, usize::MAX, false);
    for at in 0..text.len() {
        let Some(length) = separator_at(text, at) else { continue };
        if is_script && (begin == usize::MAX || text[at] == b'\n') {
            begin = if text[at] == b'\n' { at + 1 } else { 0 };
            is_code = is_line_of_script(&text[begin..]);
        }
        let command = &text[at + length..];
        match command_at(command, text[at]) {
            Some(true) if is_code || is_in_sentence(text, at) || is_long && !is_set_off(command) => {
                hint = hint.or(Some(at))
            }
            Some(true) => {
                return Some(Hit::sure(Family::CommandInjection, "shell-command", at..text.len().min(at + 80)));
            }
            Some(false) if !is_text && text[at] == b'`' && is_whole(text) => {
                return Some(Hit::sure(Family::CommandInjection, "shell-command", at..text.len()));
            }
            Some(false) => hint = hint.or(Some(at)),
            None => {}
        }
    }
    if !is_script && first_command(text) {
        return Some(Hit::sure(Family::CommandInjection, "shell-first-command", 0..text.len().min(80)));
    }
    hint.map(|at| Hit::hint(Family::CommandInjection, "shell-command", at..text.len().min(at + 80)))
}

/// Whether a line begins as one of a script: `$ ls | wc`, `cat a | grep b`, `    if x && ls y; then`.
fn is_line_of_script(text: &[u8]) -> bool {
    let line = text.split(|it| *it == b'\n').next().unwrap_or_default();
    if line.len() != line.trim_ascii_start().len() {
        return true;
    }
    let line = line.strip_prefix(b"run ").or_else(|| line.strip_prefix(b"- ")).unwrap_or(line);
    if line.first().is_some_and(|it| matches!(it, b'$' | b'#' | b'>' | b'+' | b'-' | b'%')) {
        return true;
    }
    let (_, name, after) = split_command(line);
    const TOOLS: &[&[u8]] =
        &[b"if", b"while", b"git", b"npm", b"docker", b"apt", b"apt-get", b"make", b"cargo", b"pip"];
    after.first().is_some_and(|it| *it == b' ')
        && (COMMANDS.contains(&name) || WORDS.contains(&name) || TOOLS.contains(&name))
}

/// Whether what stands between backticks at `at` is set as code in a sentence or a list about commands: ``use `ls -l` to list``.
fn is_in_sentence(text: &[u8], at: usize) -> bool {
    const BEFORE: &[u8] = b" \n\t([|*-\"'>";
    const BEHIND: &[u8] = b" \n\t)]|*.,:;?!\"'";
    let before = &text[at.saturating_sub(SENTENCE_BYTES_MAX)..at];
    if text[at] != b'`' || before.last().is_some_and(|it| !BEFORE.contains(it)) {
        return false;
    }
    let Some((inside, behind)) = quoted(&text[at + 1..]) else { return false };
    if behind.first().is_some_and(|it| !BEHIND.contains(it)) {
        return false;
    }
    let behind = &behind[..behind.len().min(SENTENCE_BYTES_MAX)];
    let words = words_near(before.rsplit(|it| *it == b' ')) + words_near(behind.split(|it| *it == b' '));
    let is_word = inside.iter().all(u8::is_ascii_alphanumeric);
    let is_calm = !inside.iter().any(|it| matches!(it, b'|' | b';' | b'>' | b'<' | b'$' | b'&'))
        && [&b"/etc/"[..], b"://", b"/dev/"].iter().all(|it| memchr::memmem::find(inside, it).is_none());
    if is_word { 1 <= words || before.iter().any(u8::is_ascii_alphabetic) } else { is_calm && 2 <= words }
}

/// Whether a value is what stands between two backticks, and nothing else: `` `true` ``. In a text that is a word set as code.
fn is_whole(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(text);
    text.strip_prefix(b"`").and_then(quoted).is_some_and(|it| it.1.is_empty())
}

/// What stands before the next backtick, and what behind; a backtick that nothing closes begins no command.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'`', &text[..text.len().min(SPAN_BYTES_MAX)])?;
    Some((&text[..end], &text[end + 1..]))
}

/// How many of the next few words are words of a language.
fn words_near<'a>(words: impl Iterator<Item = &'a [u8]>) -> usize {
    let is_mark = |it: &u8| it.is_ascii_punctuation();
    let is_word = |it: &&'a [u8]| {
        let begin = it.iter().take_while(|it| is_mark(it)).count();
        let end = it.len() - it[begin..].iter().rev().take_while(|it| is_mark(it)).count();
        begin + 2 < end && it[begin..end].iter().all(u8::is_ascii_alphabetic)
    };
    words.take(8).filter(is_word).count()
}

/// Whether a command in a long text is more than letters by chance: not a short name in the midst of marks.
fn is_set_off(command: &[u8]) -> bool {
    let blank = command.iter().take_while(|it| !it.is_ascii_alphanumeric() && **it != b'/').count();
    let (path, name, after) = split_command(&command[blank.min(BLANK_MAX)..]);
    let argument = after.trim_ascii_start();
    after.is_empty()
        || !path.is_empty()
        || 4 <= name.len()
        || argument.len() < after.len() && 3 <= name.len()
        || argument.len() < after.len()
            && argument.iter().take(3).all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'/' | b'.' | b'~'))
}

/// `() { :; };`: what bash took for a function in its environment.
pub(crate) fn shellshock(text: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, b"()")?;
    let rest = text[at + 2..].trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    let ends = memchr::memmem::find(&rest[..rest.len().min(48)], b"};").is_some();
    let is_nameless = at == 0 || !text[at - 1].is_ascii_alphanumeric();
    (is_nameless && (ends || [&b":;"[..], b": ;", b"_;"].iter().any(|it| rest.starts_with(it)))).then_some(at)
}

/// How long the separator at `at` is: what begins a command in a shell.
fn separator_at(text: &[u8], at: usize) -> Option<usize> {
    match text[at] {
        b';' | b'|' | b'&' | b'\n' | b'`' => {
            let again = text[at..].iter().take(3).take_while(|it| **it == text[at]).count();
            let is_stderr = text[at] == b'|' && text.get(at + 1) == Some(&b'&');
            Some(again + usize::from(is_stderr))
        }
        b'$' | b'<' | b'>' if text.get(at + 1) == Some(&b'(') => Some(2),
        _ => None,
    }
}

/// Whether a command stands here: `Some(true)` beyond doubt, `Some(false)` perhaps.
fn command_at(rest: &[u8], separator: u8) -> Option<bool> {
    let blank = rest
        .iter()
        .take(BLANK_MAX)
        .take_while(|it| matches!(it, b' ' | b'\t' | b'(' | b'{' | b'!' | b'"' | b'\'' | b'+' | b';' | b'|'))
        .count();
    work::count(1 + blank);
    let rest = &rest[blank..];
    if separator == b'`' && quoted(rest).is_none() {
        return None;
    }
    let (path, name, after) = split_command(rest);
    let is_in_bin =
        [&b"/bin/"[..], b"/sbin/", b"bin/"].iter().any(|it| path.ends_with(it)) || path.ends_with(b"system32/");
    if name.is_empty() || (!path.is_empty() && !is_in_bin) {
        return None;
    }
    let (is_command, is_word) = (COMMANDS.contains(&name), WORDS.contains(&name));
    let is_pattern = !path.is_empty() && name.iter().any(|it| matches!(it, b'?' | b'*'));
    if is_in_bin && (is_command || is_word || is_pattern) {
        return Some(true);
    }
    let argument = after.trim_ascii_start();
    let has_space = argument.len() < after.len();
    let is_end = after.is_empty()
        || matches!(after[0], b';' | b'|' | b'&' | b'`' | b')' | b'\n' | b'#' | b'"' | b'\'' | b'<' | b'>')
        || argument.is_empty();
    let is_argument = has_space && (looks_like_argument(argument) || is_continued(name, argument));
    match (is_command, is_word) {
        (true, _) if separator == b'\n' => (is_argument && !argument.is_empty()).then_some(false),
        (true, _) if LANGUAGES.contains(&name) && !is_argument => is_end.then_some(false),
        (true, _) => {
            let is_strange = matches!(separator, b';' | b'|' | b'`' | b'$') && is_no_word(name) && has_space;
            (is_end || is_argument || is_strange).then_some(true)
        }
        (_, true) if separator == b'\n' => None,
        (_, true) if name == b"for" => is_continued(name, argument).then_some(true),
        (_, true) if is_argument => Some(true),
        // `$(true)`
        (_, true) if is_end && separator == b'$' => Some(true),
        (_, true) => (is_end && blank == 0).then_some(false),
        _ => None,
    }
}

/// Whether a command goes on with a word that it knows: `net user`, `nohup sh`, `sudo id`.
fn is_continued(name: &[u8], argument: &[u8]) -> bool {
    const OF_NET: &[&[u8]] =
        &[b"user", b"users", b"localgroup", b"group", b"accounts", b"view", b"share", b"use", b"session"];
    let word = &argument[..argument.iter().take(24).take_while(|it| it.is_ascii_alphanumeric()).count()];
    match name {
        b"net" => OF_NET.contains(&word),
        // The loop of Windows.
        b"for" => argument.starts_with(b"/f ") || argument.starts_with(b"/r ") || argument.starts_with(b"/l "),
        b"nohup" | b"sudo" | b"busybox" => COMMANDS.contains(&word) || WORDS.contains(&word),
        _ => false,
    }
}

/// Whether a command's name means nothing in any language.
fn is_no_word(name: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"getent",
        b"nslookup",
        b"wget",
        b"curl",
        b"whoami",
        b"ifconfig",
        b"ipconfig",
        b"netstat",
        b"uname",
        b"mkfifo",
        b"chmod",
        b"certutil",
        b"bitsadmin",
        b"socat",
        b"traceroute",
        b"tcpdump",
    ];
    NAMES.contains(&name)
}

/// The folder of a command, its name, and what follows.
fn split_command(rest: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let is_part =
        |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'/' | b'.' | b'_' | b'-' | b'?' | b'*' | b'\\' | b':');
    let length = rest.iter().take(120).take_while(|it| is_part(it)).count();
    let (whole, after) = rest.split_at(length);
    let slash = whole.iter().rposition(|it| matches!(it, b'/' | b'\\')).map_or(0, |it| it + 1);
    let (path, name) = whole.split_at(slash);
    (path, name.strip_suffix(b".exe").unwrap_or(name), after)
}

/// Options, paths, addresses, numbers, redirections: not the next word of a sentence.
fn looks_like_argument(argument: &[u8]) -> bool {
    let word = argument.split(|it| *it <= b' ').next().unwrap_or_default();
    match word {
        [] => true,
        [b'-' | b'/' | b'\\' | b'$' | b'<' | b'>' | b'|' | b'~' | b'*' | b'"' | b'\'' | b'`' | b'%' | b'@', ..] => {
            1 < word.len() || argument.len() == 1
        }
        _ if word.starts_with(b"c:") || word.starts_with(b"http") || word.starts_with(b"..") => true,
        _ => {
            let is_number = word.iter().all(|it| it.is_ascii_digit() || *it == b'.');
            let is_path = memchr::memchr2(b'/', b'\\', word).is_some();
            let is_file = memchr::memchr(b'.', &word[..word.len() - 1]).is_some_and(|it| 0 < it && it + 1 < word.len());
            let ends = word.last().is_some_and(|it| matches!(it, b';' | b'|' | b'&' | b'`' | b')'));
            is_number || is_path || is_file || ends
        }
    }
}

/// `/usr/bin/id`, `ping -i 30 127.0.0.1`: a value that is a command line from its first letter.
fn first_command(text: &[u8]) -> bool {
    let quoted = text.trim_ascii_start();
    let (path, name, after) = split_command(quoted.strip_prefix(b"\"").unwrap_or(quoted).trim_ascii_start());
    let is_known = COMMANDS.contains(&name) || WORDS.contains(&name);
    if (path.starts_with(b"/") && path.ends_with(b"bin/")) || path.ends_with(b"system32/") {
        return is_known;
    }
    let argument = after.trim_ascii_start();
    let has_option = argument.len() < after.len()
        && argument.starts_with(b"-")
        && argument.get(1).is_some_and(u8::is_ascii_alphabetic)
        && argument.split(|it| *it == b' ').next().is_some_and(|it| it.len() <= 12);
    if path.is_empty() && is_first_sure(name, after, argument) {
        return true;
    }
    let has_more = argument
        .split(|it| *it == b' ')
        .skip(1)
        .any(|it| it.contains(&b'/') || it.contains(&b'.') || it.starts_with(b"-"));
    path.is_empty()
        && COMMANDS.contains(&name)
        && !matches!(name, b"id" | b"ss" | b"php" | b"perl" | b"node" | b"ruby")
        && has_option
        && has_more
}

/// `id;`, `dir c:/`, `cmd.exe /c dir`: what is a command line although nothing stands before it.
fn is_first_sure(name: &[u8], after: &[u8], argument: &[u8]) -> bool {
    let is_ended = after.len() == 1 && matches!(after[0], b';' | b'|' | b'&');
    let has_drive = after.len() != argument.len() && argument.starts_with(b"c:");
    match name {
        b"cmd" | b"cmd.exe" => argument.starts_with(b"/c ") || argument.starts_with(b"/k "),
        b"dir" | b"type" | b"del" | b"copy" => has_drive,
        _ => is_ended && COMMANDS.contains(&name) && !LANGUAGES.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(text: &str) -> u32 {
        check(text.to_ascii_lowercase().as_bytes(), false, &mut Line::default()).map_or(0, |it| it.score)
    }

    #[test]
    fn finds_commands_behind_separators() {
        for text in [
            ";id",
            "127.0.0.1 && ls /etc",
            "a|whoami",
            "`id`",
            "$(curl http://x)",
            "; cat /et'c/pa'ss'wd",
            ";c'a't /etc/passwd",
            "|getent$IFS$9hosts$IFS$9x;",
            "() { :; }; echo ; /bin/bash -c 'x'",
            "& ping -n 30 127.0.0.1 &",
            "a;/usr/bin/id|",
            "| dir c:\\",
            "x;sleep 5",
            "/bin/ls -al",
            "ping -i 30 127.0.0.1",
            "ax--exec=`id`--remote=origin",
        ] {
            assert!(5 <= score(text), "{text}");
        }
    }

    #[test]
    fn lets_sentences_pass() {
        for text in [
            "ls 300 lexus",
            "Tom & Jerry; find the cat",
            "cat and mouse; set the time",
            "read more | learn more",
            "R&D",
            "zsh is the best!",
            "time he came.",
            "a; b; c",
            "x && y",
            "Linux x86_64; rv:105.0",
            "sort by: type | date",
            "salt & pepper",
            "The parameter 5 is&|.",
            "id",
            "/index.html",
        ] {
            assert!(score(text) < 5, "{text}");
        }
    }
}
