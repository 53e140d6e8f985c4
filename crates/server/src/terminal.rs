//! Text on its way to a terminal: nothing that a sender wrote moves the cursor or begins a line.

use std::io::{self, Write};

use model::decision::{Decision, Standing};
use model::time::Timestamp;

use crate::failure::Failure;

/// Escapes what is not plain text: control characters, and those that turn the direction of writing.
pub(crate) fn line(text: &str) -> String {
    let is_plain = |it: char| {
        !it.is_control()
            && !matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    text.chars().flat_map(|it| if is_plain(it) { vec![it] } else { it.escape_unicode().collect() }).collect()
}

/// Writes to stdout; a reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes())
}

/// The same for a piece of something larger.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says how many of a thing there are: `1 alert`, `2 alerts`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{ending}")
}

/// Prints each decision that is new or changed in a line of its own.
pub(crate) fn print_decisions(decisions: &[Decision]) {
    // A list that somebody imports is no news line by line.
    const LINES_MAX: usize = 100;
    let mut out = io::stdout().lock();
    for decision in decisions.iter().take(LINES_MAX) {
        // A terminal that is gone must not stop anything.
        let _ = writeln!(out, "{}", decision_line(decision));
    }
    if LINES_MAX < decisions.len() {
        let _ = writeln!(out, "[DECISION] and {} more", decisions.len() - LINES_MAX);
    }
    let _ = out.flush();
}

/// A time without the fraction of its second, for people.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp(time.0 - time.0.rem_euclid(1_000_000_000))
}

/// The same for a time that is text; what is none stays as it is.
pub(crate) fn shown_time(text: &str) -> String {
    Timestamp::from_rfc3339(text).map_or_else(|| line(text), |it| whole_seconds(it).to_string())
}

fn decision_line(decision: &Decision) -> String {
    let (measure, target) = (decision.measure.as_str(), line(&decision.target.to_string()));
    if let Some(ended) = &decision.ended {
        return format!("[DECISION] {measure} of {target} ended by {}", line(&ended.actor));
    }
    let (until, reason) = (whole_seconds(decision.expires_at), line(&decision.reason));
    match decision.standing {
        Standing::InForce => format!("[DECISION] {measure} {target} until {until}: {reason}"),
        Standing::DryRun => format!("[DECISION] dry run: would {measure} {target} until {until}: {reason}"),
        Standing::Held(brake) => format!("[DECISION] held ({}): {measure} {target}: {reason}", brake.explained()),
    }
}

/// Writes to stderr.
pub(crate) fn complain(text: &str) {
    // Nobody is left to be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The widest cell of a table, in characters: an id, a time and an address fit. One long value would pad every row.
const CELL_CHARS_MAX: usize = 48;
/// The widest cell of the last column, in characters; nothing is padded behind it.
const LAST_CELL_CHARS_MAX: usize = 400;

/// Shortens `text` to at most `chars_max` characters; what is cut ends in `…`.
pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// Lays rows out in columns; long cells are cut, JSON has them whole.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let last = head.len().saturating_sub(1);
    let cell =
        |(column, text): (usize, &String)| cut(text, if column == last { LAST_CELL_CHARS_MAX } else { CELL_CHARS_MAX });
    let rows: Vec<Vec<String>> = rows.iter().map(|it| it.iter().enumerate().map(cell).collect()).collect();
    let width =
        |column: usize| rows.iter().map(|it| it[column].chars().count()).chain([head[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    for row in std::iter::once(&head).chain(&rows) {
        for (column, cell) in row.iter().enumerate() {
            let is_last = column + 1 == row.len();
            out.push_str(cell);
            if !is_last {
                out.push_str(&" ".repeat(widths[column] - cell.chars().count() + 2));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_is_escaped() {
        assert_eq!(line("plain ünï"), "plain ünï");
        for text in ["\x1b[2J", "a\r\nb", "\u{202e}gnp", "\u{85}", "\0"] {
            assert!(line(text).chars().all(|it| it.is_ascii_graphic() || it == ' '), "{text:?}");
        }
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|it| counted(it, "alert")), ["0 alerts", "1 alert", "2 alerts"]);
    }

    #[test]
    fn a_long_cell_is_cut_and_pads_no_other_row() {
        let rows = vec![vec!["u".repeat(60_000), "r".repeat(60_000)], vec!["short".to_owned(), "c".to_owned()]];
        let shown = table(&["X", "Y"], &rows);
        let lengths: Vec<usize> = shown.lines().map(|it| it.chars().count()).collect();
        assert_eq!(lengths, [51, 50 + 400, 51]);
        assert!(shown.contains("uuu…  rrr"));
        for (text, expected) in [("", ""), ("abc", "abc"), ("abcd", "ab…"), ("üüüü", "üü…")] {
            assert_eq!(cut(text, 3), expected);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["X", "Y"], &rows), "X     Y\na     b\nlong  c\n");
    }
}
