//! Access logs: generated ones, and one repeated with times and addresses shifted, so that no two turns are the same.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;

use crate::arguments::Arguments;
use crate::calendar::{push_access, push_rfc3339, read_access};
use crate::report::Report;

/// How large a generated log is: as the public sample that it takes the place of.
const LINES: u64 = 10_000;
const ADDRESSES: u64 = 1_753;
const BEGIN: i64 = 1_431_857_103;
/// How far a turn's addresses lie from those of the turn before: odd and large, so that turns do not meet.
const ADDRESS_SHIFT: u32 = 0x0001_6A35;

/// One request of an access log, in parts, so that it can be written again with another time and address.
pub(crate) struct Line {
    /// Seconds since 1970.
    time: i64,
    address: Ipv4Addr,
    /// The line after the time, with the bracket.
    rest: String,
    /// The members of the JSON form after time and address, with the closing brace.
    members: String,
}

/// A log whose turns can be written without end.
pub(crate) struct Log {
    pub(crate) lines: Vec<Line>,
    /// How many seconds one turn lasts.
    turn_seconds: i64,
}

impl Log {
    /// Reads a log in the combined form; lines of another form are left out.
    ///
    /// # Errors
    ///
    /// No line can be read.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut lines: Vec<Line> = text.lines().filter_map(Line::read).collect();
        lines.sort_by_key(|it| it.time);
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Err("the log holds no request".to_owned());
        };
        let turn_seconds = last.time - first.time + 600;
        Ok(Self { lines, turn_seconds })
    }

    /// Appends request number `sequence`, counted over all turns, as one line of NDJSON.
    pub(crate) fn push_json(&self, out: &mut String, sequence: u64) {
        let (line, time, address) = self.shifted(sequence);
        out.push_str(r#"{"time":""#);
        push_rfc3339(out, time * 1_000);
        out.push_str(r#"","client_ip":""#);
        push_address(out, address);
        out.push_str(&line.members);
        out.push('\n');
    }

    /// Appends it as a line of the access log.
    fn push_line(&self, out: &mut String, sequence: u64) {
        let (line, time, address) = self.shifted(sequence);
        push_address(out, address);
        out.push_str(" - - [");
        push_access(out, time);
        out.push_str(&line.rest);
        out.push('\n');
    }

    fn shifted(&self, sequence: u64) -> (&Line, i64, Ipv4Addr) {
        let count = self.lines.len() as u64;
        let (turn, line) = (sequence / count, &self.lines[(sequence % count) as usize]);
        let shift = (turn as u32).wrapping_mul(ADDRESS_SHIFT) & 0x00FF_FFFF;
        let [first, ..] = line.address.octets();
        let low = (u32::from(line.address) + shift) & 0x00FF_FFFF;
        (line, line.time + turn as i64 * self.turn_seconds, Ipv4Addr::from(u32::from(first) << 24 | low))
    }
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let (address, after) = text.split_once(' ')?;
        let (_, after) = after.split_once('[')?;
        let (time, rest) = (read_access(after.get(..26)?)?, after.get(26..)?);
        let mut quoted = rest.split('"');
        let (_, request) = (quoted.next()?, quoted.next()?);
        let numbers = quoted.next()?;
        let (referer, _, agent) = (quoted.next()?, quoted.next()?, quoted.next()?);
        let (method, after) = request.split_once(' ')?;
        let path = after.rsplit_once(' ').map_or(after, |it| it.0);
        let (status, size) = numbers.trim().split_once(' ')?;
        let status: u16 = status.parse().ok()?;
        let size: u64 = size.parse().unwrap_or(0);
        let (method, path, referer, agent) = (quote(method), quote(path), quote(referer), quote(agent));
        let members = format!(
            r#"","method":{method},"path":{path},"status_code":{status},"bytes":{size},"referer":{referer},"user_agent":{agent}}}"#
        );
        Some(Self { time, address: address.parse().ok()?, rest: rest.to_owned(), members })
    }
}

/// Writes a log as `--log`, `--bytes` and `--output` say.
///
/// # Errors
///
/// A file cannot be read or written.
pub(crate) fn run(arguments: &Arguments) -> Result<String, String> {
    let path: String = arguments.need("output")?;
    let failed = |it: std::io::Error| format!("`{path}` cannot be written: {it}");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
    let (mut written, mut lines, mut out) = (0, 0, String::new());
    match arguments.text("log") {
        None => {
            out = generated();
            (written, lines) = (out.len() as u64, LINES);
            file.write_all(out.as_bytes()).map_err(failed)?;
        }
        Some(from) => {
            let log = from_file(from)?;
            let bytes_min: u64 = arguments.need("bytes")?;
            while written < bytes_min {
                out.clear();
                log.push_line(&mut out, lines);
                file.write_all(out.as_bytes()).map_err(failed)?;
                written += out.len() as u64;
                lines += 1;
            }
        }
    }
    file.flush().map_err(failed)?;
    Ok(Report::new().number("lines", lines as f64).number("bytes", written as f64).end())
}

/// Reads the log at a path.
///
/// # Errors
///
/// It cannot be read, or holds no request.
pub(crate) fn from_file(path: &str) -> Result<Log, String> {
    let bytes = std::fs::read(path).map_err(|it| format!("`{path}` cannot be read: {it}"))?;
    Log::read(&String::from_utf8_lossy(&bytes))
}

/// Returns a log of the usual shape: many visitors, some of them busy, pages and their images, a few errors.
fn generated() -> String {
    const AGENTS: [&str; 4] = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        "Mozilla/5.0 (compatible; ExampleBot/2.1; +http://example.com/bot.html)",
    ];
    const STATUSES: [u16; 20] =
        [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 304, 304, 301, 404, 200];
    let (mut out, mut state) = (String::new(), 0x9E37_79B9_7F4A_7C15_u64);
    let mut random = move |below: u64| {
        // Xorshift: the same log every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for number in 0..LINES {
        // The square makes the first addresses the busy ones.
        let busy = random(ADDRESSES);
        let address = busy * random(ADDRESSES) / ADDRESSES;
        let spread = address.wrapping_mul(0x9E37_79B1);
        let first = 20 + (spread % 160) as u8;
        push_address(&mut out, Ipv4Addr::new(first, (spread >> 8) as u8, (spread >> 16) as u8, address as u8));
        out.push_str(" - - [");
        push_access(&mut out, BEGIN + (number * 26) as i64);
        let (page, image, status) = (random(300), random(2_000), STATUSES[random(20) as usize]);
        let (size, agent) = (random(200_000), AGENTS[random(4) as usize]);
        out.push_str(&format!(
            "] \"GET /articles/{page}/images/picture-{image}.png HTTP/1.1\" {status} {size} \"http://www.example.com/articles/{page}/\" \"{agent}\"\n"
        ));
    }
    out
}

pub(crate) fn push_address(out: &mut String, address: Ipv4Addr) {
    let mut separator = "";
    for octet in address.octets() {
        out.push_str(separator);
        separator = ".";
        for (from, place) in [(100, 100), (10, 10), (0, 1)] {
            if from <= octet {
                out.push(char::from(b'0' + octet / place % 10));
            }
        }
    }
}

/// Returns `text` as a JSON string.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for it in text.chars() {
        match it {
            '"' | '\\' => out.extend(['\\', it]),
            it if it < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(it))),
            it => out.push(it),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a?b="c HTTP/1.1" 200 203 "-" "Agent"
83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 - "-" "Agent""#;

    #[test]
    fn the_first_turn_is_the_log_itself() {
        let log = Log::read(TEXT).unwrap();
        let mut out = String::new();
        log.push_line(&mut out, log.lines.len() as u64 - 1);
        assert_eq!(out.trim_end(), TEXT.lines().last().unwrap());
    }

    #[test]
    fn a_later_turn_has_other_times_and_addresses() {
        let log = Log::read(TEXT.lines().last().unwrap()).unwrap();
        let mut out = String::new();
        log.push_json(&mut out, 1);
        assert_eq!(
            out,
            "{\"time\":\"2015-05-17T10:15:03.000Z\",\"client_ip\":\"83.150.116.13\",\"method\":\"GET\",\"path\":\"/a\",\
             \"status_code\":200,\"bytes\":0,\"referer\":\"-\",\"user_agent\":\"Agent\"}\n"
        );
    }

    #[test]
    fn a_generated_log_can_be_read_and_is_always_the_same() {
        assert_eq!(generated(), generated());
        assert_eq!(Log::read(&generated()).unwrap().lines.len() as u64, LINES);
    }

    #[test]
    fn addresses_have_no_leading_zeros() {
        for address in ["0.10.100.255", "1.2.3.4", "101.0.9.90"] {
            let mut out = String::new();
            push_address(&mut out, address.parse().unwrap());
            assert_eq!(out, address);
        }
    }
}
