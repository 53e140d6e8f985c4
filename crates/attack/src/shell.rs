//! Command injection: a separator, a command, and arguments as commands have them.

use crate::hit::Hit;
use crate::report::Family;
use crate::work;

/// How many blanks and brackets may stand between a separator and its command.
const BLANK_MAX: usize = 8;

/// Commands that no sentence has behind a separator.
const COMMANDS: &[&[u8]] = &[
    b"awk",
    b"base64",
    b"bash",
    b"bitsadmin",
    b"busybox",
    b"certutil",
    b"chmod",
    b"chown",
    b"cmd",
    b"cmd.exe",
    b"csh",
    b"curl",
    b"dash",
    b"dig",
    b"getent",
    b"grep",
    b"gunzip",
    b"gzip",
    b"id",
    b"ifconfig",
    b"ipconfig",
    b"kill",
    b"killall",
    b"ksh",
    b"ls",
    b"lsof",
    b"lua",
    b"mkfifo",
    b"mknod",
    b"nc",
    b"nc.traditional",
    b"ncat",
    b"netcat",
    b"netstat",
    b"nid",
    b"nmap",
    b"node",
    b"nslookup",
    b"openssl",
    b"passwd",
    b"perl",
    b"php",
    b"ping",
    b"ping.exe",
    b"powershell",
    b"powershell.exe",
    b"printenv",
    b"ps",
    b"pwd",
    b"pwsh",
    b"python",
    b"python2",
    b"python3",
    b"regsvr32",
    b"rundll32",
    b"rm",
    b"rmdir",
    b"ruby",
    b"scp",
    b"sed",
    b"sh",
    b"socat",
    b"ssh",
    b"stat",
    b"systeminfo",
    b"tar",
    b"tasklist",
    b"tcpdump",
    b"telnet",
    b"tftp",
    b"uname",
    b"useradd",
    b"wget",
    b"whoami",
    b"wmic",
    b"xxd",
    b"zsh",
    b"/bin",
    b"traceroute",
    b"nohup",
    b"sudo",
    b"crontab",
    b"ftp",
    b"ss",
    b"df",
    b"du",
    b"phpinfo",
    b"system",
    b"ipcs",
    b"vi",
    b"cp",
    b"mv",
];
/// Commands that are words of English, too: they need arguments that no sentence has.
const WORDS: &[&[u8]] = &[
    b"arp",
    b"at",
    b"cat",
    b"cd",
    b"copy",
    b"cut",
    b"date",
    b"del",
    b"diff",
    b"dir",
    b"echo",
    b"env",
    b"exec",
    b"export",
    b"false",
    b"file",
    b"find",
    b"finger",
    b"for",
    b"head",
    b"host",
    b"hostname",
    b"last",
    b"less",
    b"more",
    b"mount",
    b"move",
    b"net",
    b"nice",
    b"print",
    b"printf",
    b"read",
    b"route",
    b"set",
    b"sleep",
    b"sort",
    b"source",
    b"start",
    b"tail",
    b"tee",
    b"test",
    b"time",
    b"timeout",
    b"touch",
    b"tr",
    b"true",
    b"type",
    b"uniq",
    b"ver",
    b"w",
    b"wall",
    b"wc",
    b"which",
    b"who",
    b"write",
    b"expr",
    b"eval",
    b"let",
    b"join",
];

/// Commands that are names of things people write about: alone they are a list.
const LANGUAGES: &[&[u8]] =
    &[b"lua", b"node", b"perl", b"php", b"python", b"python2", b"python3", b"ruby", b"telnet", b"ftp", b"dash", b"vi"];

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

/// Looks for commands in a text in lower case.
pub(crate) fn check(text: &[u8], line: &mut Line) -> Option<Hit> {
    if let Some(at) = shellshock(text) {
        return Some(Hit::sure(Family::CommandInjection, "shell-function", at..text.len().min(at + 80)));
    }
    line.read(text);
    let text = &line.text[..];
    let mut hint = None;
    for at in 0..text.len() {
        let Some(length) = separator_at(text, at) else { continue };
        let command = &text[at + length..];
        match command_at(command, text[at]) {
            Some(true) if is_in_sentence(text, at) => hint = hint.or(Some(at)),
            Some(true) => {
                return Some(Hit::sure(Family::CommandInjection, "shell-command", at..text.len().min(at + 80)));
            }
            Some(false) => hint = hint.or(Some(at)),
            None => {}
        }
    }
    if first_command(text) {
        return Some(Hit::sure(Family::CommandInjection, "shell-first-command", 0..text.len().min(80)));
    }
    hint.map(|at| Hit::hint(Family::CommandInjection, "shell-command", at..text.len().min(at + 80)))
}

/// Whether what stands between backticks at `at` is a word of a sentence about commands: ``use `ls` to list``.
fn is_in_sentence(text: &[u8], at: usize) -> bool {
    if text[at] != b'`' || at == 0 || text[at - 1] != b' ' || !text[..at - 1].iter().any(u8::is_ascii_alphabetic) {
        return false;
    }
    let inside = &text[at + 1..text.len().min(at + 64)];
    let Some(end) = memchr::memchr(b'`', inside) else { return false };
    inside[..end].iter().all(u8::is_ascii_alphanumeric)
        && inside.get(end + 1).is_none_or(|it| matches!(it, b' ' | b'.' | b',' | b'?' | b'!' | b')'))
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
        // `|echo`, `` `true` ``
        (_, true) if is_end && matches!(separator, b'`' | b'$') => Some(true),
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
        check(text.to_ascii_lowercase().as_bytes(), &mut Line::default()).map_or(0, |it| it.score)
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
