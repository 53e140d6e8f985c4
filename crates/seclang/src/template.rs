//! Texts with variables in them: `%{tx.critical_anomaly_score}`.

use crate::target::{Collection, Selector};
use crate::transaction::Names;

/// A text with variables in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template(Vec<Piece>);

/// A piece of a template.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Text that stands for itself.
    Text(Box<[u8]>),
    /// A variable of the transaction, by its place.
    Tx(u32),
    /// The first member of these collections that the selector means.
    Request(&'static [Collection], Selector),
    /// The number of the rule.
    RuleId,
    /// The message of the rule.
    RuleMessage,
}

impl Template {
    /// Reads a text. A variable that is not known is a refusal.
    pub(crate) fn from_text(text: &str, names: &mut Names) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((name, behind)) = after.split_once('}') else { break };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.as_bytes().into()));
            }
            pieces.push(variable(name, names)?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.as_bytes().into()));
        }
        Ok(Self(pieces))
    }

    /// The text, if no variable is in it.
    pub(crate) fn constant(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The pieces in their order.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Whether a group of a pattern, `TX:1` to `TX:9`, is in it.
    pub(crate) fn uses_groups(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Piece::Tx(1..=9)))
    }
}

fn variable(name: &str, names: &mut Names) -> Result<Piece, String> {
    let (collection, member) = name.split_once(['.', ':']).map_or((name, None), |(first, rest)| (first, Some(rest)));
    match (collection.to_ascii_lowercase().as_str(), member) {
        ("tx", Some(member)) => return Ok(Piece::Tx(names.place_of(member))),
        ("rule", Some("id")) => return Ok(Piece::RuleId),
        ("rule", Some("msg")) => return Ok(Piece::RuleMessage),
        _ => {}
    }
    let (_, collections) =
        Collection::from_name(collection).ok_or_else(|| format!("the variable `%{{{name}}}` is not known"))?;
    let selector = member.map_or(Selector::All, |it| Selector::Name(it.to_ascii_lowercase().into_bytes().into()));
    Ok(Piece::Request(collections, selector))
}
