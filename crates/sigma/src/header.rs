//! What rules and correlations have in common: names, words for people, our extension.

use std::time::Duration;

use crate::duration;
use crate::error::{Position, Refusal};
use crate::scalar::Scalar;
use crate::yaml::{Key, Kind, Node};

/// The longest title, in characters. Source: Sigma specification 2.1.0, "Title".
const TITLE_CHARS_MAX: usize = 256;

/// How mature a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Rarely wrong.
    Stable,
    /// Mostly right.
    Test,
    /// May be wrong often.
    Experimental,
    /// Replaced by another.
    Deprecated,
    /// Cannot be used as it is.
    Unsupported,
}

/// How bad it is if the rule is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth keeping.
    Informational,
    /// Look when there is time.
    Low,
    /// Look today.
    Medium,
    /// Look now.
    High,
    /// Wake somebody.
    Critical,
}

/// Names and words of a document, none of which change what it detects.
#[derive(Clone, Debug)]
pub struct Header {
    /// The file, as it was named to the parser.
    pub file: String,
    /// Where the document begins.
    pub position: Position,
    /// A UUID.
    pub id: Option<String>,
    /// A unique name, to which correlations may refer.
    pub name: Option<String>,
    /// What is found, at most 256 characters.
    pub title: String,
    /// How mature the rule is.
    pub status: Option<Status>,
    /// How bad it is if the rule is right.
    pub level: Option<Level>,
    /// What is found and why it matters.
    pub description: Option<String>,
    /// For example `attack.t1110`.
    pub tags: Vec<String>,
    /// What else may look like this.
    pub false_positives: Vec<String>,
    /// Every other key of the document, standard or not, as it was written.
    pub attributes: Vec<(Key, Node)>,
    /// Our own keys.
    pub extension: Extension,
}

/// The map `bartizan` of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The type of the alerts, for example `bruteforce`.
    pub alert_type: Option<String>,
    /// One sentence on the alert; `{count}` and `{entity}` are filled in by who raises it.
    pub details: Option<String>,
    /// How sure we are, `0..=100`.
    pub confidence: Option<u8>,
    /// How late events may come to a window.
    pub lateness: Option<Duration>,
    /// Correlations only: the selection of the base rule that starts the window anew.
    pub reset: Option<String>,
    /// Correlations only: the rule, by name or id, at whose events alone the condition is judged; its own do not count.
    pub trigger: Option<String>,
}

impl Header {
    /// The public id: the name, else the id, else the file's name without folder and extension.
    #[must_use]
    pub fn key(&self) -> &str {
        self.name.as_deref().or(self.id.as_deref()).unwrap_or_else(|| stem(&self.file))
    }

    /// Takes what it knows out of `members`; what is left becomes the attributes.
    pub(crate) fn take(file: &str, position: Position, mut members: Members) -> Result<Self, Refusal> {
        let title = members.take("title").ok_or_else(|| Refusal::new(position, "the title is missing"))?;
        Ok(Self {
            file: file.to_owned(),
            position,
            title: title_of(&title.1)?,
            id: members.take("id").map(|(_, node)| id_of(&node)).transpose()?,
            name: members.take_text("name")?,
            status: members.take_word("status", status_of)?,
            level: members.take_word("level", level_of)?,
            description: members.take_text("description")?,
            tags: members.take_texts("tags")?,
            false_positives: members.take_texts("falsepositives")?,
            extension: members.take("bartizan").map(|(_, node)| extension_of(node)).transpose()?.unwrap_or_default(),
            attributes: members.0,
        })
    }
}

/// The members of a map that nobody has taken yet.
pub(crate) struct Members(pub(crate) Vec<(Key, Node)>);

impl Members {
    /// Opens a map; `what` names it in the complaint.
    pub(crate) fn of(node: Node, what: &str) -> Result<Self, Refusal> {
        let name = node.kind_name();
        match node.kind {
            Kind::Map(members) => Ok(Self(members)),
            _ => Err(Refusal::new(node.position, format!("{what} must be a map, not {name}"))),
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<(Key, Node)> {
        let at = self.0.iter().position(|(key, _)| key.text == name)?;
        Some(self.0.remove(at))
    }

    /// Takes a text; null and the empty text count as absent.
    pub(crate) fn take_text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        let Some((_, node)) = self.take(name).filter(|(_, node)| node.text() != Some("")) else { return Ok(None) };
        if node.is_null() {
            return Ok(None);
        }
        text_of(name, &node).map(Some)
    }

    /// Takes a text or a list of texts; a null counts as empty.
    pub(crate) fn take_texts(&mut self, name: &str) -> Result<Vec<String>, Refusal> {
        let Some((_, node)) = self.take(name).filter(|(_, node)| !node.is_null()) else { return Ok(Vec::new()) };
        match &node.kind {
            Kind::List(elements) => elements.iter().map(|it| text_of(name, it)).collect(),
            _ => Ok(vec![text_of(name, &node)?]),
        }
    }

    fn take_word<T>(&mut self, name: &str, read: fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let Some((_, node)) = self.take(name) else { return Ok(None) };
        let text = text_of(name, &node)?;
        read(&text).map(Some).ok_or_else(|| node.refuse(format!("`{text}` is no {name}")))
    }

    pub(crate) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some((_, node)) = self.take(name) else { return Ok(None) };
        match Scalar::of(&node) {
            Some(Scalar::Bool(it)) => Ok(Some(it)),
            _ => Err(node.refuse(format!("`{name}` must be true or false"))),
        }
    }

    pub(crate) fn take_duration(&mut self, name: &str) -> Result<Option<(Duration, Position)>, Refusal> {
        let Some((_, node)) = self.take(name) else { return Ok(None) };
        let text = text_of(name, &node)?;
        let length = duration::parse(&text).map_err(|reason| node.refuse(reason))?;
        Ok(Some((length, node.position)))
    }

    /// Refuses what is left.
    pub(crate) fn finish(self, what: &str) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(key.refuse(format!("the key `{}` of {what} is unknown", key.text))),
        }
    }
}

pub(crate) fn text_of(name: &str, node: &Node) -> Result<String, Refusal> {
    let text = node.text().filter(|it| !it.is_empty());
    text.map(str::to_owned).ok_or_else(|| node.refuse(format!("`{name}` must be a text")))
}

fn title_of(node: &Node) -> Result<String, Refusal> {
    let title = text_of("title", node)?;
    if TITLE_CHARS_MAX < title.chars().count() {
        return Err(node.refuse(format!("the title is longer than {TITLE_CHARS_MAX} characters")));
    }
    Ok(title)
}

fn id_of(node: &Node) -> Result<String, Refusal> {
    let text = text_of("id", node)?;
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(index, it)| match index {
            8 | 13 | 18 | 23 => it == b'-',
            _ => it.is_ascii_hexdigit(),
        });
    if is_uuid { Ok(text) } else { Err(node.refuse(format!("the id `{text}` is no UUID"))) }
}

fn status_of(word: &str) -> Option<Status> {
    Some(match word.to_ascii_lowercase().as_str() {
        "stable" => Status::Stable,
        "test" => Status::Test,
        "experimental" => Status::Experimental,
        "deprecated" => Status::Deprecated,
        "unsupported" => Status::Unsupported,
        _ => return None,
    })
}

fn level_of(word: &str) -> Option<Level> {
    Some(match word.to_ascii_lowercase().as_str() {
        "informational" => Level::Informational,
        "low" => Level::Low,
        "medium" => Level::Medium,
        "high" => Level::High,
        "critical" => Level::Critical,
        _ => return None,
    })
}

fn extension_of(node: Node) -> Result<Extension, Refusal> {
    let mut members = Members::of(node, "`bartizan`")?;
    let confidence = members.take("confidence").map(|(_, node)| {
        let count = Scalar::count_of(&node).and_then(|it| u8::try_from(it).ok()).filter(|it| *it <= 100);
        count.ok_or_else(|| node.refuse("`confidence` must be a whole number from 0 to 100"))
    });
    let extension = Extension {
        alert_type: members.take_text("type")?,
        details: members.take_text("details")?,
        confidence: confidence.transpose()?,
        lateness: members.take_duration("lateness")?.map(|(length, _)| length),
        reset: members.take_text("reset")?,
        trigger: members.take_text("trigger")?,
    };
    members.finish("`bartizan`")?;
    Ok(extension)
}

fn stem(file: &str) -> &str {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_has_neither_folder_nor_extension() {
        for (file, expected) in [("a/b/c.yml", "c"), ("c.yml", "c"), ("c", "c"), ("a.b/c.d.yaml", "c.d"), ("", "")] {
            assert_eq!(stem(file), expected);
        }
    }
}
