//! SQL as several engines read it, cut into tokens.
//!
//! Not a parser of one dialect: what MySQL, PostgreSQL, SQL Server, Oracle or SQLite would take for a token is one here. Text
//! is in lower case.

use crate::work;

/// A word that SQL knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// `or`, `xor`.
    Or,
    /// `and`.
    And,
    /// `not`.
    Not,
    /// `union`, `except`, `intersect`, `minus`.
    Union,
    /// `all`, `distinct`.
    All,
    /// `select`.
    Select,
    /// `from`.
    From,
    /// `where`, `having`, `when`.
    Where,
    /// `order`, `group`.
    Order,
    /// `by`.
    By,
    /// `limit`, `offset`.
    Limit,
    /// `like`, `rlike`, `regexp`, `glob`, `ilike`, `similar`: comparisons in words.
    Like,
    /// `between`.
    Between,
    /// `in`.
    In,
    /// `is`.
    Is,
    /// `null`.
    Null,
    /// `true`, `false`.
    Boolean,
    /// `case`.
    Case,
    /// `then`, `else`, `end`.
    CasePart,
    /// `into`.
    Into,
    /// `insert`, `replace`.
    Insert,
    /// `update`.
    Update,
    /// `set`.
    Set,
    /// `delete`.
    Delete,
    /// `drop`, `truncate`.
    Drop,
    /// `create`, `alter`.
    Create,
    /// `table`, `database`, `view`, `function`, `procedure`, `user`, `index`, `trigger`, `schema`, `role`, `column`.
    Object,
    /// `exec`, `execute`, `call`.
    Execute,
    /// `declare`.
    Declare,
    /// `waitfor`.
    Waitfor,
    /// `as`.
    As,
    /// `begin`, `shutdown`, `grant`, `revoke`, `merge`, `copy`, `attach`, `pragma`, `handler`, `load`, `values`, `procedure`.
    Statement,
    /// `div`, `mod`.
    Arithmetic,
    /// `exists`, `any`, `some`.
    Exists,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A known word.
    Word(Word, &'a [u8]),
    /// Another name, with dots between its parts.
    Name(&'a [u8]),
    /// A number, also in hex.
    Number(&'a [u8]),
    /// A string with its closing quote, without the quotes.
    Text(&'a [u8]),
    /// A string that runs to the end.
    OpenText(&'a [u8]),
    /// `@x`, `@@x`, `:x`.
    Variable(&'a [u8]),
    /// `=`, `<`, `>`, `<>`, `!=`, `<=`, `>=`, `:=`, `==`.
    Comparison,
    /// `||`, `&&`.
    Logic,
    /// `+`, `-`, `*`, `/`, `%`, `|`, `&`, `^`, `~`, `!`.
    Operator(u8),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `,`.
    Comma,
    /// `;`.
    Semicolon,
    /// `--`, `#` or `/*` to the end.
    Comment,
    /// Anything else.
    Other(u8),
}

/// How far the end of a string between dollars is looked for: what is not closed is looked for anew at each dollar.
const DOLLAR_BYTES_MAX: usize = 512;
/// How many tokens of a text are looked at.
pub(crate) const TOKENS_MAX: usize = 4096;

fn word_of(text: &[u8]) -> Option<Word> {
    Some(match text {
        b"or" | b"xor" => Word::Or,
        b"and" => Word::And,
        b"not" => Word::Not,
        b"union" | b"except" | b"intersect" | b"minus" => Word::Union,
        b"all" | b"distinct" | b"distinctrow" => Word::All,
        b"select" => Word::Select,
        b"from" => Word::From,
        b"where" | b"having" | b"when" => Word::Where,
        b"order" | b"group" => Word::Order,
        b"by" => Word::By,
        b"limit" | b"offset" => Word::Limit,
        b"like" | b"rlike" | b"regexp" | b"glob" | b"ilike" | b"sounds" => Word::Like,
        b"between" => Word::Between,
        b"in" => Word::In,
        b"is" => Word::Is,
        b"null" => Word::Null,
        b"true" | b"false" => Word::Boolean,
        b"case" => Word::Case,
        b"then" | b"else" | b"end" => Word::CasePart,
        b"into" => Word::Into,
        b"insert" | b"replace" => Word::Insert,
        b"update" => Word::Update,
        b"set" => Word::Set,
        b"delete" => Word::Delete,
        b"drop" | b"truncate" => Word::Drop,
        b"create" | b"alter" => Word::Create,
        b"table" | b"database" | b"view" | b"function" | b"user" | b"index" | b"trigger" | b"schema" | b"role"
        | b"column" => Word::Object,
        b"exec" | b"execute" | b"call" => Word::Execute,
        b"declare" => Word::Declare,
        b"waitfor" => Word::Waitfor,
        b"as" => Word::As,
        b"begin" | b"shutdown" | b"grant" | b"revoke" | b"merge" | b"copy" | b"attach" | b"pragma" | b"handler"
        | b"load" | b"values" | b"procedure" => Word::Statement,
        b"div" | b"mod" => Word::Arithmetic,
        b"exists" | b"any" | b"some" => Word::Exists,
        _ => return None,
    })
}

/// Whose comments of a line are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Anybody's: `#` and `--` begin one, and any break ends it.
    Any,
    /// MySQL's: a blank stands behind `--`, and a line feed alone ends a comment.
    MySql,
    /// PostgreSQL's and SQL Server's: `#` is an operator or part of a name.
    Standard,
}

/// Cuts `text`, in lower case, into tokens; each comes with where it begins.
pub(crate) fn tokenize<'a>(text: &'a [u8], from: usize, dialect: Dialect, out: &mut Vec<(Token<'a>, usize)>) {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        if TOKENS_MAX <= out.len() {
            return;
        }
        let rest = &text[at..];
        let (token, length) = match byte {
            b'\'' | b'"' | b'`' => text_at(rest, byte),
            b'0'..=b'9' => number_at(rest),
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) => number_at(rest),
            0x80.. if 0 < space_length(text, at) => {
                at += space_length(text, at);
                continue;
            }
            b'a'..=b'z' | b'_' | 0x80.. => {
                let length = name_length(text, at);
                if let Some((word, length)) = dotted_word(&rest[..length]) {
                    out.push((Token::Word(word, &rest[..length]), at));
                    // What follows the dot is a number, or a name that may do without.
                    at += length + usize::from(!rest.get(length + 1).is_some_and(u8::is_ascii_digit));
                    work::count(1);
                    continue;
                }
                let name = &rest[..length];
                // A string with a prefix: N'x', 0x's sibling X'41', B'01'.
                if length == 1 && rest.get(1) == Some(&b'\'') && matches!(byte, b'n' | b'x' | b'b' | b'e') {
                    let (token, inner) = text_at(&rest[1..], b'\'');
                    (token, inner + 1)
                } else {
                    (word_of(name).map_or(Token::Name(name), |it| Token::Word(it, name)), length)
                }
            }
            b'[' if bracketed(rest).is_some() => {
                let length = bracketed(rest).unwrap_or(1);
                (Token::Name(&rest[1..length - 1]), length)
            }
            b'@' => {
                let skipped = rest.iter().take_while(|it| **it == b'@').count();
                let length = skipped + name_length(text, at + skipped);
                (Token::Variable(&rest[..length]), length)
            }
            b'$' if dollar_quote(rest).is_some() => {
                let length = dollar_quote(rest).unwrap_or(2);
                (Token::Text(&rest[..length]), length)
            }
            b'-' if is_dash_comment(rest, dialect) => (Token::Comment, line_length(rest, dialect)),
            b'#' if dialect == Dialect::Standard => (Token::Operator(b'#'), 1),
            b'#' => (Token::Comment, line_length(rest, dialect)),
            b'/' if rest.starts_with(b"/*!") => {
                // MySQL runs what stands in such a comment: only its brackets are space.
                let digits = rest[3..].iter().take_while(|it| it.is_ascii_digit()).count();
                at += 3 + digits.min(6);
                continue;
            }
            b'/' if rest.starts_with(b"/*") => match memchr::memmem::find(&rest[2..], b"*/") {
                Some(end) => {
                    at += end + 4;
                    continue;
                }
                None => (Token::Comment, rest.len()),
            },
            b'*' if rest.starts_with(b"*/") => {
                at += 2;
                continue;
            }
            b'<' | b'>' | b'=' | b'!' | b':' => comparison_at(rest),
            b'|' if rest.starts_with(b"||") => (Token::Logic, 2),
            b'&' if rest.starts_with(b"&&") => (Token::Logic, 2),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'|' | b'&' | b'^' | b'~' => (Token::Operator(byte), 1),
            b'(' => (Token::Open, 1),
            b')' => (Token::Close, 1),
            b',' => (Token::Comma, 1),
            b';' => (Token::Semicolon, 1),
            0..=b' ' => {
                at += 1;
                continue;
            }
            _ => (Token::Other(byte), 1),
        };
        out.push((token, at));
        work::count(1);
        at += length.max(1);
    }
}

fn comparison_at(rest: &[u8]) -> (Token<'_>, usize) {
    let length = rest.iter().take(3).take_while(|it| matches!(it, b'<' | b'>' | b'=' | b'!')).count();
    match rest[0] {
        b':' if rest.get(1) == Some(&b'=') => (Token::Comparison, 2),
        b':' if rest.get(1) == Some(&b':') => (Token::Operator(b':'), 2),
        b':' => (Token::Other(b':'), 1),
        b'!' if length == 1 => (Token::Operator(b'!'), 1),
        _ => (Token::Comparison, length),
    }
}

fn text_at(rest: &[u8], quote: u8) -> (Token<'_>, usize) {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(quote, b'\\', &rest[at..]) {
        let place = at + found;
        if rest[place] == b'\\' && place + 1 < rest.len() {
            at = place + 2;
        } else if rest[place] == b'\\' {
            break;
        } else if rest.get(place + 1) == Some(&quote) && quote != b'`' {
            at = place + 2;
        } else {
            return (Token::Text(&rest[1..place]), place + 1);
        }
        if rest.len() <= at {
            break;
        }
    }
    (Token::OpenText(&rest[1..]), rest.len())
}

fn number_at(rest: &[u8]) -> (Token<'_>, usize) {
    if rest.starts_with(b"0x") || rest.starts_with(b"0b") {
        let length = 2 + rest[2..].iter().take_while(|it| it.is_ascii_hexdigit()).count();
        return (Token::Number(&rest[..length]), length);
    }
    let mut length = rest.iter().take_while(|it| it.is_ascii_digit() || **it == b'.').count();
    let exponent = &rest[length..];
    if exponent.first() == Some(&b'e') {
        let signed = 1 + usize::from(matches!(exponent.get(1), Some(b'+' | b'-')));
        let digits = exponent[signed.min(exponent.len())..].iter().take_while(|it| it.is_ascii_digit()).count();
        if 0 < digits {
            // MySQL reads `1e1union` as a number and a word.
            return (Token::Number(&rest[..length + signed + digits]), length + signed + digits);
        }
    }
    let glued = run_length(rest, length);
    if 0 < glued && !starts_with_word(&rest[length..length + glued]) {
        length += glued;
        return (Token::Name(&rest[..length]), length);
    }
    (Token::Number(&rest[..length]), length)
}

/// Whether what is glued to a number is a word that MySQL would split off: `1or`, `1union`.
fn starts_with_word(glued: &[u8]) -> bool {
    matches!(word_of(glued), Some(Word::Or | Word::And | Word::Union | Word::From | Word::Like | Word::Arithmetic))
}

const fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || 0x80 <= byte
}

/// How many bytes from `begin` of `text` on stand in a name, without dots.
fn run_length(text: &[u8], begin: usize) -> usize {
    let is_in = |at: &usize| is_in_name(text[*at]) && (text[*at] < 0x80 || space_length(text, *at) == 0);
    (begin..text.len()).take_while(is_in).count()
}

/// How long a name is that begins at `begin` of `text`.
fn name_length(text: &[u8], begin: usize) -> usize {
    let mut at = begin;
    loop {
        at += run_length(text, at);
        let goes_on = text.get(at) == Some(&b'.') && (0 < run_length(text, at + 1) || text.get(at + 1) == Some(&b'.'));
        if !goes_on {
            return at - begin;
        }
        at += 1;
    }
}

/// The word of a statement before the first dot of a name, and its length: MySQL reads `select.1` as two, and `from.users`.
fn dotted_word(name: &[u8]) -> Option<(Word, usize)> {
    let length = memchr::memchr(b'.', name)?;
    let word = word_of(&name[..length])?;
    matches!(word, Word::Select | Word::From | Word::Union | Word::Where | Word::Or | Word::And)
        .then_some((word, length))
}

/// How many bytes the space at `at` has that is none of ASCII; 0 where there is none. The byte A0 is one by itself in Latin-1,
/// where it is no part of a letter in UTF-8.
fn space_length(text: &[u8], at: usize) -> usize {
    match &text[at..] {
        [0xc2, 0xa0, ..] => 2,
        [0xe2, 0x80, 0x80..=0x8a | 0xaf, ..] | [0xe3, 0x80, 0x80, ..] => 3,
        [0xa0, ..] if at == 0 || text[at - 1] < 0x80 || text[at - 1] == 0xa0 => 1,
        _ => 0,
    }
}

fn bracketed(rest: &[u8]) -> Option<usize> {
    let length = 1 + rest[1..].iter().take(64).take_while(|it| is_in_name(**it) || **it == b' ').count();
    (2 <= length && rest.get(length) == Some(&b']')).then_some(length + 1)
}

fn dollar_quote(rest: &[u8]) -> Option<usize> {
    let tag = 1 + rest[1..].iter().take(32).take_while(|it| it.is_ascii_alphanumeric() || **it == b'_').count();
    if rest.get(tag) != Some(&b'$') {
        return None;
    }
    let fence = &rest[..=tag];
    work::count(rest.len().min(DOLLAR_BYTES_MAX));
    let inside = &rest[tag + 1..rest.len().min(tag + 1 + DOLLAR_BYTES_MAX)];
    memchr::memmem::find(inside, fence).map(|it| tag + 1 + it + fence.len())
}

fn is_dash_comment(rest: &[u8], dialect: Dialect) -> bool {
    // Source: MySQL 8.0 Reference Manual, section 9.7, "Comments".
    rest.starts_with(b"--") && (dialect != Dialect::MySql || rest.get(2).is_none_or(|it| *it <= b' '))
}

fn line_length(rest: &[u8], dialect: Dialect) -> usize {
    let end = if dialect == Dialect::MySql { memchr::memchr(b'\n', rest) } else { memchr::memchr2(b'\n', b'\r', rest) };
    end.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        check_in(Dialect::Any, text, expected);
    }

    #[track_caller]
    fn check_in(dialect: Dialect, text: &str, expected: &str) {
        let mut tokens = Vec::new();
        tokenize(text.as_bytes(), 0, dialect, &mut tokens);
        let shown: Vec<_> = tokens
            .iter()
            .map(|(token, _)| match token {
                Token::Word(_, it) => String::from_utf8_lossy(it).to_uppercase(),
                Token::Name(it) => String::from_utf8_lossy(it).into_owned(),
                Token::Number(it) => format!("#{}", String::from_utf8_lossy(it)),
                Token::Text(it) => format!("'{}'", String::from_utf8_lossy(it)),
                Token::OpenText(it) => format!("'{}", String::from_utf8_lossy(it)),
                Token::Variable(it) => String::from_utf8_lossy(it).into_owned(),
                Token::Comparison => "=".into(),
                Token::Logic => "||".into(),
                Token::Operator(it) | Token::Other(it) => char::from(*it).to_string(),
                Token::Open => "(".into(),
                Token::Close => ")".into(),
                Token::Comma => ",".into(),
                Token::Semicolon => ";".into(),
                Token::Comment => "--".into(),
            })
            .collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn cuts_as_databases_do() {
        check("1 or 1=1", "#1 OR #1 = #1");
        check("union/**/select/*!50000 1*/,0x41", "UNION SELECT #1 , #0x41");
        check("a.b.c <> 'it''s' || n'x'", "a.b.c = 'it''s' || 'x'");
        check("1st 1or 2e1union", "1st #1 OR #2e1 UNION");
        check("@@version; -- x", "@@version ; --");
        check("'open", "'open");
        check("[order id] $$a$$", "order id '$$a$$'");
    }

    #[test]
    fn a_comment_is_what_a_dialect_takes_for_one() {
        for (dialect, expected) in [
            (Dialect::Any, "#1 -- #3 -- #6"),
            (Dialect::MySql, "#1 - - x #3 --"),
            (Dialect::Standard, "#1 -- #3 # #4 #5 #6"),
        ] {
            check_in(dialect, "1 --x\n3 #4 5\r6", expected);
        }
    }

    #[test]
    fn spaces_beyond_ascii_part_names_and_letters_do_not() {
        check("a\u{a0}or\u{3000}b", "a OR b");
        check("\u{e0}or", "\u{e0}or");
        let mut tokens = Vec::new();
        tokenize(b"1\xa0or\xa0\xa02", 0, Dialect::Any, &mut tokens);
        assert_eq!(tokens.iter().map(|it| it.1).collect::<Vec<_>>(), [0, 2, 6]);
    }

    #[test]
    fn a_word_of_a_statement_before_a_dot_is_a_word() {
        check("select.1 from.users", "SELECT #.1 FROM users");
        check("a.select orders.id user.name array.from", "a.select orders.id user.name array.from");
    }

    #[test]
    fn no_bytes_are_a_panic_or_an_endless_loop() {
        for text in ["'\\", "$a", "[", "/*", "/*!", "0x", "@", ":", "1e", "\\", "$x$ $y$", "1.", ".."] {
            tokenize(text.as_bytes(), 0, Dialect::Any, &mut Vec::new());
        }
        for byte in 0..=255_u8 {
            for other in 0..=255_u8 {
                tokenize(&[byte, other, byte], 0, Dialect::MySql, &mut Vec::new());
            }
        }
    }
}
