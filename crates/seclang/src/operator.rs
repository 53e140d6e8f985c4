//! Operators: what a rule looks for.

use std::net::IpAddr;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::bytes::ByteSet;
use crate::needs::Needs;
use crate::pattern::Pattern;
use crate::template::Template;
use crate::transaction::Names;

/// The most phrases of `@pm`. The longest list of the Core Rule Set has about a thousand.
const PHRASES_MAX: usize = 20_000;

/// What a rule looks for.
#[derive(Clone, Debug)]
pub(crate) enum Operator {
    /// `@rx`: a pattern.
    Pattern(Box<Pattern>),
    /// `@pm`, `@pmFromFile`: one of many phrases, in any case.
    Phrases(Box<Phrases>),
    /// `@eq` and its kind: a number that compares.
    Number(Comparison, Template),
    /// `@streq` and its kind: a text that stands in a relation to another.
    Text(Relation, Template),
    /// `@ipMatch`: an address within one of these networks.
    Networks(Vec<Network>),
    /// `@validateByteRange`: a byte that is none of these.
    BytesOutside(ByteSet),
    /// `@validateUrlEncoding`: a percent sign that begins no escape.
    BrokenUrlEncoding,
    /// `@validateUtf8Encoding`: bytes that are no UTF-8.
    BrokenUtf8,
    /// `@unconditionalMatch`.
    Always,
    /// `@noMatch`.
    Never,
    /// `@detectSQLi`.
    SqlInjection,
    /// `@detectXSS`.
    Xss,
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Comparison {
    /// Whether it holds of `value` and `bound`.
    pub(crate) fn holds(self, value: i64, bound: i64) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::AtLeast => bound <= value,
            Self::Above => bound < value,
            Self::AtMost => value <= bound,
            Self::Below => value < bound,
        }
    }
}

/// How two texts relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equals,
    Contains,
    ContainsWord,
    Within,
    BeginsWith,
    EndsWith,
}

impl Relation {
    /// Whether it holds of `value` and `other`, the argument of the rule.
    pub(crate) fn holds(self, value: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Equals => value == other,
            Self::Contains => memchr::memmem::find(value, other).is_some(),
            Self::ContainsWord => contains_word(value, other),
            Self::Within => memchr::memmem::find(other, value).is_some(),
            Self::BeginsWith => value.starts_with(other),
            Self::EndsWith => value.ends_with(other),
        }
    }
}

fn contains_word(value: &[u8], word: &[u8]) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|it| !it.is_ascii_alphanumeric() && *it != b'_');
    memchr::memmem::find_iter(value, word)
        .any(|at| is_edge(at.checked_sub(1).and_then(|it| value.get(it))) && is_edge(value.get(at + word.len())))
}

/// Phrases, ready to search.
#[derive(Clone, Debug)]
pub(crate) struct Phrases {
    /// The searcher.
    pub(crate) searcher: AhoCorasick,
    /// That one of them is needed.
    pub(crate) needs: Needs,
}

impl Phrases {
    fn compile<'a>(phrases: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let literals: Vec<Vec<u8>> =
            phrases.take(PHRASES_MAX + 1).map(|it| it.to_ascii_lowercase().into_bytes()).collect();
        if literals.is_empty() {
            return Err("no phrase to look for".to_owned());
        }
        if PHRASES_MAX < literals.len() {
            return Err(format!("more than {PHRASES_MAX} phrases"));
        }
        let searcher = searcher(&literals)?;
        Ok(Self { searcher, needs: Needs { literals, bytes: Vec::new() } })
    }
}

/// Makes a searcher for `literals` in any case, all of them wherever they are.
pub(crate) fn searcher(literals: &[Vec<u8>]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .build(literals)
        .map_err(|error| format!("phrases that cannot be compiled: {error}"))
}

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    fn from_text(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.trim().parse().ok()?;
        let (bits_max, spare) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length: u32 = length.map_or(Some(bits_max), |it| it.trim().parse().ok())?;
        let host_bits = bits_max.checked_sub(length)?;
        debug_assert!(spare + length + host_bits == 128);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self { address: wide(address) & mask, mask })
    }

    /// Whether an address is in it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        wide(address) & self.mask == self.address
    }
}

/// An address as a number; version 4 as it is mapped into version 6.
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(it) => it.to_ipv6_mapped().to_bits(),
        IpAddr::V6(it) => it.to_bits(),
    }
}

/// Where the text of a data file comes from, by the name in the rule.
pub(crate) type DataFiles<'a> = dyn Fn(&str) -> Option<String> + 'a;

impl Operator {
    /// Reads an operator as rules write it, `!@name argument` or a pattern alone; with whether it is negated.
    pub(crate) fn from_text(text: &str, data: &DataFiles, names: &mut Names) -> Result<(Self, bool), String> {
        let text = text.trim_start();
        let (text, is_negated) = text.strip_prefix('!').map_or((text, false), |it| (it.trim_start(), true));
        let Some(named) = text.strip_prefix('@') else {
            return Ok((Self::Pattern(Box::new(Pattern::compile(text)?)), is_negated));
        };
        let (name, argument) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
        Ok((Self::named(&name.to_ascii_lowercase(), argument, data, names)?, is_negated))
    }

    fn named(name: &str, argument: &str, data: &DataFiles, names: &mut Names) -> Result<Self, String> {
        let comparison = match name {
            "eq" => Some(Comparison::Equal),
            "ge" => Some(Comparison::AtLeast),
            "gt" => Some(Comparison::Above),
            "le" => Some(Comparison::AtMost),
            "lt" => Some(Comparison::Below),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return Ok(Self::Number(comparison, Template::from_text(argument.trim(), names)?));
        }
        let relation = match name {
            "streq" => Some(Relation::Equals),
            "contains" | "strmatch" => Some(Relation::Contains),
            "containsword" => Some(Relation::ContainsWord),
            "within" => Some(Relation::Within),
            "beginswith" => Some(Relation::BeginsWith),
            "endswith" => Some(Relation::EndsWith),
            _ => None,
        };
        if let Some(relation) = relation {
            return Ok(Self::Text(relation, Template::from_text(argument, names)?));
        }
        match name {
            "rx" => Ok(Self::Pattern(Box::new(Pattern::compile(argument)?))),
            "pm" => Ok(Self::Phrases(Box::new(Phrases::compile(argument.split_whitespace())?))),
            "pmfromfile" | "pmf" => from_files(argument, data),
            "ipmatch" => networks(argument),
            "validatebyterange" => Ok(Self::BytesOutside(byte_ranges(argument)?)),
            "validateurlencoding" => Ok(Self::BrokenUrlEncoding),
            "validateutf8encoding" => Ok(Self::BrokenUtf8),
            "unconditionalmatch" => Ok(Self::Always),
            "nomatch" => Ok(Self::Never),
            "detectsqli" => Ok(Self::SqlInjection),
            "detectxss" => Ok(Self::Xss),
            _ => Err(format!("the operator `@{name}` is not known")),
        }
    }

    /// What a text must have so that this can match; `None` if nothing is needed or known.
    pub(crate) fn needs(&self) -> Option<&Needs> {
        match self {
            Self::Pattern(it) => Some(&it.needs),
            Self::Phrases(it) => Some(&it.needs),
            _ => None,
        }
    }
}

fn from_files(argument: &str, data: &DataFiles) -> Result<Operator, String> {
    let mut text = String::new();
    for name in argument.split_whitespace() {
        text += &data(name).ok_or_else(|| format!("the data file `{name}` is not there"))?;
        text.push('\n');
    }
    let phrases = text.lines().map(str::trim).filter(|it| !it.is_empty() && !it.starts_with('#'));
    Ok(Operator::Phrases(Box::new(Phrases::compile(phrases)?)))
}

fn networks(argument: &str) -> Result<Operator, String> {
    let network = |it: &str| Network::from_text(it.trim()).ok_or_else(|| format!("`{it}` is no network"));
    Ok(Operator::Networks(argument.split(',').map(network).collect::<Result<_, _>>()?))
}

fn byte_ranges(argument: &str) -> Result<ByteSet, String> {
    let mut set = ByteSet::EMPTY;
    for range in argument.split(',').map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => set = set.union(&ByteSet::range(first, last)),
            _ => return Err(format!("`{range}` is no range of bytes")),
        }
    }
    Ok(set)
}

/// Whether a percent sign begins no escape.
pub(crate) fn has_broken_url_encoding(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).any(|at| {
        let digits = text.get(at + 1..at + 3).unwrap_or_default();
        digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit)
    })
}

/// The number at the beginning of `text`, 0 if there is none.
pub(crate) fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (digits, is_negative) = match text {
        [b'-', rest @ ..] => (rest, true),
        [b'+', rest @ ..] => (rest, false),
        it => (it, false),
    };
    let digits = digits.iter().take_while(|it| it.is_ascii_digit());
    let value = digits.fold(0_i64, |sum, it| sum.saturating_mul(10).saturating_add(i64::from(it - b'0')));
    if is_negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::{Network, Operator, Relation, has_broken_url_encoding, number};
    use crate::transaction::Names;

    fn read(text: &str) -> Result<(Operator, bool), String> {
        let data = |name: &str| (name == "a.data").then(|| "# of all\nfoo\n\n Bar \n".to_owned());
        Operator::from_text(text, &data, &mut Names::default())
    }

    #[test]
    fn reads_operators_and_their_negation() {
        assert!(matches!(read("!@eq %{tx.a}"), Ok((Operator::Number(..), true))));
        assert!(matches!(read("^a$"), Ok((Operator::Pattern(_), false))));
        let (Operator::Phrases(phrases), _) = read("@pmFromFile a.data").unwrap() else { panic!() };
        assert_eq!(phrases.needs.literals, [b"foo", b"bar"]);
        assert!(phrases.searcher.is_match("a BAR") && !phrases.searcher.is_match("of"));
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let refusal = |text: &str| read(text).unwrap_err();
        assert_eq!(refusal("@geoLookup"), "the operator `@geolookup` is not known");
        assert_eq!(refusal("@pmf b.data"), "the data file `b.data` is not there");
        assert_eq!(refusal("@pm "), "no phrase to look for");
        assert_eq!(refusal("@validateByteRange 1-256"), "`1-256` is no range of bytes");
        assert_eq!(refusal("@ipMatch 10.0.0.0/33"), "`10.0.0.0/33` is no network");
    }

    #[test]
    fn compares_texts_numbers_and_addresses() {
        assert!(Relation::Within.holds(b"GET", b"GET HEAD") && Relation::Within.holds(b"", b"GET"));
        assert!(Relation::ContainsWord.holds(b"a or b", b"or") && !Relation::ContainsWord.holds(b"for", b"or"));
        assert_eq!((number(b" -12a"), number(b"x"), number(b"99999999999999999999")), (-12, 0, i64::MAX));
        let network = Network::from_text("10.0.0.0/8").unwrap();
        assert!(network.contains("10.1.2.3".parse().unwrap()) && !network.contains("11.1.2.3".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(Network::from_text("::/0").unwrap().contains("::1".parse().unwrap()));
    }

    #[test]
    fn knows_broken_escapes() {
        assert!(has_broken_url_encoding(b"a%2") && has_broken_url_encoding(b"%zz") && has_broken_url_encoding(b"%"));
        assert!(!has_broken_url_encoding(b"a%20b") && !has_broken_url_encoding(b""));
    }
}
