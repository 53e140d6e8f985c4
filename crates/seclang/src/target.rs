//! Targets: which parts of a request a rule looks at.

use regex::bytes::Regex;

use crate::pattern::Pattern;

/// A collection of values that rules can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Collection {
    ArgsGet,
    ArgsPost,
    ArgsGetNames,
    ArgsPostNames,
    Files,
    FilesNames,
    FilesSizes,
    MultipartPartHeaders,
    QueryString,
    RequestBasename,
    RequestBody,
    RequestCookies,
    RequestCookiesNames,
    RequestFilename,
    RequestHeaders,
    RequestHeadersNames,
    RequestLine,
    RequestMethod,
    RequestProtocol,
    RequestUri,
    RequestUriRaw,
    XmlAttributes,
    XmlText,
    // What follows holds numbers and states, not parts of the request; it is made when it is asked for.
    ArgsCombinedSize,
    FilesCombinedSize,
    MatchedVar,
    MatchedVarName,
    MatchedVars,
    MatchedVarsNames,
    MultipartStrictError,
    RemoteAddr,
    ReqbodyError,
    ReqbodyProcessor,
    RequestBodyLength,
    Tx,
    UniqueId,
}

impl Collection {
    /// How many there are that hold parts of the request.
    pub(crate) const STORED_COUNT: usize = Self::XmlText as usize + 1;

    /// Whether it holds parts of the request.
    pub(crate) fn is_stored(self) -> bool {
        self <= Self::XmlText
    }

    /// Whether a rule or an exclusion may ask for one member by its name.
    fn has_members(self) -> bool {
        !matches!(
            self,
            Self::QueryString
                | Self::RequestBasename
                | Self::RequestBody
                | Self::RequestFilename
                | Self::RequestLine
                | Self::RequestMethod
                | Self::RequestProtocol
                | Self::RequestUri
                | Self::RequestUriRaw
        ) && (self.is_stored() || matches!(self, Self::Tx | Self::MatchedVars))
    }

    /// The names of collections, as rules write them, with what they are made of.
    const NAMES: &[(&str, &[Self])] = &[
        ("ARGS", &[Self::ArgsGet, Self::ArgsPost]),
        ("ARGS_COMBINED_SIZE", &[Self::ArgsCombinedSize]),
        ("ARGS_GET", &[Self::ArgsGet]),
        ("ARGS_GET_NAMES", &[Self::ArgsGetNames]),
        ("ARGS_NAMES", &[Self::ArgsGetNames, Self::ArgsPostNames]),
        ("ARGS_POST", &[Self::ArgsPost]),
        ("ARGS_POST_NAMES", &[Self::ArgsPostNames]),
        ("FILES", &[Self::Files]),
        ("FILES_COMBINED_SIZE", &[Self::FilesCombinedSize]),
        ("FILES_NAMES", &[Self::FilesNames]),
        ("FILES_SIZES", &[Self::FilesSizes]),
        ("MATCHED_VAR", &[Self::MatchedVar]),
        ("MATCHED_VARS", &[Self::MatchedVars]),
        ("MATCHED_VARS_NAMES", &[Self::MatchedVarsNames]),
        ("MATCHED_VAR_NAME", &[Self::MatchedVarName]),
        ("MULTIPART_PART_HEADERS", &[Self::MultipartPartHeaders]),
        ("MULTIPART_STRICT_ERROR", &[Self::MultipartStrictError]),
        ("QUERY_STRING", &[Self::QueryString]),
        ("REMOTE_ADDR", &[Self::RemoteAddr]),
        ("REQBODY_ERROR", &[Self::ReqbodyError]),
        ("REQBODY_PROCESSOR", &[Self::ReqbodyProcessor]),
        ("REQUEST_BASENAME", &[Self::RequestBasename]),
        ("REQUEST_BODY", &[Self::RequestBody]),
        ("REQUEST_BODY_LENGTH", &[Self::RequestBodyLength]),
        ("REQUEST_COOKIES", &[Self::RequestCookies]),
        ("REQUEST_COOKIES_NAMES", &[Self::RequestCookiesNames]),
        ("REQUEST_FILENAME", &[Self::RequestFilename]),
        ("REQUEST_HEADERS", &[Self::RequestHeaders]),
        ("REQUEST_HEADERS_NAMES", &[Self::RequestHeadersNames]),
        ("REQUEST_LINE", &[Self::RequestLine]),
        ("REQUEST_METHOD", &[Self::RequestMethod]),
        ("REQUEST_PROTOCOL", &[Self::RequestProtocol]),
        ("REQUEST_URI", &[Self::RequestUri]),
        ("REQUEST_URI_RAW", &[Self::RequestUriRaw]),
        ("TX", &[Self::Tx]),
        ("UNIQUE_ID", &[Self::UniqueId]),
    ];

    /// The collections that a rule means by a name, in any case, and the name as it is shown.
    pub(crate) fn from_name(name: &str) -> Option<(&'static str, &'static [Self])> {
        Self::NAMES.iter().find(|it| it.0.eq_ignore_ascii_case(name)).copied()
    }
}

/// Which members of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    /// All.
    All,
    /// The one of this name, in any case; it is in lower case.
    Name(Box<[u8]>),
    /// Those whose name this finds, in any case.
    Matching(Regex),
}

impl Selector {
    /// Whether it means the member of this name.
    pub(crate) fn selects(&self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Name(it) => it.eq_ignore_ascii_case(name),
            Self::Matching(regex) => regex.is_match(name),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(pattern) = text.strip_prefix('/').and_then(|it| it.strip_suffix('/')) {
            return Ok(Self::Matching(Pattern::compile(&format!("(?i){pattern}"))?.regex));
        }
        Ok(Self::Name(text.to_ascii_lowercase().into_bytes().into_boxed_slice()))
    }
}

/// Members of one collection under the name that a rule uses.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The name as it is shown: `ARGS`, `REQUEST_HEADERS`.
    pub(crate) shown: &'static str,
    /// What it is made of.
    pub(crate) collections: &'static [Collection],
    /// Which members.
    pub(crate) selector: Selector,
}

impl Part {
    /// Reads `ARGS`, `ARGS:name`, `ARGS:/pattern/` or `XML:/*`.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let (name, member) = text.split_once(':').map_or((text, None), |(name, member)| (name, Some(member)));
        if name.eq_ignore_ascii_case("XML") {
            return xml(member.unwrap_or_default());
        }
        let (shown, collections) = Collection::from_name(name).ok_or_else(|| unknown(name))?;
        let member = member.map(|it| it.trim_matches('\''));
        let selector = match member {
            None => Selector::All,
            Some(_) if !collections[0].has_members() => return Err(format!("`{shown}` has no members to choose from")),
            Some(member) => Selector::from_text(member)?,
        };
        Ok(Self { shown, collections, selector })
    }

    /// Whether an exclusion of this part means the member `name` of what is shown as `shown`.
    pub(crate) fn excludes(&self, shown: &str, name: &[u8]) -> bool {
        self.shown == shown && self.selector.selects(name)
    }
}

fn unknown(name: &str) -> String {
    if name.to_ascii_uppercase().starts_with("RESPONSE_") {
        return format!("not evaluated: response: the target `{name}`");
    }
    format!("the target `{name}` is not known")
}

fn xml(expression: &str) -> Result<Part, String> {
    let collections: &[Collection] = match expression {
        "/*" | "//*" => &[Collection::XmlText],
        "//@*" => &[Collection::XmlAttributes],
        it => return Err(format!("the XPath expression `{it}` is not known; `/*` and `//@*` are")),
    };
    Ok(Part { shown: if expression == "//@*" { "XML://@*" } else { "XML:/*" }, collections, selector: Selector::All })
}

/// What a rule looks at.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Of what.
    pub(crate) part: Part,
    /// Whether the number of values is asked for, not the values.
    pub(crate) is_count: bool,
}

/// Everything a rule looks at, and what it leaves out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets {
    /// What it looks at, in the order of the rule.
    pub(crate) included: Vec<Target>,
    /// What it leaves out.
    pub(crate) excluded: Vec<Part>,
}

impl Targets {
    /// Adds targets as a rule writes them: `ARGS|!ARGS:name|&REQUEST_HEADERS:Host`.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        for target in split(text) {
            let target = target.trim();
            if let Some(part) = target.strip_prefix('!') {
                self.excluded.push(Part::from_text(part)?);
            } else {
                let (part, is_count) = target.strip_prefix('&').map_or((target, false), |it| (it, true));
                self.included.push(Target { part: Part::from_text(part)?, is_count });
            }
        }
        Ok(())
    }

    /// Whether the member `name` of what is shown as `shown` is left out.
    pub(crate) fn excludes(&self, shown: &str, name: &[u8]) -> bool {
        self.excluded.iter().any(|it| it.excludes(shown, name))
    }
}

/// Splits at `|` and `,` outside of patterns.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut is_in_pattern, mut before) = (0, false, ' ');
    for (at, character) in text.char_indices() {
        match character {
            '/' if before == ':' && !text[at..].starts_with("/*") && !text[at..].starts_with("//@") => {
                is_in_pattern = true
            }
            '/' if is_in_pattern && before != '\\' => is_in_pattern = false,
            '|' | ',' if !is_in_pattern => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        before = character;
    }
    parts.push(&text[from..]);
    parts.retain(|it| !it.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::{Collection, Selector, Targets};

    #[test]
    fn reads_targets_counts_exclusions_and_patterns() {
        let mut targets = Targets::default();
        targets.add(r"ARGS|&REQUEST_HEADERS:Host|XML:/*|XML://@*|!ARGS_NAMES:/^a|b\/$/|!ARGS:x").unwrap();
        let shown: Vec<_> = targets.included.iter().map(|it| (it.part.shown, it.is_count)).collect();
        assert_eq!(shown, [("ARGS", false), ("REQUEST_HEADERS", true), ("XML:/*", false), ("XML://@*", false)]);
        assert!(matches!(&targets.included[1].part.selector, Selector::Name(it) if **it == *b"host"));
        assert!(targets.excludes("ARGS_NAMES", b"B/") && targets.excludes("ARGS", b"X"));
        assert!(!targets.excludes("ARGS", b"y") && !targets.excludes("ARGS_GET", b"x"));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let refusal = |text: &str| Targets::default().add(text).unwrap_err();
        assert_eq!(refusal("GEO:COUNTRY"), "the target `GEO` is not known");
        assert_eq!(refusal("RESPONSE_BODY"), "not evaluated: response: the target `RESPONSE_BODY`");
        assert_eq!(refusal("REQUEST_BODY:a"), "`REQUEST_BODY` has no members to choose from");
        assert!(refusal("XML:/a/b").contains("XPath"));
        assert!(refusal("ARGS:/(/").contains("cannot be compiled"));
    }

    #[test]
    fn stored_collections_come_first() {
        assert!(Collection::XmlText.is_stored() && !Collection::Tx.is_stored());
        assert_eq!(Collection::STORED_COUNT, 23);
    }
}
