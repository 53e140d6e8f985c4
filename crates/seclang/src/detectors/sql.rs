//! SQL: whether a value would change the statement into which it is put.
//!
//! A value can be put in as a number, or between quotes of either kind. For each it is cut into tokens, and what follows
//! its first operand must be a way on that data does not take: a condition, a union, a further statement, a comment.

/// The most tokens that are looked at. An injection needs few; what stands before it must be an operand.
const TOKENS_MAX: usize = 256;

/// A token, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Number,
    Text,
    Word,
    /// A function that waits, fails on purpose or reads what it should not.
    Function,
    /// Another function that is called.
    Call,
    Logic,
    Comparison,
    Sign,
    Union,
    /// Words that say how a union is meant.
    All,
    Select,
    /// Words that begin another statement.
    Statement,
    /// Words that begin a further clause: `order by`, `having`.
    Clause,
    Comment,
    Semicolon,
    Open,
    Close,
    Comma,
}

use Token::{
    All, Call, Clause, Close, Comma, Comment, Comparison, Function, Logic, Number, Open, Select, Semicolon, Sign,
    Statement, Text, Union, Word,
};

/// Words that mean something. `union` and others stand for themselves.
const WORDS: &[(&str, Token)] = &[
    ("all", All),
    ("alter", Statement),
    ("and", Logic),
    ("begin", Statement),
    ("benchmark", Function),
    ("between", Comparison),
    ("call", Statement),
    ("create", Statement),
    ("declare", Statement),
    ("delete", Statement),
    ("distinct", All),
    ("div", Logic),
    ("drop", Statement),
    ("elt", Function),
    ("exec", Statement),
    ("execute", Statement),
    ("extractvalue", Function),
    ("glob", Comparison),
    ("group", Clause),
    ("having", Clause),
    ("if", Statement),
    ("in", Comparison),
    ("insert", Statement),
    ("into", Clause),
    ("is", Comparison),
    ("like", Comparison),
    ("limit", Clause),
    ("load_file", Function),
    ("make_set", Function),
    ("mod", Logic),
    ("or", Logic),
    ("order", Clause),
    ("pg_sleep", Function),
    ("procedure", Clause),
    ("regexp", Comparison),
    ("rlike", Comparison),
    ("select", Select),
    ("shutdown", Statement),
    ("sleep", Function),
    ("truncate", Statement),
    ("union", Union),
    ("update", Statement),
    ("updatexml", Function),
    ("waitfor", Clause),
    ("where", Clause),
    ("xor", Logic),
];

/// Whether `value` is an injection in any of the places.
pub(super) fn is_injection(value: &[u8]) -> bool {
    let has_quote = |quote: u8| memchr::memchr(quote, value).is_some();
    let is_plain = value.iter().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.'));
    if is_plain {
        return false;
    }
    let mut tokens = Vec::new();
    [None, Some(b'\''), Some(b'"')].into_iter().any(|quote: Option<u8>| {
        if quote.map_or_else(|| is_a_name_first(value), |it| !has_quote(it)) {
            return false;
        }
        tokens.clear();
        tokenize(value, quote, &mut tokens);
        is_breakout(&tokens, quote.is_some())
    })
}

/// Whether a value begins with a name and hides nothing in comments: then it is no operand with something behind it.
fn is_a_name_first(value: &[u8]) -> bool {
    let (first, length) = value.first().map_or((None, 0), |_| token(value));
    first == Some(Word) && length < value.len() && memchr::memmem::find(value, b"/*").is_none()
}

/// Cuts a value into tokens. Within a quote, what comes before its end is a text.
fn tokenize(value: &[u8], quote: Option<u8>, tokens: &mut Vec<Token>) {
    let mut at = 0;
    if let Some(quote) = quote {
        at = text_length(value, quote);
        tokens.push(Text);
    }
    while at < value.len() && tokens.len() < TOKENS_MAX {
        let (token, length) = token(&value[at..]);
        tokens.extend(token);
        at += length;
    }
}

/// How far a text goes whose opening quote is gone, its end included.
fn text_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            it if *it == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The token at the beginning of `rest`, if it is one, and its length.
fn token(rest: &[u8]) -> (Option<Token>, usize) {
    let second = rest.get(1).copied().unwrap_or(0);
    match rest[0] {
        b'\'' | b'"' => (Some(Text), 1 + text_length(&rest[1..], rest[0])),
        b'-' if second == b'-' && rest.get(2).is_none_or(|it| !it.is_ascii_alphanumeric()) => {
            (Some(Comment), rest.len())
        }
        b'#' => (Some(Comment), rest.len()),
        b'/' if second == b'*' => {
            let end = memchr::memmem::find(&rest[2..], b"*/").map_or(rest.len(), |it| it + 4);
            // What stands in `/*!` runs.
            if rest.get(2) == Some(&b'!') { (None, 3) } else { (Some(Comment), end) }
        }
        b'*' if second == b'/' => (None, 2),
        b'|' | b'&' if second == rest[0] => (Some(Logic), 2),
        b'=' | b'<' | b'>' | b'!' => {
            let length = rest.iter().take_while(|it| b"=<>!".contains(it)).count();
            (Some(Comparison), length)
        }
        b'+' | b'-' | b'*' | b'/' | b'%' | b'|' | b'&' | b'^' | b'~' => (Some(Sign), 1),
        b';' => (Some(Semicolon), 1),
        b'(' => (Some(Open), 1),
        b')' => (Some(Close), 1),
        b',' => (Some(Comma), 1),
        it if is_in_word(it) => {
            let length = rest.iter().take_while(|it| is_in_word(**it) || **it == b'.').count();
            (Some(word(&rest[..length], &rest[length..])), length)
        }
        _ => (None, 1),
    }
}

fn is_in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@' | b'`') || !byte.is_ascii()
}

fn word(word: &[u8], after: &[u8]) -> Token {
    if word[0].is_ascii_digit() {
        return Number;
    }
    let is_called = after.trim_ascii_start().starts_with(b"(");
    let known = WORDS.iter().find(|it| it.0.as_bytes().eq_ignore_ascii_case(word)).map(|it| it.1);
    match known {
        Some(Function) if !is_called => Word,
        Some(it) => it,
        None if word.eq_ignore_ascii_case(b"null") || word.eq_ignore_ascii_case(b"true") => Number,
        None if is_called => Call,
        None => Word,
    }
}

/// Whether the tokens leave the operand with which they begin.
fn is_breakout(tokens: &[Token], is_quoted: bool) -> bool {
    let is_hidden = is_hidden_union(tokens);
    // A comment is white space, but at the end, where it cuts off the rest of the statement.
    let last = tokens.len().saturating_sub(1);
    let seen: Vec<Token> =
        tokens.iter().enumerate().filter(|(at, it)| **it != Comment || *at == last).map(|it| *it.1).collect();
    // A sign before a number, and brackets around it.
    let start = seen.iter().take_while(|it| matches!(it, Sign | Open)).count();
    let Some((operand, rest)) = seen[start..].split_first() else { return false };
    match operand {
        Function => true,
        Number | Text => follows(after_brackets(rest), is_quoted || *operand == Text),
        // A name, a comment as a space, and a union: nobody writes so.
        Word => is_hidden,
        Select => 0 < start && rest.iter().any(|it| matches!(it, Function | Call)),
        _ => false,
    }
}

/// What comes behind closing brackets.
fn after_brackets(tokens: &[Token]) -> &[Token] {
    let count = tokens.iter().take_while(|it| **it == Close).count();
    &tokens[count..]
}

fn is_hidden_union(tokens: &[Token]) -> bool {
    tokens.windows(3).any(|it| it[0] == Comment && matches!(it[1], Number | Text) && it[2] == Union)
}

/// Whether what follows an operand goes on as a statement does. Out of a quote more is telling than after a number.
fn follows(tokens: &[Token], is_out_of_quote: bool) -> bool {
    match tokens {
        [Union, All, Select, ..] | [Union, Select | Open, ..] => true,
        [Union, All, ..] if !is_out_of_quote => true,
        [Semicolon, Statement | Select | Function | Clause | Comment, ..] => true,
        [Function, ..] => true,
        [Clause, rest @ ..] => clause(rest, is_out_of_quote),
        [Logic, rest @ ..] => condition(rest, is_out_of_quote),
        [Comma, Open, Select, ..] => true,
        [Comment, ..] => is_out_of_quote,
        [Comparison | Sign, rest @ ..] if is_out_of_quote => comparison(rest),
        [Sign, rest @ ..] => matches!(rest, [Open, Select, ..] | [Function, ..]),
        _ => false,
    }
}

fn clause(rest: &[Token], is_out_of_quote: bool) -> bool {
    let is_condition = rest.windows(3).any(|it| matches!(it, [Number | Text, Comparison, Number | Text]));
    let calls = rest.iter().any(|it| matches!(it, Function));
    is_condition || calls || (is_out_of_quote && matches!(rest.last(), Some(Comment | Number | Text)))
}

/// What follows `and` or `or`.
fn condition(tokens: &[Token], is_out_of_quote: bool) -> bool {
    let start = tokens.iter().take_while(|it| matches!(it, Open | Sign | Comparison)).count();
    match &tokens[start..] {
        [Function, ..] | [Select, ..] => true,
        [Call, ..] => is_out_of_quote || tokens.contains(&Comparison),
        [Number | Text, rest @ ..] => match after_brackets(rest) {
            [Comparison | Sign, ..] => true,
            [Comment | Logic, ..] => true,
            // The quote of the statement closes it.
            [] => is_out_of_quote && tokens[start] == Text,
            _ => false,
        },
        [Word, Comparison, Number | Text | Function | Call | Select | Open, ..] => true,
        [Word, Comparison, Word, ..] => is_out_of_quote && tokens.contains(&Comment),
        _ => false,
    }
}

/// What follows a comparison or a sign behind a closed quote.
fn comparison(tokens: &[Token]) -> bool {
    let start = tokens.iter().take_while(|it| matches!(it, Open | Sign)).count();
    match &tokens[start..] {
        [Function | Call | Select, ..] => true,
        // What is put between two quotes that close is computed.
        [Text | Number, ..] | [Word, ..] => {
            let is_closed = tokens.last() == Some(&Text)
                && tokens.iter().rev().nth(1).is_some_and(|it| matches!(it, Sign | Comparison));
            is_closed || matches!(tokens.last(), Some(Comment)) || (tokens.len() == 1 && tokens[0] == Text)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_injection;

    #[test]
    fn finds_what_leaves_its_place() {
        for value in [
            "7 OR 3=3",
            "-1' or '1'='1",
            "x\" or \"1\"=\"2",
            "2020-02-02'+sleep(5)+'",
            "a') union all select null--",
            "a')waitfor delay'0:0:5'--",
            "sleep(5)",
            "x' and sleep(5) --",
            "admin'--",
            "1; drop table users",
            "1'||(select password from users)||'",
            "1/**/union/**/select 1",
            "x' order by 5#",
            "1) or 7=(select count(*) from t)",
        ] {
            assert!(is_injection(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn leaves_words_alone() {
        for value in [
            "O'Brien",
            "Tom's and Jerry's",
            "having friends over is nice",
            "select a plan and order it",
            "rock 'n' roll",
            "51--ZfvVzOI",
            "2020-02-02",
            "a=1;b=2",
            "5 or 6 of them",
            "it's 5 o'clock",
            "Mozilla/5.0 (X11; Linux x86_64) like Gecko",
            "the union of all workers",
            "C# and F#",
            "",
            "((((",
        ] {
            assert!(!is_injection(value.as_bytes()), "{value}");
        }
    }
}
