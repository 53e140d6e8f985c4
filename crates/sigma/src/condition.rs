//! The condition of a detection: selections joined by `and`, `or`, `not`, `1 of`, `all of`.
//!
//! Operators may be in upper case too. `any of` means `1 of`.
//! Source: Sigma specification 2.1.0, "Condition".

/// How deep parentheses and `not` may nest; rules need 5. Deeper conditions are refused.
pub const DEPTH_MAX: usize = 64;

/// How many words a condition may have; rules need 60. Each mention of a selection is a copy of it, so more are
/// refused.
pub const WORDS_MAX: usize = 512;

/// A condition over selections by their place in the list of names it was parsed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The selection holds.
    Selection(usize),
    /// All hold.
    And(Vec<Condition>),
    /// At least one holds.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

/// Why a condition was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// Where, in characters from the beginning of the condition, from 0.
    pub offset: usize,
    /// What is wrong, lower case, without a full stop.
    pub reason: String,
}

/// Parses `text` over the selections `names`.
///
/// # Errors
///
/// Unknown selections, patterns that match none, pipes, unbalanced parentheses, anything that is no condition.
pub fn parse(text: &str, names: &[&str]) -> Result<Condition, ConditionError> {
    let words = words_of(text)?;
    let end = text.chars().count();
    let mut parser = Parser { words: &words, at: 0, names, end, depth: 0 };
    let condition = parser.any()?;
    match parser.words.get(parser.at) {
        None => Ok(condition),
        Some(word) => Err(refuse(word.offset, format!("`{}` is not expected here", word.text))),
    }
}

struct Word<'a> {
    offset: usize,
    text: &'a str,
}

fn refuse(offset: usize, reason: impl Into<String>) -> ConditionError {
    ConditionError { offset, reason: reason.into() }
}

fn words_of(text: &str) -> Result<Vec<Word<'_>>, ConditionError> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*');
    let mut words = Vec::new();
    let mut chars = text.char_indices().enumerate().peekable();
    while let Some((offset, (start, c))) = chars.next() {
        let mut end = start + c.len_utf8();
        match c {
            c if c.is_whitespace() => continue,
            '(' | ')' => {}
            '|' => return Err(refuse(offset, "pipes are not supported: write a correlation")),
            c if is_word(c) => {
                while let Some((_, (at, _))) = chars.next_if(|(_, (_, c))| is_word(*c)) {
                    end = at + 1;
                }
            }
            c => return Err(refuse(offset, format!("`{c}` has no place in a condition"))),
        }
        if words.len() == WORDS_MAX {
            return Err(refuse(offset, format!("the condition has more than {WORDS_MAX} words")));
        }
        words.push(Word { offset, text: &text[start..end] });
    }
    Ok(words)
}

struct Parser<'a> {
    words: &'a [Word<'a>],
    at: usize,
    names: &'a [&'a str],
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Condition, ConditionError> {
        let mut conditions = vec![self.all()?];
        while self.take("or") {
            conditions.push(self.all()?);
        }
        Ok(if conditions.len() == 1 { conditions.remove(0) } else { Condition::Or(conditions) })
    }

    fn all(&mut self) -> Result<Condition, ConditionError> {
        let mut conditions = vec![self.single()?];
        while self.take("and") {
            conditions.push(self.single()?);
        }
        Ok(if conditions.len() == 1 { conditions.remove(0) } else { Condition::And(conditions) })
    }

    fn single(&mut self) -> Result<Condition, ConditionError> {
        if DEPTH_MAX <= self.depth {
            return Err(refuse(self.offset(), format!("the condition nests deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let condition = self.nested();
        self.depth -= 1;
        condition
    }

    fn nested(&mut self) -> Result<Condition, ConditionError> {
        if self.take("not") {
            return Ok(Condition::Not(Box::new(self.single()?)));
        }
        if self.take("(") {
            let condition = self.any()?;
            if !self.take(")") {
                return Err(refuse(self.offset(), "a closing parenthesis is missing"));
            }
            return Ok(condition);
        }
        if self.words.get(self.at + 1).is_some_and(|it| it.text.eq_ignore_ascii_case("of")) {
            return self.selector();
        }
        self.selection()
    }

    fn selection(&mut self) -> Result<Condition, ConditionError> {
        let offset = self.offset();
        let name = self.next("a selection")?;
        let place = self.names.iter().position(|it| *it == name);
        place.map(Condition::Selection).ok_or_else(|| refuse(offset, format!("there is no selection `{name}`")))
    }

    fn selector(&mut self) -> Result<Condition, ConditionError> {
        let offset = self.offset();
        let quantity = self.next("a quantity")?.to_ascii_lowercase();
        self.at += 1;
        let pattern_offset = self.offset();
        let pattern = self.next("`them` or a pattern of selections")?;
        let places = (0..self.names.len()).filter(|it| is_selected(pattern, self.names[*it]));
        let mut conditions: Vec<_> = places.map(Condition::Selection).collect();
        if conditions.is_empty() {
            return Err(refuse(pattern_offset, format!("`{pattern}` stands for no selection")));
        }
        match quantity.as_str() {
            _ if conditions.len() == 1 && matches!(&*quantity, "1" | "any" | "all") => Ok(conditions.remove(0)),
            "1" | "any" => Ok(Condition::Or(conditions)),
            "all" => Ok(Condition::And(conditions)),
            _ => Err(refuse(offset, format!("`{quantity} of` is not supported: write `1 of`, `any of` or `all of`"))),
        }
    }

    fn take(&mut self, operator: &str) -> bool {
        let is_there = self.words.get(self.at).is_some_and(|it| it.text.eq_ignore_ascii_case(operator));
        self.at += usize::from(is_there);
        is_there
    }

    fn next(&mut self, expected: &str) -> Result<&'a str, ConditionError> {
        let word =
            self.words.get(self.at).ok_or_else(|| refuse(self.end, format!("{expected} is missing at the end")))?;
        self.at += 1;
        Ok(word.text)
    }

    fn offset(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |it| it.offset)
    }
}

/// Whether `them` or a pattern stands for the selection; those that begin with `_` must be asked for.
fn is_selected(pattern: &str, name: &str) -> bool {
    if name.starts_with('_') && !pattern.starts_with('_') {
        return false;
    }
    if pattern.eq_ignore_ascii_case("them") {
        return true;
    }
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (inner, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in inner.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 6] = ["sel_a", "sel_b", "_hidden", "filter-1", "notsel", "android"];

    fn spell(condition: &Condition) -> String {
        let join = |word: &str, them: &[Condition]| {
            format!("({})", them.iter().map(spell).collect::<Vec<_>>().join(&format!(" {word} ")))
        };
        match condition {
            Condition::Selection(place) => NAMES[*place].to_owned(),
            Condition::And(them) => join("and", them),
            Condition::Or(them) => join("or", them),
            Condition::Not(it) => format!("!{}", spell(it)),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, (usize, &str)>) {
        let actual = parse(text, &NAMES).map(|it| spell(&it)).map_err(|it| (it.offset, it.reason));
        let expected = expected.map(str::to_owned).map_err(|(offset, reason)| (offset, reason.to_owned()));
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn not_binds_tighter_than_and_tighter_than_or() {
        check("sel_a or sel_b and notsel", Ok("(sel_a or (sel_b and notsel))"));
        check("not sel_a and sel_b", Ok("(!sel_a and sel_b)"));
        check("(sel_a or sel_b) and notsel", Ok("((sel_a or sel_b) and notsel)"));
        check("not (sel_a or not sel_b)", Ok("!(sel_a or !sel_b)"));
        check("sel_a AND NOT sel_b", Ok("(sel_a and !sel_b)"));
        check("notsel and android", Ok("(notsel and android)"));
        check(" filter-1\n", Ok("filter-1"));
    }

    #[test]
    fn selectors_skip_hidden_selections_unless_asked_for() {
        check("1 of sel_*", Ok("(sel_a or sel_b)"));
        check("any of sel_*", Ok("(sel_a or sel_b)"));
        check("all of sel_*", Ok("(sel_a and sel_b)"));
        check("1 of *_a", Ok("sel_a"));
        check("1 of s*l_*b", Ok("sel_b"));
        check("1 of _*", Ok("_hidden"));
        check("1 of *hidden", Err((5, "`*hidden` stands for no selection")));
        check("all of them", Ok("(sel_a and sel_b and filter-1 and notsel and android)"));
        check("sel_a and not 1 of filter*", Ok("(sel_a and !filter-1)"));
        check("1 of sel_a", Ok("sel_a"));
    }

    #[test]
    fn says_where_a_condition_is_wrong() {
        check("sel_a and nosuch", Err((10, "there is no selection `nosuch`")));
        check("sel_a | count() > 5", Err((6, "pipes are not supported: write a correlation")));
        check("(sel_a", Err((6, "a closing parenthesis is missing")));
        check("sel_a)", Err((5, "`)` is not expected here")));
        check("sel_a sel_b", Err((6, "`sel_b` is not expected here")));
        check("", Err((0, "a selection is missing at the end")));
        check("sel_a and", Err((9, "a selection is missing at the end")));
        check("2 of sel_*", Err((0, "`2 of` is not supported: write `1 of`, `any of` or `all of`")));
        check("1 of", Err((4, "`them` or a pattern of selections is missing at the end")));
        check("sel_a & sel_b", Err((6, "`&` has no place in a condition")));
    }

    #[test]
    fn refuses_one_level_too_many() {
        let nested = |depth: usize| format!("{}sel_a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX - 1), &NAMES).is_ok());
        assert!(parse(&nested(DEPTH_MAX), &NAMES).is_err());
    }

    #[test]
    fn refuses_one_word_too_many() {
        let text = |count: usize| vec!["sel_a"; count].join(" or ");
        assert!(parse(&text(WORDS_MAX / 2), &NAMES).is_ok());
        assert!(parse(&text(WORDS_MAX / 2 + 1), &NAMES).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(sel_a|and|or|not|1 of|all of|them|[()*| ä&-]){0,12}") {
            let _ = parse(&text, &NAMES);
        }
    }
}
