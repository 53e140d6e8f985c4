//! SQL injection: does a text leave its place in a statement and go on as SQL?
//!
//! A text is read as it would be inside a statement: as an expression, inside single quotes and inside double quotes. What comes
//! after the way out must be SQL by grammar, not by vocabulary: "O'Brien", "select one of the unions" and "D'or 1st parfume" are
//! none.

mod grammar;
mod names;
mod token;

use crate::hit::Hit;
use crate::report::Family;
use grammar::{Context, Statement};
use token::{Dialect, Token, tokenize};

/// Looks for SQL injection in a text in lower case.
pub(crate) fn check(text: &[u8], tokens_memory: &mut Vec<usize>) -> Option<Hit> {
    let _ = tokens_memory;
    let mut best: Option<Hit> = None;
    let mut tokens: Vec<(Token<'_>, usize)> = Vec::with_capacity(32);
    let mut consider = |hit: Option<Hit>| {
        if let Some(hit) = hit
            && best.as_ref().is_none_or(|it| it.score < hit.score)
        {
            best = Some(hit);
        }
        best.as_ref().is_some_and(|it| 5 <= it.score)
    };
    for reading in READINGS.iter().take_while(|it| it.is_first() || has_line_comment(text)) {
        reading.tokenize(text, 0, &mut tokens);
        if consider(evaluate(&tokens, context_of(&tokens), text)) {
            return best;
        }
        for quote in [b'\'', b'"', b'`'] {
            let Some(place) = memchr::memchr(quote, text) else { continue };
            reading.tokenize(text, place + 1, &mut tokens);
            if !goes_on(&tokens) {
                continue;
            }
            let before = &text[..place];
            let context = if is_sentence(before) { Context::QuotedInSentence } else { Context::Quoted };
            let is_cut = reading.is_first() && consider(comment_after_quote(&tokens, before, text));
            if is_cut || consider(evaluate(&tokens, context, text)) {
                return best;
            }
        }
    }
    best
}

/// A way to read comments of a line that have a line behind them.
struct Reading {
    dialect: Dialect,
    /// Whether such a comment is a space; otherwise it ends the statement.
    is_space: bool,
}

/// The ways in turn. The first is enough for a text without such comments.
const READINGS: [Reading; 4] = [
    Reading { dialect: Dialect::Any, is_space: false },
    Reading { dialect: Dialect::Any, is_space: true },
    Reading { dialect: Dialect::MySql, is_space: true },
    Reading { dialect: Dialect::Standard, is_space: true },
];

impl Reading {
    const fn is_first(&self) -> bool {
        !self.is_space
    }

    fn tokenize<'a>(&self, text: &'a [u8], from: usize, tokens: &mut Vec<(Token<'a>, usize)>) {
        tokens.clear();
        tokenize(text, from, self.dialect, tokens);
        if self.is_space {
            let last = tokens.last().map_or(0, |it| it.1);
            tokens.retain(|it| it.0 != Token::Comment || it.1 == last);
        }
    }
}

/// Whether a text has what some dialect takes for the begin of a comment.
fn has_line_comment(text: &[u8]) -> bool {
    memchr::memchr(b'#', text).is_some() || memchr::memmem::find(text, b"--").is_some()
}

fn context_of(tokens: &[(Token<'_>, usize)]) -> Context {
    if starts_as_operand(tokens) {
        Context::Operand
    } else if is_statement(tokens) {
        Context::Statement
    } else {
        Context::Plain
    }
}

fn evaluate(tokens: &[(Token<'_>, usize)], context: Context, text: &[u8]) -> Option<Hit> {
    let statement = Statement::new(tokens, context);
    let found = statement.find()?;
    let begin = tokens.get(found.from).map_or(0, |it| it.1);
    let end = tokens.get(found.to).map_or(text.len(), |it| it.1);
    let at = begin..end.max(begin);
    // A statement that is whole from its first word came out of no other: records of databases have unions, too.
    let is_whole_union = context == Context::Statement && found.check == "sql-union" && text.starts_with(b"select ");
    Some(if found.is_sure && !is_whole_union {
        Hit::sure(Family::SqlInjection, found.check, at)
    } else {
        Hit::hint(Family::SqlInjection, found.check, at)
    })
}

/// Whether a text is a statement as a whole.
fn is_statement(tokens: &[(Token<'_>, usize)]) -> bool {
    Statement::new(tokens, Context::Plain).is_whole()
}

/// Whether a text begins like the operand that it stands for: a number, a string, `null`, or brackets that it closes.
fn starts_as_operand(tokens: &[(Token<'_>, usize)]) -> bool {
    let mut its = tokens.iter().map(|it| it.0);
    match its.next() {
        Some(Token::Number(_) | Token::Text(_) | Token::Close | Token::Variable(_)) => true,
        Some(Token::Operator(b'-' | b'+')) => matches!(its.next(), Some(Token::Number(_) | Token::Open)),
        Some(Token::Word(token::Word::Null | token::Word::Boolean, _)) => true,
        Some(Token::Open) => {
            matches!(its.next(), Some(Token::Number(_))) && matches!(its.next(), Some(Token::Comparison))
        }
        // A value that begins as if another stood before it.
        Some(
            Token::Word(token::Word::Or | token::Word::And | token::Word::Where, _) | Token::Logic | Token::Other(b']'),
        ) => true,
        // A single name, as an identifier in the address: `id=abc) or 1=1`.
        Some(Token::Name(_)) => matches!(its.next(), Some(Token::Close)),
        _ => false,
    }
}

/// Whether what follows a quote goes on as SQL would, and not as a name or a word does.
fn goes_on(tokens: &[(Token<'_>, usize)]) -> bool {
    use token::Word as W;
    let mut its = tokens.iter().map(|it| it.0).skip_while(|it| matches!(it, Token::Close | Token::Operator(b'%')));
    match its.next() {
        Some(Token::Comment | Token::Semicolon | Token::Logic | Token::Comparison | Token::Comma) => true,
        Some(Token::Operator(_)) => true,
        Some(Token::Word(word, _)) => !matches!(word, W::Null | W::Boolean | W::By | W::Object | W::All | W::CasePart),
        Some(Token::Open) => matches!(its.next(), Some(Token::Word(W::Select, _))),
        // MySQL joins strings that stand side by side.
        Some(Token::Text(_)) => true,
        Some(Token::Name(name)) => matches!(name, b"div" | b"collate" | b"procedure"),
        _ => false,
    }
}

/// Whether what stands before a quote is a text of its own, and not a value.
fn is_sentence(before: &[u8]) -> bool {
    1 < before.iter().filter(|it| **it == b' ').count() || 40 < before.len()
}

/// `admin'--`, `x')#`: the quote ends the string and a comment hides the rest.
fn comment_after_quote(tokens: &[(Token<'_>, usize)], before: &[u8], text: &[u8]) -> Option<Hit> {
    let mut its = tokens.iter().skip_while(|it| matches!(it.0, Token::Close | Token::Operator(b'%')));
    let (token, at) = its.next()?;
    if *token != Token::Comment {
        return None;
    }
    let rest = &text[*at..];
    let has_quote = memchr::memchr2(b'\'', b'"', rest).is_some();
    // Behind `#` stands nothing, or what begins with a blank; passwords and colours go on.
    let is_colour = rest.get(1).is_some_and(|it| rest[0] == b'#' && !it.is_ascii_whitespace());
    (!is_sentence(before) && !has_quote && !is_colour && text.len() - at <= 12)
        .then(|| Hit::sure(Family::SqlInjection, "sql-comment", before.len()..text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_found(text: &str) {
        let hit = check(text.to_ascii_lowercase().as_bytes(), &mut Vec::new());
        assert!(hit.as_ref().is_some_and(|it| 5 <= it.score), "{text}: {hit:?}");
    }

    #[track_caller]
    fn is_none(text: &str) {
        let hit = check(text.to_ascii_lowercase().as_bytes(), &mut Vec::new());
        assert!(hit.as_ref().is_none_or(|it| it.score < 5), "{text}: {hit:?}");
    }

    #[test]
    fn finds_ways_out_of_a_string() {
        for text in [
            "' or ''='",
            "1' or '1'='1",
            "x') or ('1'='1",
            "admin'--",
            "admin' #",
            "1' and sleep(5)#",
            "1'||(select 1)||'",
            "1' || 1=(select 1) #",
            "x\" or \"a\"=\"a",
            "1%' and 3=3 and '%'='",
            "' or 1--",
            "1' order by 3-- -",
            "1'; drop table users--",
            "' union/**/select 1,2,3",
            "-1' /*!50000union*/ select 1,@@version#",
            "x' like '%",
        ] {
            is_found(text);
        }
    }

    #[test]
    fn finds_ways_on_from_a_number() {
        for text in [
            "1 or 1=1",
            "1 and 5196=9002",
            "1) as x where 3=3 and (1=1",
            "1;waitfor delay '0:0:5'--",
            "1 order by 10",
            "1-sleep(5)",
            "(select(0)from(select(sleep(15)))v)",
            "1 rlike (select 1 from x)",
            "-1 union all select null,null",
            "if(now()=sysdate(),sleep(15),0)",
            "1 procedure analyse(extractvalue(1,2),1)",
            "1e1union select 2",
        ] {
            is_found(text);
        }
    }

    #[test]
    fn finds_statements_that_ask_for_the_catalogue() {
        is_found("select * from information_schema.tables");
        is_found("select load_file('/etc/passwd')");
        is_found("copy (select '') to program 'nslookup x'");
    }

    #[test]
    fn lets_names_sentences_and_codes_pass() {
        for text in [
            "O'Brien",
            "D'or 1st parfume",
            "having friends over is nice",
            "select one of the unions",
            "Student union select committee",
            "rock 'n' roll",
            "it's 5 or 6 o'clock",
            "drop table lamp",
            "89--123--11",
            "51--ZfvVzOI",
            "black and white = good",
            "l'Hospitalet, 12",
            "select * from users",
            "order by phone",
            "1 and 2",
            "5 or more",
            "true or false",
            "x = 1 and y = 2",
            "I would like to see a list of drivers sorted in reverse order.",
            "exec noun",
            "DELETE 75oBC$",
            "c/ l' or, 125",
            "update my settings; delete from cart",
            "fish & chips or 2 = too many",
            "time.sleep(5) in python",
            "'#1' hit",
        ] {
            is_none(text);
        }
    }
}
