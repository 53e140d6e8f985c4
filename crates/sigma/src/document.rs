//! Files of rules: each document a rule or a correlation, or refused with its place and reason.

use crate::correlation::Correlation;
use crate::detection::Detection;
use crate::error::{Position, Refusal, RuleError};
use crate::header::{Extension, Header, Members};
use crate::routing::RuleSource;
use crate::yaml::{self, Node};

/// One document of a file.
#[derive(Clone, Debug)]
pub enum Document {
    /// A rule over single events.
    Rule(Box<Rule>),
    /// A rule over the matches of others.
    Correlation(Box<Correlation>),
}

/// A rule over single events.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Names and words.
    pub header: Header,
    /// Which events the rule is for.
    pub source: RuleSource,
    /// What it looks for.
    pub detection: Detection,
}

impl Document {
    /// Returns names and words.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::Rule(rule) => &rule.header,
            Self::Correlation(correlation) => &correlation.header,
        }
    }

    /// The public id: the name, else the id, else the file's name without folder and extension.
    #[must_use]
    pub fn key(&self) -> &str {
        self.header().key()
    }
}

/// Parses every document of `text`; `file` names it in complaints and gives a nameless document its key.
///
/// Returns what could be read and what was refused, each in the order of the file. One refused document leaves
/// the others, except that nothing is read behind text that is no YAML.
#[must_use]
pub fn parse(file: &str, text: &str) -> (Vec<Document>, Vec<RuleError>) {
    let (mut documents, mut errors) = (Vec::new(), Vec::new());
    for node in yaml::documents(text) {
        match node.and_then(|it| document(file, it)) {
            Ok(document) => documents.push(document),
            Err(refusal) => errors.push(refusal.of_file(file)),
        }
    }
    (documents, errors)
}

/// Parses `text` as one bare detection (selections and `condition`, nothing around them) or as one rule.
///
/// # Errors
///
/// Whatever refuses a rule; no or several documents; a correlation.
pub fn parse_single(file: &str, text: &str) -> Result<Rule, RuleError> {
    let mut nodes = yaml::documents(text);
    let start = Position { line: 1, column: 1 };
    let rule = match (nodes.pop(), nodes.pop()) {
        (Some(node), None) => node.and_then(|it| rule_or_detection(file, it)),
        (None, _) => Err(Refusal::new(start, "there is no document")),
        (Some(_), Some(_)) => Err(Refusal::new(start, "there are several documents, one is expected")),
    };
    rule.map_err(|refusal| refusal.of_file(file))
}

fn rule_or_detection(file: &str, node: Node) -> Result<Rule, Refusal> {
    let position = node.position;
    let is_bare = match &node.kind {
        yaml::Kind::Map(members) => members
            .iter()
            .all(|(key, _)| !matches!(key.text.as_str(), "detection" | "correlation" | "filter" | "title")),
        _ => false,
    };
    if !is_bare {
        return match document(file, node)? {
            Document::Rule(rule) => Ok(*rule),
            Document::Correlation(_) => Err(Refusal::new(position, "a correlation cannot be asked about one event")),
        };
    }
    let header = Header {
        file: file.to_owned(),
        position,
        id: None,
        name: None,
        title: String::new(),
        status: None,
        level: None,
        description: None,
        tags: Vec::new(),
        false_positives: Vec::new(),
        attributes: Vec::new(),
        extension: Extension::default(),
    };
    Ok(Rule { header, source: RuleSource::default(), detection: Detection::of(node)? })
}

fn document(file: &str, node: Node) -> Result<Document, Refusal> {
    let position = node.position;
    let mut members = Members::of(node, "a document")?;
    if let Some((key, _)) = members.take("action") {
        return Err(key.refuse("`action` is not supported: write each rule whole"));
    }
    if let Some((key, _)) = members.take("filter") {
        return Err(key.refuse("filters are not supported"));
    }
    match (members.take("detection"), members.take("correlation")) {
        (Some((_, detection)), None) => rule(file, position, detection, members),
        (None, Some((_, correlation))) => {
            Ok(Document::Correlation(Box::new(Correlation::of(file, position, correlation, members)?)))
        }
        (Some(_), Some((key, _))) => Err(key.refuse("a document has either `detection` or `correlation`")),
        (None, None) => Err(Refusal::new(position, "the document has neither `detection` nor `correlation`")),
    }
}

fn rule(file: &str, position: Position, detection: Node, mut members: Members) -> Result<Document, Refusal> {
    let source = members.take("logsource").ok_or_else(|| Refusal::new(position, "the logsource is missing"))?;
    let source = source_of(source.1)?;
    if let Some(refusal) = misplaced_reset(&members) {
        return Err(refusal);
    }
    let header = Header::take(file, position, members)?;
    Ok(Document::Rule(Box::new(Rule { header, source, detection: Detection::of(detection)? })))
}

fn source_of(node: Node) -> Result<RuleSource, Refusal> {
    let position = node.position;
    let mut members = Members::of(node, "`logsource`")?;
    let mut source = RuleSource {
        product: members.take_text("product")?,
        category: members.take_text("category")?,
        service: members.take_text("service")?,
        custom: Vec::new(),
    };
    if source.product.is_none() && source.category.is_none() && source.service.is_none() {
        return Err(Refusal::new(position, "the logsource names neither product nor category nor service"));
    }
    for (key, value) in members.0 {
        let text = value.text().ok_or_else(|| value.refuse(format!("`{}` must be a text", key.text)))?;
        source.custom.push((key.text, text.to_owned()));
    }
    Ok(source)
}

fn misplaced_reset(members: &Members) -> Option<Refusal> {
    let (_, extension) = members.0.iter().find(|(key, _)| key.text == "bartizan")?;
    let yaml::Kind::Map(members) = &extension.kind else { return None };
    let (key, _) = members.iter().find(|(key, _)| matches!(key.text.as_str(), "reset" | "trigger"))?;
    Some(key.refuse(format!("`{}` belongs to correlations", key.text)))
}
