//! The lines of a rule file: directives and their arguments.
//!
//! It knows quotes, comments and continued lines, and no directive by name.

/// The longest line of a rule file, with those that continue it, in bytes. The longest pattern of the Core Rule Set has
/// 12 kB; beyond this the line is refused.
const LINE_BYTES_MAX: usize = 256 * 1024;

/// A directive as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    /// The line on which it begins, from 1.
    pub(crate) line: u32,
    /// Its name, such as `SecRule`.
    pub(crate) name: String,
    /// What follows, without quotes; `\"` within quotes is a quote.
    pub(crate) arguments: Vec<String>,
}

/// Reads the directives of a file. A line that cannot be one is told with its number.
pub(crate) fn directives(text: &str) -> Vec<Result<Directive, (u32, String)>> {
    let mut found = Vec::new();
    let mut lines = text.lines().zip(1_u32..);
    while let Some((line, number)) = lines.next() {
        let mut whole = line.trim().to_owned();
        if whole.is_empty() || whole.starts_with('#') {
            continue;
        }
        while whole.ends_with('\\') {
            whole.pop();
            let Some((line, _)) = lines.next() else { break };
            whole.push_str(line.trim());
        }
        found.push(match split(&whole) {
            _ if LINE_BYTES_MAX < whole.len() => {
                Err((number, format!("the line is longer than {LINE_BYTES_MAX} bytes")))
            }
            Ok(words) => Ok(directive(number, words)),
            Err(reason) => Err((number, reason)),
        });
    }
    found
}

fn directive(line: u32, mut words: Vec<String>) -> Directive {
    let name = words.remove(0);
    Directive { line, name, arguments: words }
}

/// Splits a line at white space outside of quotes. The result is not empty if the line is not blank.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => quoted(&rest[1..], first).ok_or("a quote is not closed")?,
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut word = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            it if it == quote => return Some((word, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, it)) if it == quote => word.push(it),
                Some((_, it)) => word.extend(['\\', it]),
                None => return None,
            },
            it => word.push(it),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::directives;

    #[track_caller]
    fn check(text: &str, expected: &[(u32, &str, &[&str])]) {
        let actual: Vec<_> = directives(text).into_iter().map(Result::unwrap).collect();
        let actual: Vec<(u32, &str, Vec<&str>)> = actual
            .iter()
            .map(|it| (it.line, it.name.as_str(), it.arguments.iter().map(String::as_str).collect()))
            .collect();
        let expected: Vec<_> = expected.iter().map(|it| (it.0, it.1, it.2.to_vec())).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn joins_continued_lines_and_leaves_out_comments() {
        check(
            "# SecRule\n\n  SecRule ARGS \"@rx a\\\"b\\d\" \\\n    \"id:1,\\\n    deny\"\nSecMarker END\n",
            &[(3, "SecRule", &["ARGS", "@rx a\"b\\d", "id:1,deny"]), (6, "SecMarker", &["END"])],
        );
    }

    #[test]
    fn tells_the_line_of_an_open_quote() {
        let actual = directives("SecMarker A\nSecRule ARGS \"@rx a");
        assert_eq!(actual[1], Err((2, "a quote is not closed".to_owned())));
        assert!(directives("SecRule ARGS \"a\\")[0].is_err());
    }
}
