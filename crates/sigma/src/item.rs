//! One item of a selection: `field|modifier|…: value`, and keywords.
//!
//! Source: Sigma specification 2.1.0, "Detection Item" and the appendix on modifiers.

use regex::{Regex, RegexBuilder};

use crate::cidr::Cidr;
use crate::encoding;
use crate::error::Refusal;
use crate::number::Number;
use crate::pattern::{Token, literal_of, tokens_of};
use crate::predicate::{Comparison, Place, Predicate, Subject, Test};
use crate::scalar::Scalar;
use crate::time_part::TimePart;
use crate::tree::Tree;
use crate::yaml::{Key, Kind, Node};

/// The largest compiled regular expression, in bytes. The largest of public collections takes a tenth of it;
/// a larger one is refused.
const REGEX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many dashes of one value `windash` varies: each multiplies the variants by five. More are refused.
const WINDASH_DASHES_MAX: usize = 3;

/// What `windash` takes for a dash: hyphen, slash, en dash, em dash, horizontal bar.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// What the modifiers of an item ask for.
#[derive(Debug, Default)]
struct Modifiers {
    sort: Sort,
    steps: Vec<Step>,
    place: Option<Place>,
    needs_all: bool,
    is_cased: bool,
    is_negated: bool,
    flags: Flags,
}

/// How the values are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Plain,
    Regex,
    Cidr,
    Exists,
    FieldRef,
    Compare(Comparison),
    TimePart(TimePart),
}

/// What happens to a text, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Open(Place),
    Windash,
    Utf16Little,
    Utf16Big,
    Utf16Marked,
    Base64,
    Base64Offset,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    ignores_case: bool,
    is_multi_line: bool,
    dot_takes_all: bool,
}

/// A text on its way through the steps.
#[derive(Clone, Debug)]
enum Draft {
    Tokens(Vec<Token>),
    Bytes(Vec<u8>),
}

/// Reads one member of a selection's map. An empty field name asks every text of the event.
pub(crate) fn parse(key: &Key, node: &Node) -> Result<Tree, Refusal> {
    let (name, words) = key.text.split_once('|').map_or((key.text.as_str(), None), |(name, words)| (name, Some(words)));
    let mut modifiers = Modifiers::default();
    for word in words.into_iter().flat_map(|it| it.split('|')) {
        modifiers.take(word).map_err(|reason| key.refuse(reason))?;
    }
    let subject = if name.is_empty() { Subject::Anywhere } else { Subject::Field(name.to_owned()) };
    if subject == Subject::Anywhere && !matches!(modifiers.sort, Sort::Plain | Sort::Regex) {
        return Err(key.refuse("keywords are texts or regular expressions"));
    }
    item(subject, &modifiers, node)
}

/// Reads a keyword: a text that stands anywhere in the event.
pub(crate) fn keyword(node: &Node) -> Result<Tree, Refusal> {
    value(&Subject::Anywhere, &Modifiers::default(), node)
}

fn item(subject: Subject, modifiers: &Modifiers, node: &Node) -> Result<Tree, Refusal> {
    let values = match &node.kind {
        Kind::List(elements) if elements.is_empty() => return Err(node.refuse("the list of values is empty")),
        Kind::List(elements) => elements.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let trees = values.iter().map(|it| value(&subject, modifiers, it)).collect::<Result<Vec<_>, _>>()?;
    let tree = if modifiers.needs_all { Tree::all(trees) } else { Tree::any(trees) };
    Ok(if modifiers.is_negated { tree.negated() } else { tree })
}

fn value(subject: &Subject, modifiers: &Modifiers, node: &Node) -> Result<Tree, Refusal> {
    let Some(scalar) = Scalar::of(node) else {
        return Err(node.refuse(format!("a value must be a single value, not {}", node.kind_name())));
    };
    let tests = modifiers.tests(subject, &scalar).map_err(|reason| node.refuse(reason))?;
    let is_absent = modifiers.sort == Sort::Exists && matches!(scalar, Scalar::Bool(false));
    let leaf = |test| Tree::leaf(Predicate { subject: subject.clone(), test });
    let tree = Tree::any(tests.into_iter().map(leaf).collect());
    Ok(if is_absent { tree.negated() } else { tree })
}

impl Modifiers {
    fn take(&mut self, word: &str) -> Result<(), String> {
        if let Some(sort) = sort_of(word) {
            return self.take_sort(word, sort);
        }
        let needed = match word {
            "all" => {
                self.needs_all = true;
                return Ok(());
            }
            "neq" => {
                self.is_negated = true;
                return Ok(());
            }
            "cased" => {
                self.is_cased = true;
                &[Sort::Plain, Sort::FieldRef][..]
            }
            "contains" | "startswith" | "endswith" => {
                self.take_place(word);
                &[Sort::Plain, Sort::FieldRef, Sort::Regex]
            }
            "i" | "ignorecase" | "m" | "multiline" | "s" | "dotall" => {
                self.take_flag(word);
                &[Sort::Regex]
            }
            _ => {
                self.steps.push(step_of(word)?);
                &[Sort::Plain]
            }
        };
        if needed.contains(&self.sort) { Ok(()) } else { Err(format!("the modifier `{word}` does not apply here")) }
    }

    fn take_sort(&mut self, word: &str, sort: Sort) -> Result<(), String> {
        let is_first = self.sort == Sort::Plain && self.steps.is_empty() && !self.is_cased && self.place.is_none();
        if !is_first {
            return Err(format!("the modifier `{word}` must be the first"));
        }
        self.sort = sort;
        Ok(())
    }

    fn take_place(&mut self, word: &str) {
        let place = match word {
            "startswith" => Place::Start,
            "endswith" => Place::End,
            _ => Place::Inside,
        };
        self.place = Some(place);
        self.steps.push(Step::Open(place));
    }

    const fn take_flag(&mut self, word: &str) {
        match word.as_bytes()[0] {
            b'i' => self.flags.ignores_case = true,
            b'm' => self.flags.is_multi_line = true,
            _ => self.flags.dot_takes_all = true,
        }
    }

    /// Returns the tests of one value: any of them has to hold.
    fn tests(&self, subject: &Subject, scalar: &Scalar<'_>) -> Result<Vec<Test>, String> {
        match (self.sort, scalar) {
            (Sort::Exists, Scalar::Bool(_)) => Ok(vec![Test::Exists]),
            (Sort::Exists, _) => Err("`exists` takes true or false".to_owned()),
            (Sort::Compare(comparison), Scalar::Number(number, text)) => {
                Ok(vec![Test::Compare { comparison, number: *number, text: text.clone() }])
            }
            (Sort::Compare(comparison), scalar) => {
                let number =
                    text_of(scalar).and_then(|it| Number::parse(&it)).ok_or("this comparison takes a number")?;
                Ok(vec![Test::Compare { comparison, number, text: text_of(scalar).unwrap_or_default() }])
            }
            (Sort::TimePart(part), Scalar::Number(Number::Whole(number), _)) => {
                Ok(vec![Test::TimePart { part, number: *number }])
            }
            (Sort::TimePart(part), _) => Err(format!("`{}` takes a whole number", part.as_str())),
            (Sort::Cidr, Scalar::Text(text)) => Ok(vec![Test::Cidr(Cidr::parse(text)?)]),
            (Sort::Cidr, _) => Err("`cidr` takes a network".to_owned()),
            (Sort::FieldRef, Scalar::Text(other)) if !other.is_empty() => Ok(vec![self.reference(other)]),
            (Sort::FieldRef, _) => Err("`fieldref` takes the name of a field".to_owned()),
            (Sort::Regex, scalar) => {
                let source = text_of(scalar).ok_or("`re` takes a regular expression")?;
                Ok(vec![Test::Regex(self.regex(&source)?)])
            }
            (Sort::Plain, Scalar::Null) => self.null(subject),
            (Sort::Plain, Scalar::Number(number, text)) if self.steps.is_empty() && *subject != Subject::Anywhere => {
                Ok(vec![Test::Number { number: *number, text: text.clone() }])
            }
            (Sort::Plain, scalar) => self.texts(subject, scalar),
        }
    }

    fn null(&self, subject: &Subject) -> Result<Vec<Test>, String> {
        let takes_null = *subject != Subject::Anywhere && self.steps.is_empty() && !self.is_cased;
        if takes_null { Ok(vec![Test::Null]) } else { Err("null cannot stand here".to_owned()) }
    }

    fn reference(&self, other: &str) -> Test {
        Test::FieldRef { other: other.to_owned(), place: self.place.unwrap_or(Place::Whole), is_cased: self.is_cased }
    }

    /// Compiles a search for `source`; `startswith` and `endswith` hold it against the value's ends.
    fn regex(&self, source: &str) -> Result<Regex, String> {
        let flag = |is_set: bool, letter: &'static str| if is_set { letter } else { "" };
        let flags = [
            flag(self.flags.ignores_case, "i"),
            flag(self.flags.is_multi_line, "m"),
            flag(self.flags.dot_takes_all, "s"),
        ]
        .concat();
        let (before, after) = match self.place {
            Some(Place::Start) => (r"\A", ""),
            Some(Place::End) => ("", r"\z"),
            _ => ("", ""),
        };
        // First alone, so that no unbalanced parenthesis of the source closes ours.
        compile(source)?;
        compile(&format!("{before}(?{flags}:{source}){after}"))
    }

    fn texts(&self, subject: &Subject, scalar: &Scalar<'_>) -> Result<Vec<Test>, String> {
        let text = text_of(scalar).ok_or("null cannot stand here")?;
        if *subject == Subject::Anywhere && text.is_empty() {
            return Err("an empty keyword would match everything".to_owned());
        }
        let mut drafts = vec![Draft::Tokens(tokens_of(&text))];
        for step in &self.steps {
            let stepped = drafts.into_iter().map(|it| step.apply(it)).collect::<Result<Vec<_>, _>>()?;
            drafts = stepped.into_iter().flatten().collect();
        }
        let test = |draft: Draft| {
            let mut tokens = draft.into_tokens()?;
            if *subject == Subject::Anywhere {
                open(&mut tokens, Place::Inside);
            }
            Ok(Test::text(&tokens, self.is_cased))
        };
        drafts.into_iter().map(test).collect()
    }
}

fn sort_of(word: &str) -> Option<Sort> {
    Some(match word {
        "re" => Sort::Regex,
        "cidr" => Sort::Cidr,
        "exists" => Sort::Exists,
        "fieldref" => Sort::FieldRef,
        "lt" => Sort::Compare(Comparison::Lt),
        "lte" => Sort::Compare(Comparison::Lte),
        "gt" => Sort::Compare(Comparison::Gt),
        "gte" => Sort::Compare(Comparison::Gte),
        _ => Sort::TimePart(TimePart::from_word(word)?),
    })
}

fn step_of(word: &str) -> Result<Step, String> {
    Ok(match word {
        "windash" => Step::Windash,
        "wide" | "utf16le" => Step::Utf16Little,
        "utf16be" => Step::Utf16Big,
        "utf16" => Step::Utf16Marked,
        "base64" => Step::Base64,
        "base64offset" => Step::Base64Offset,
        "expand" => {
            return Err("the modifier `expand` is not supported: nobody gives its placeholders a value".to_owned());
        }
        _ => return Err(format!("the modifier `{word}` is unknown")),
    })
}

fn text_of(scalar: &Scalar<'_>) -> Option<String> {
    match scalar {
        Scalar::Null => None,
        Scalar::Bool(it) => Some(it.to_string()),
        Scalar::Number(_, text) => Some(text.clone()),
        Scalar::Text(text) => Some((*text).to_owned()),
    }
}

fn compile(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| format!("`{source}` is no regular expression: {}", last_line(&error.to_string())))
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

impl Step {
    fn apply(self, draft: Draft) -> Result<Vec<Draft>, String> {
        let bytes = match self {
            Self::Open(place) => {
                let mut tokens = draft.into_tokens()?;
                open(&mut tokens, place);
                return Ok(vec![Draft::Tokens(tokens)]);
            }
            Self::Windash => return Ok(windash(&draft.into_tokens()?)?.into_iter().map(Draft::Tokens).collect()),
            Self::Base64 => return Ok(vec![Draft::of_text(&encoding::base64(&draft.into_bytes()?))]),
            Self::Base64Offset => {
                let offsets = encoding::base64_offsets(&draft.into_bytes()?);
                if offsets.iter().any(String::is_empty) {
                    return Err("the value is too short for `base64offset`".to_owned());
                }
                return Ok(offsets.iter().map(|it| Draft::of_text(it)).collect());
            }
            Self::Utf16Little => encoding::utf16_little_endian(&draft.into_text()?),
            Self::Utf16Big => encoding::utf16_big_endian(&draft.into_text()?),
            Self::Utf16Marked => [vec![0xff, 0xfe], encoding::utf16_little_endian(&draft.into_text()?)].concat(),
        };
        Ok(vec![Draft::Bytes(bytes)])
    }
}

impl Draft {
    fn of_text(text: &str) -> Self {
        Self::Tokens(text.chars().map(Token::Char).collect())
    }

    fn into_text(self) -> Result<String, String> {
        literal_of(&self.into_tokens()?).ok_or_else(|| "wildcards cannot be encoded".to_owned())
    }

    fn into_bytes(self) -> Result<Vec<u8>, String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            tokens @ Self::Tokens(_) => tokens.into_text().map(String::into_bytes),
        }
    }

    fn into_tokens(self) -> Result<Vec<Token>, String> {
        match self {
            Self::Tokens(tokens) => Ok(tokens),
            Self::Bytes(bytes) => {
                let text = String::from_utf8(bytes);
                let text = text.map_err(|_| "the encoded value is no text: put `base64` or `base64offset` behind")?;
                Ok(text.chars().map(Token::Char).collect())
            }
        }
    }
}

/// Adds the stars of `contains`, `startswith` or `endswith`, unless they are there.
fn open(tokens: &mut Vec<Token>, place: Place) {
    if matches!(place, Place::Start | Place::Inside) && tokens.last() != Some(&Token::Many) {
        tokens.push(Token::Many);
    }
    if matches!(place, Place::End | Place::Inside) && tokens.first() != Some(&Token::Many) {
        tokens.insert(0, Token::Many);
    }
}

/// Returns the value with each dash that begins a word in each of its spellings.
fn windash(tokens: &[Token]) -> Result<Vec<Vec<Token>>, String> {
    let is_word = |token: Option<&Token>| matches!(token, Some(Token::Char(c)) if c.is_alphanumeric() || *c == '_');
    let is_varied = |index: usize| {
        matches!(tokens[index], Token::Char('-' | '/'))
            && !is_word(index.checked_sub(1).and_then(|it| tokens.get(it)))
            && is_word(tokens.get(index + 1))
    };
    let places: Vec<usize> = (0..tokens.len()).filter(|it| is_varied(*it)).collect();
    if WINDASH_DASHES_MAX < places.len() {
        return Err(format!("`windash` varies {WINDASH_DASHES_MAX} dashes, the value has {}", places.len()));
    }
    let mut variants = vec![tokens.to_vec()];
    for place in places {
        let vary = |variant: &Vec<Token>| {
            DASHES.map(|dash| {
                let mut varied = variant.clone();
                varied[place] = Token::Char(dash);
                varied
            })
        };
        variants = variants.iter().flat_map(vary).collect();
    }
    Ok(variants)
}
