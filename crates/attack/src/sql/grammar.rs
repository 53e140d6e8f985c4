//! What tokens must be, one after another, to be SQL and not a sentence.

use std::cell::OnceCell;

use super::names::{Telling, catalogue, function, waits};
use super::token::{Token, Word};
use crate::work;

/// How many tokens are read for the end of a bracket. Brackets in brackets are each read from their own begin; without a limit
/// that would cost the square of their number.
const BRACKET_TOKENS_MAX: usize = 256;
/// How many brackets and semicolons may stand before a statement.
const OPEN_MAX: usize = 16;

/// How a text stands in its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// As it is, and it begins like nothing in particular.
    Plain,
    /// As an expression: it begins with a number or the like.
    Operand,
    /// A whole statement.
    Statement,
    /// Behind the quote that ended its string.
    Quoted,
    /// Behind a quote that stands in a sentence.
    QuotedInSentence,
}

/// A text as tokens.
pub(super) struct Statement<'a> {
    tokens: &'a [(Token<'a>, usize)],
    context: Context,
    /// Whether it asks for what only attackers ask for, once somebody wanted to know.
    danger: OnceCell<bool>,
}

/// A piece of grammar that was found: the tokens `from..to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) check: &'static str,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) is_sure: bool,
}

const fn sure(check: &'static str, from: usize, to: usize) -> Option<Found> {
    Some(Found { check, from, to, is_sure: true })
}

/// What an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    /// A number, a string, a variable, `null`.
    Literal,
    /// A string that is not closed, at the end: its quote is in the statement around.
    Open,
    /// A function that databases have.
    Call,
    /// A function that they may have.
    OtherCall,
    /// A `(select ...)`.
    Query,
    /// The name of a column.
    Column,
}

impl<'a> Statement<'a> {
    pub(super) fn new(tokens: &'a [(Token<'a>, usize)], context: Context) -> Self {
        Self { tokens, context, danger: OnceCell::new() }
    }

    fn token(&self, at: usize) -> Option<Token<'a>> {
        self.tokens.get(at).map(|it| it.0)
    }

    fn word(&self, at: usize) -> Option<Word> {
        match self.token(at) {
            Some(Token::Word(word, _)) => Some(word),
            _ => None,
        }
    }

    fn is_end(&self, at: usize) -> bool {
        matches!(self.token(at), None | Some(Token::Comment | Token::Semicolon))
    }

    fn is_inside(&self) -> bool {
        !matches!(self.context, Context::Plain | Context::Statement)
    }

    fn is_quoted(&self) -> bool {
        matches!(self.context, Context::Quoted | Context::QuotedInSentence)
    }

    /// Whether it is a statement from its first token on.
    pub(super) fn is_whole(&self) -> bool {
        self.statement(usize::from(matches!(self.token(0), Some(Token::Open)))).is_some()
    }

    /// The surest piece of SQL that does not belong into a value.
    pub(super) fn find(&self) -> Option<Found> {
        let mut hint = None;
        for at in 0..self.tokens.len() {
            work::count(1);
            let found = match self.token(at)? {
                Token::Word(Word::Union, _) => self.union(at),
                Token::Word(Word::Or | Word::And | Word::Where, _) | Token::Logic => self.connective(at),
                Token::Word(Word::Like | Word::In | Word::Between | Word::Is, _) | Token::Comparison => {
                    self.compared(at)
                }
                Token::Semicolon => self.statement(at + 1).filter(|_| self.is_inside() || self.has_danger()),
                Token::Word(Word::Order, _) => self.order(at),
                Token::Open if self.word(at + 1) == Some(Word::Select) => self.query(at + 1),
                // `(7=7)*3`
                Token::Open if at == 0 && self.is_constant(1) && matches!(self.token(4), Some(Token::Close)) => {
                    let is_more = matches!(self.token(5), Some(Token::Operator(_)))
                        && matches!(self.token(6), Some(Token::Number(_)));
                    if is_more { sure("sql-condition", 0, 7) } else { None }
                }
                Token::Word(Word::Waitfor, _) => self.waitfor(at),
                Token::Word(Word::Into, _) => self.file(at),
                Token::Word(Word::Case, _) if self.word(at + 1) == Some(Word::Where) => {
                    let from = at + 2 + usize::from(matches!(self.token(at + 2), Some(Token::Open)));
                    if self.is_constant(from) { sure("sql-condition", at, from + 3) } else { None }
                }
                Token::Name(name) => self.name(at, name),
                Token::Operator(_) if at == 0 && self.is_quoted() => self.joined(at),
                Token::Word(Word::Statement, b"procedure") => self.analyse(at),
                _ => None,
            };
            match found {
                Some(found) if found.is_sure => return Some(found),
                Some(found) => hint = hint.or(Some(found)),
                None => {}
            }
        }
        self.whole().or(hint)
    }

    /// `union all select 1, 2`
    fn union(&self, at: usize) -> Option<Found> {
        let mut next = at + 1;
        while matches!(self.token(next), Some(Token::Word(Word::All, _) | Token::Open | Token::Operator(b'+'))) {
            next += 1;
        }
        if self.word(next) != Some(Word::Select) {
            return None;
        }
        let is_last = |at: usize| {
            self.is_end(at) || (matches!(self.token(at), Some(Token::Operator(b'+'))) && self.is_end(at + 1))
        };
        if self.is_list(next + 1) || (self.is_inside() && is_last(next + 1)) {
            return sure("sql-union", at, next + 3);
        }
        // All of a value that consists of the two words alone: a probe, or half of an attack in two fields.
        (at == 0 && is_last(next + 1)).then_some(())?;
        sure("sql-union", at, next + 1)
    }

    /// Whether a list of what to select begins here.
    fn is_list(&self, mut at: usize) -> bool {
        while matches!(self.token(at), Some(Token::Word(Word::All, _) | Token::Operator(b'+' | b'-')))
            || self.name_is(at, b"top")
        {
            at += 1;
        }
        match self.token(at) {
            Some(Token::Number(_) | Token::Text(_) | Token::OpenText(_) | Token::Variable(_)) => {
                !matches!(self.token(at + 1), Some(Token::Name(_) | Token::Number(_)))
            }
            Some(Token::Word(Word::Null | Word::Boolean | Word::Case, _) | Token::Operator(b'*') | Token::Open) => true,
            Some(Token::Name(_)) => {
                let goes_on = matches!(self.token(at + 1), Some(Token::Comma | Token::Open | Token::Logic));
                goes_on || matches!(self.word(at + 1), Some(Word::From | Word::As | Word::Into))
            }
            Some(Token::Word(_, _)) => matches!(self.token(at + 1), Some(Token::Open | Token::Comma)),
            _ => false,
        }
    }

    fn name_is(&self, at: usize, name: &[u8]) -> bool {
        matches!(self.token(at), Some(Token::Name(it)) if it == name)
    }

    /// `or 1=1`, `and sleep(5)`, `where 3=3`, `|| 'a'='a'`
    fn connective(&self, at: usize) -> Option<Found> {
        if self.context == Context::Plain || (self.context == Context::Statement && self.word(at) != Some(Word::Or)) {
            return None;
        }
        let is_logic = matches!(self.token(at), Some(Token::Logic));
        let (first, next) = self.operand(at + 1)?;
        if let Some(Token::Comparison | Token::Word(Word::Like | Word::In | Word::Between | Word::Is, _)) =
            self.token(next)
        {
            let skipped = if self.word(next + 1) == Some(Word::Not) { next + 2 } else { next + 1 };
            let (second, end) = self.operand(skipped)?;
            // `2 and 3 = five`: nobody compares a number with a column in this order, but people count.
            let is_counted = !self.is_quoted() && !is_logic && (first, second) == (Operand::Literal, Operand::Column);
            let is_constant = (first != Operand::Column || second != Operand::Column) && !is_counted;
            let is_sentence = !self.is_quoted() && first == Operand::Column && !is_logic;
            if is_constant && (!is_sentence || matches!(second, Operand::Open | Operand::Query | Operand::Call)) {
                return sure("sql-tautology", at, end);
            }
            // `' or a=a--`
            if self.is_quoted() && self.is_end(end) {
                return sure("sql-tautology", at, end);
            }
            return None;
        }
        match first {
            _ if self.context == Context::Statement => None,
            Operand::Query | Operand::Call => sure("sql-condition", at, next),
            // `' or 1--`, `' || 'a`
            Operand::Literal | Operand::Open if self.context == Context::Quoted && at <= 4 && self.is_end(next) => {
                let is_number = matches!(self.token(at + 1), Some(Token::Number(_)));
                let is_cut = matches!(self.token(next), Some(Token::Comment));
                let is_empty = matches!(self.token(at + 1), Some(Token::Text(b"")));
                (is_logic || is_cut || is_number || is_empty).then_some(Found {
                    check: "sql-condition",
                    from: at,
                    to: next,
                    is_sure: true,
                })
            }
            // `'||user||'`
            _ if is_logic
                && self.context == Context::Quoted
                && at <= 4
                && matches!(self.token(next), Some(Token::Logic)) =>
            {
                sure("sql-condition", at, next)
            }
            _ => None,
        }
    }

    /// `' like '%`, `'='`, `' in (select`
    fn compared(&self, at: usize) -> Option<Found> {
        if at != 0 && !(1..=3).contains(&at) {
            return None;
        }
        let is_first =
            self.tokens[..at].iter().all(|it| matches!(it.0, Token::Close | Token::Number(_) | Token::Operator(b'%')));
        if !self.is_inside() || !is_first {
            return None;
        }
        let (second, end) = self.operand(at + 1)?;
        match (self.context, second) {
            (_, Operand::Query) => sure("sql-comparison", at, end),
            (Context::Quoted | Context::QuotedInSentence, Operand::Open | Operand::Call | Operand::Literal)
                if at == 0 =>
            {
                let is_cut = matches!(self.token(end), Some(Token::Comment));
                let is_sure =
                    self.context == Context::Quoted && (second != Operand::Literal || is_cut) && self.is_end(end);
                Some(Found { check: "sql-comparison", from: at, to: end, is_sure })
            }
            _ => None,
        }
    }

    /// An expression from `at` on, and where it ends.
    fn operand(&self, at: usize) -> Option<(Operand, usize)> {
        let (mut kind, mut next) = self.primary(at)?;
        while let Some(Token::Operator(_)) = self.token(next) {
            let Some((other, end)) = self.primary(next + 1) else { break };
            if other != Operand::Column {
                kind = if kind == Operand::Column { other } else { kind };
            }
            next = end;
        }
        Some((kind, next))
    }

    fn primary(&self, mut at: usize) -> Option<(Operand, usize)> {
        let mut depth = 0_usize;
        loop {
            match self.token(at)? {
                Token::Open if self.word(at + 1) == Some(Word::Select) => {
                    return Some((Operand::Query, self.close(at + 1, depth + 1)));
                }
                Token::Open => depth += 1,
                Token::Word(Word::Not | Word::Exists, _) | Token::Operator(b'+' | b'-' | b'!' | b'~') => {}
                Token::Word(Word::All, _) => {}
                _ => break,
            }
            at += 1;
        }
        let (kind, next) = match self.token(at)? {
            Token::Number(_) | Token::Text(_) | Token::Variable(_) | Token::Word(Word::Null | Word::Boolean, _) => {
                (Operand::Literal, at + 1)
            }
            Token::OpenText(_) => (Operand::Open, at + 1),
            Token::Word(Word::Select | Word::Case, _) => (Operand::Query, self.tokens.len()),
            Token::Name(name) | Token::Word(_, name) if matches!(self.token(at + 1), Some(Token::Open)) => {
                let kind = if function(name).is_some() { Operand::Call } else { Operand::OtherCall };
                (kind, self.close(at + 2, 1))
            }
            Token::Name(_) => (Operand::Column, at + 1),
            _ => return None,
        };
        // Brackets that were opened for this operand alone.
        let mut end = next;
        while 0 < depth && matches!(self.token(end), Some(Token::Close)) {
            end += 1;
            depth -= 1;
        }
        Some((kind, end))
    }

    /// Behind the bracket that closes `depth` open ones, or where [`BRACKET_TOKENS_MAX`] end.
    fn close(&self, mut at: usize, mut depth: usize) -> usize {
        let end = at + BRACKET_TOKENS_MAX;
        while let Some(token) = self.token(at).filter(|_| at < end) {
            at += 1;
            work::count(1);
            match token {
                Token::Open => depth += 1,
                Token::Close if depth == 1 => return at,
                Token::Close => depth -= 1,
                _ => {}
            }
        }
        at
    }

    /// A statement that begins at `at`.
    fn statement(&self, mut at: usize) -> Option<Found> {
        let begin = at;
        while matches!(self.token(at), Some(Token::Open | Token::Semicolon)) && at < begin + OPEN_MAX {
            at += 1;
            work::count(1);
        }
        let Token::Word(word, text) = self.token(at)? else {
            return match self.token(at)? {
                Token::Name(name)
                    if matches!(self.token(at + 1), Some(Token::Open)) && (waits(name) || self.is_constant(at + 2)) =>
                {
                    sure("sql-stacked", at, at + 2)
                }
                // `'; desc users; --`
                Token::Name(_) if at == 1 && self.is_quoted() && matches!(self.tokens.last()?.0, Token::Comment) => {
                    sure("sql-stacked", at, self.tokens.len())
                }
                _ => None,
            };
        };
        let next = self.token(at + 1);
        let is_statement = match word {
            Word::Select => self.is_list(at + 1),
            Word::Insert => self.word(at + 1) == Some(Word::Into),
            Word::Update => matches!(next, Some(Token::Name(_))) && self.word(at + 2) == Some(Word::Set),
            Word::Delete => self.word(at + 1) == Some(Word::From),
            Word::Drop | Word::Create => matches!(self.word(at + 1), Some(Word::Object | Word::Or | Word::Statement)),
            Word::Declare => matches!(next, Some(Token::Variable(_))),
            Word::Set => matches!(next, Some(Token::Variable(_))),
            Word::Execute => match next {
                Some(Token::Open | Token::Variable(_)) => true,
                Some(Token::Name(name)) => function(name).is_some() || name == b"immediate" || name.starts_with(b"sp_"),
                _ => false,
            },
            Word::Waitfor => matches!(next, Some(Token::Name(b"delay" | b"time"))),
            Word::Statement => match (text, next) {
                (b"shutdown", _) => self.is_end(at + 1) || matches!(next, Some(Token::Word(_, _))),
                (b"begin", Some(Token::Name(name))) => function(name).is_some(),
                (b"copy", Some(Token::Open)) | (b"load", Some(Token::Name(b"data"))) => true,
                (b"grant" | b"revoke", Some(Token::Word(_, _))) => true,
                (b"procedure", _) => return self.analyse(at),
                (b"pragma" | b"attach", Some(Token::Name(_) | Token::Word(_, _))) => self.is_inside(),
                _ => false,
            },
            _ => false,
        };
        is_statement.then_some(())?;
        sure("sql-stacked", at, at + 3)
    }

    /// `' order by 3--`, `1 group by x having 1=1`
    fn order(&self, at: usize) -> Option<Found> {
        if !self.is_inside() || self.word(at + 1) != Some(Word::By) {
            return None;
        }
        let mut next = at + 2;
        loop {
            match self.token(next)? {
                Token::Number(_) | Token::Name(_) => next += 1,
                Token::Open => next = self.close(next + 1, 1),
                _ => return None,
            }
            if !matches!(self.token(next), Some(Token::Comma)) {
                break;
            }
            next += 1;
        }
        let is_cut = matches!(self.token(next), Some(Token::Comment)) || self.word(next) == Some(Word::Where);
        let is_number = matches!(self.token(at + 2), Some(Token::Number(_))) && self.is_end(next);
        (is_cut || is_number).then_some(())?;
        sure("sql-order", at, next)
    }

    /// `(select 0 from x)` anywhere.
    fn query(&self, at: usize) -> Option<Found> {
        if !self.is_list(at + 1) {
            return None;
        }
        let end = self.close(at, 1);
        let has_from = self.tokens[at..end].iter().any(|it| matches!(it.0, Token::Word(Word::From | Word::Case, _)));
        let is_short = end <= at + 4;
        (has_from || is_short || self.is_inside()).then_some(())?;
        sure("sql-query", at, end)
    }

    /// Whether two numbers are compared here: what only a probe asks.
    fn is_constant(&self, at: usize) -> bool {
        matches!(
            (self.token(at), self.token(at + 1), self.token(at + 2)),
            (Some(Token::Number(_)), Some(Token::Comparison), Some(Token::Number(_)))
        )
    }

    fn waitfor(&self, at: usize) -> Option<Found> {
        let is_delay = matches!(self.token(at + 1), Some(Token::Name(b"delay" | b"time")))
            && matches!(self.token(at + 2), Some(Token::Text(_) | Token::OpenText(_)));
        is_delay.then_some(())?;
        sure("sql-wait", at, at + 3)
    }

    fn file(&self, at: usize) -> Option<Found> {
        let is_file = matches!(self.token(at + 1), Some(Token::Name(b"outfile" | b"dumpfile")))
            && matches!(self.token(at + 2), Some(Token::Text(_) | Token::OpenText(_)));
        is_file.then_some(())?;
        sure("sql-file", at, at + 3)
    }

    fn analyse(&self, at: usize) -> Option<Found> {
        (self.name_is(at + 1, b"analyse") && matches!(self.token(at + 2), Some(Token::Open))).then_some(())?;
        sure("sql-function", at, at + 3)
    }

    /// `pg_sleep(5)`, `1-sleep(5)`, `from information_schema.tables`
    fn name(&self, at: usize, name: &[u8]) -> Option<Found> {
        if matches!(self.token(at + 1), Some(Token::Open)) {
            let is_argument = !matches!(self.token(at + 2), None | Some(Token::Close));
            if function(name).is_some() && self.is_constant(at + 2) {
                return sure("sql-function", at, at + 5);
            }
            return match function(name) {
                Some(Telling::Alone) if is_argument || self.is_inside() => sure("sql-function", at, at + 4),
                Some(Telling::InSql) if waits(name) => {
                    let is_wait = matches!(self.token(at + 2), Some(Token::Number(_) | Token::Open | Token::Text(_)));
                    let is_sql = self.is_inside()
                        || (0 < at
                            && matches!(self.token(at - 1), Some(Token::Comma | Token::Open | Token::Operator(_))))
                        || (at == 0 && self.is_end(self.close(at + 2, 1)));
                    is_wait.then_some(Found { check: "sql-wait", from: at, to: at + 4, is_sure: is_sql })
                }
                // `char(113)||char(112)`, `chr(76)+chr(77)`
                Some(Telling::InSql) if matches!(name, b"char" | b"chr") => {
                    let end = self.close(at + 2, 1);
                    let is_joined = matches!(self.token(end), Some(Token::Logic | Token::Operator(b'+')));
                    (is_joined && self.token(end + 1) == self.token(at)).then_some(())?;
                    sure("sql-function", at, end + 2)
                }
                _ => None,
            };
        }
        if catalogue(name) && 0 < at && self.word(at - 1) == Some(Word::From) && name != b"mysql" {
            return sure("sql-catalogue", at - 1, at + 1);
        }
        None
    }

    /// `'+(select`, `'||(select`, `'-sleep(5)-'`, `'*1*'`
    fn joined(&self, at: usize) -> Option<Found> {
        let (kind, end) = self.operand(at + 1)?;
        match kind {
            // `'-'`: the whole of it.
            Operand::Open if self.tokens.len() == 2 && self.token(1) == Some(Token::OpenText(b"")) => {
                (self.tokens[0].1 == 1).then_some(())?;
                sure("sql-joined", at, end)
            }
            Operand::Query | Operand::Call => sure("sql-joined", at, end),
            _ => None,
        }
    }

    /// A whole statement typed as a value is an attack when it asks for what only attackers ask for.
    fn whole(&self) -> Option<Found> {
        let first = usize::from(matches!(self.token(0), Some(Token::Open)));
        let found = self.statement(first)?;
        self.has_danger().then_some(())?;
        sure("sql-statement", found.from, self.tokens.len())
    }

    fn has_danger(&self) -> bool {
        *self.danger.get_or_init(|| self.is_dangerous())
    }

    fn is_dangerous(&self) -> bool {
        work::count(self.tokens.len());
        self.tokens.iter().enumerate().any(|(at, (token, _))| match token {
            Token::Name(name) => {
                let is_call = matches!(self.token(at + 1), Some(Token::Open));
                (is_call && (function(name) == Some(Telling::Alone) || waits(name)))
                    || (catalogue(name) && *name != b"mysql")
                    || (*name == b"program" && 0 < at && self.name_is(at - 1, b"to"))
                    || matches!(*name, b"outfile" | b"dumpfile" | b"xp_cmdshell")
            }
            Token::Variable(name) => name.starts_with(b"@@"),
            Token::Word(Word::Execute, _) => {
                matches!((self.token(at + 1), self.token(at + 2)), (Some(Token::Open), Some(Token::Variable(_))))
            }
            Token::Word(Word::Case, _) => self.word(at + 1) == Some(Word::Where),
            _ => false,
        })
    }
}
