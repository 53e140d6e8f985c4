//! YAML text to small trees that know where everything stood.
//!
//! Only what rules need: maps with text keys, lists and scalars. Anchors, aliases, merge keys and tags are
//! refused, because a reader of a rule should see all of it where it stands.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use crate::error::{Position, Refusal};

/// The largest file, in bytes. The longest rules in public collections have some 60 KiB; a larger text is refused.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// How deep lists and maps may nest; the outermost is 1. Rules need 5; deeper documents are refused.
pub const DEPTH_MAX: usize = 32;

/// How many members a map may have. Rules need some 30; keys are compared with one another, so more are refused.
pub const MEMBERS_MAX: usize = 4_096;

/// One value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A single value, not yet typed.
    Scalar {
        /// The text, quotes and escapes of YAML resolved.
        text: String,
        /// How it was written; only a plain scalar can be a number, a boolean or null.
        style: Style,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; no key comes twice.
    Map(Vec<(Key, Node)>),
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In single or double quotes.
    Quoted,
    /// As a block, after `|` or `>`.
    Block,
}

/// The key of a member of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where the key begins.
    pub position: Position,
    /// Its text.
    pub text: String,
}

impl Node {
    /// Names the kind for a complaint: `a map`, `a list`, `a text`.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// Returns the text of a scalar, `None` for lists and maps.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether this is a plain `null`, `~` or nothing at all.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Refusal {
        Refusal::new(self.position, reason)
    }
}

impl Key {
    pub(crate) fn refuse(&self, reason: impl Into<String>) -> Refusal {
        Refusal::new(self.position, reason)
    }
}

/// Reads every document of `text`: one result each, in order. Empty documents are left out.
///
/// A document that breaks our own rules is refused alone; one that is no YAML ends the reading, since nobody
/// knows where the next would begin.
pub(crate) fn documents(text: &str) -> Vec<Result<Node, Refusal>> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
        return vec![Err(Refusal::new(Position { line: 1, column: 1 }, reason))];
    }
    let mut found = Vec::new();
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::DocumentEnd, _)) => found.extend(std::mem::take(&mut builder).finish()),
            Ok((event, span)) => builder.see(event, span),
            Err(error) => {
                let reason = format!("this is no YAML: {}", error.info());
                found.push(Err(Refusal::new(position_of(*error.marker()), reason)));
                return found;
            }
        }
    }
    found
}

fn position_of(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Puts one document together from events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    refusal: Option<Refusal>,
}

/// A container that has not ended.
struct Open {
    position: Position,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { members: Vec<(Key, Node)>, key: Option<Key> },
}

impl Builder {
    fn see(&mut self, event: Event<'_>, span: Span) {
        let position = position_of(span.start);
        if self.refusal.is_some() {
            return;
        }
        if let Err(refusal) = self.take(event, position) {
            self.refusal = Some(refusal);
        }
    }

    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Refusal> {
        match event {
            Event::Alias(_) => Err(Refusal::new(position, "aliases are not supported")),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_decoration(position, anchor, tag.is_some())?;
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                self.add(Node { position, kind: Kind::Scalar { text: text.into_owned(), style } })
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_decoration(position, anchor, tag.is_some())?;
                self.open(position, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                refuse_decoration(position, anchor, tag.is_some())?;
                self.open(position, Content::Map { members: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, position: Position, content: Content) -> Result<(), Refusal> {
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Refusal::new(position, "a key must be a single value"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Refusal::new(position, format!("lists and maps nest deeper than {DEPTH_MAX}")));
        }
        self.open.push(Open { position, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refusal> {
        let Some(Open { position, content }) = self.open.pop() else { return Ok(()) };
        let kind = match content {
            Content::List(elements) => Kind::List(elements),
            Content::Map { members, .. } => Kind::Map(members),
        };
        self.add(Node { position, kind })
    }

    fn add(&mut self, node: Node) -> Result<(), Refusal> {
        match self.open.last_mut().map(|it| &mut it.content) {
            None => self.root = Some(node),
            Some(Content::List(elements)) => elements.push(node),
            Some(Content::Map { members, key }) => match key.take() {
                Some(key) => members.push((key, node)),
                None => *key = Some(key_of(node, members)?),
            },
        }
        Ok(())
    }

    fn finish(self) -> Option<Result<Node, Refusal>> {
        match (self.refusal, self.root) {
            (Some(refusal), _) => Some(Err(refusal)),
            (None, Some(root)) if !root.is_null() => Some(Ok(root)),
            _ => None,
        }
    }
}

fn refuse_decoration(position: Position, anchor: usize, is_tagged: bool) -> Result<(), Refusal> {
    if anchor != 0 {
        return Err(Refusal::new(position, "anchors are not supported"));
    }
    if is_tagged {
        return Err(Refusal::new(position, "tags are not supported"));
    }
    Ok(())
}

fn key_of(node: Node, members: &[(Key, Node)]) -> Result<Key, Refusal> {
    let position = node.position;
    let Kind::Scalar { text, style } = node.kind else {
        return Err(Refusal::new(position, "a key must be a single value"));
    };
    if text == "<<" && style == Style::Plain {
        return Err(Refusal::new(position, "merge keys are not supported"));
    }
    if MEMBERS_MAX <= members.len() {
        return Err(Refusal::new(position, format!("the map has more than {MEMBERS_MAX} members")));
    }
    if members.iter().any(|(key, _)| key.text == text) {
        return Err(Refusal::new(position, format!("the key `{text}` is there twice")));
    }
    Ok(Key { position, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, line: usize, column: usize, reason: &str) {
        let refused: Vec<_> = documents(text).into_iter().filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        let found = &refused[0];
        assert_eq!((found.position, found.reason.as_str()), (Position { line, column }, reason));
    }

    #[test]
    fn keeps_order_positions_and_styles() {
        let found = documents("a: 1\nb:\n  - 'x'\n  - |\n    y\n").remove(0).unwrap();
        let Kind::Map(members) = found.kind else { panic!("a map") };
        assert_eq!(members[0].0, Key { position: Position { line: 1, column: 1 }, text: "a".into() });
        assert_eq!(members[0].1.position, Position { line: 1, column: 4 });
        let Kind::List(elements) = &members[1].1.kind else { panic!("a list") };
        assert_eq!(elements[0].position, Position { line: 3, column: 5 });
        assert_eq!(elements[0].kind, Kind::Scalar { text: "x".into(), style: Style::Quoted });
        assert_eq!(elements[1].kind, Kind::Scalar { text: "y\n".into(), style: Style::Block });
    }

    #[test]
    fn refuses_what_hides_or_repeats() {
        check("a: &x 1\n", 1, 4, "anchors are not supported");
        check("a: 1\nb: !!str 1\n", 2, 4, "tags are not supported");
        check("a: 1\nb: 2\n  \na: 3\n", 4, 1, "the key `a` is there twice");
        check("a:\n  <<: 1\n", 2, 3, "merge keys are not supported");
        check("? [a]\n: 1\n", 1, 3, "a key must be a single value");
    }

    #[test]
    fn refuses_one_level_too_many() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(documents(&nested(DEPTH_MAX))[0].is_ok());
        assert!(documents(&nested(DEPTH_MAX + 1))[0].is_err());
    }

    #[test]
    fn refuses_one_member_too_many() {
        let text = |count: usize| (0..count).map(|it| format!("k{it}: 1\n")).collect::<String>();
        assert!(documents(&text(MEMBERS_MAX))[0].is_ok());
        assert!(documents(&text(MEMBERS_MAX + 1))[0].is_err());
    }

    #[test]
    fn refuses_one_byte_too_many() {
        let text = |length: usize| format!("a: {}", "x".repeat(length - 3));
        assert!(documents(&text(FILE_BYTES_MAX))[0].is_ok());
        assert!(documents(&text(FILE_BYTES_MAX + 1))[0].is_err());
    }

    #[test]
    fn a_refused_document_leaves_the_others() {
        let found = documents("a: 1\n---\na: &x 1\n---\nb: 2\n---\n");
        assert_eq!(found.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "[a-c:\\-\\[\\]{}&*!|>#%@`'\" ,?\n\t~<]{0,80}") {
            let _ = documents(&text);
        }
    }
}
