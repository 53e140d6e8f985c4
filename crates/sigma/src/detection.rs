//! The detection of a rule: named selections and the condition that joins them.

use crate::condition::{self, Condition};
use crate::error::{Position, Refusal};
use crate::header::Members;
use crate::item;
use crate::tree::Tree;
use crate::yaml::{Kind, Node, Style};

/// A parsed detection. It has no public parts: what it means is asked of a compiled rule set.
#[derive(Clone, Debug)]
pub struct Detection {
    pub(crate) selections: Vec<Selection>,
    pub(crate) tree: Tree,
}

/// A named selection.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) name: String,
    pub(crate) tree: Tree,
}

impl Detection {
    pub(crate) fn of(node: Node) -> Result<Self, Refusal> {
        let position = node.position;
        let mut members = Members::of(node, "`detection`")?;
        if let Some((key, _)) = members.take("timeframe") {
            return Err(key.refuse("`timeframe` is not supported: write a correlation"));
        }
        let condition = members.take("condition").ok_or_else(|| Refusal::new(position, "the condition is missing"))?.1;
        let selections =
            members.0.into_iter().map(|(key, node)| Ok(Selection { name: key.text, tree: selection(&node)? }));
        let selections = selections.collect::<Result<Vec<_>, _>>()?;
        if selections.is_empty() {
            return Err(Refusal::new(position, "the detection has no selection"));
        }
        let tree = conditions(&condition, &selections)?;
        Ok(Self { selections, tree })
    }
}

/// A map is all of its items; a list any of its maps and keywords; a single value one keyword.
fn selection(node: &Node) -> Result<Tree, Refusal> {
    match &node.kind {
        Kind::Map(members) if members.is_empty() => Err(node.refuse("the selection is empty")),
        Kind::Map(members) => {
            Ok(Tree::all(members.iter().map(|(key, value)| item::parse(key, value)).collect::<Result<_, _>>()?))
        }
        Kind::List(elements) if elements.is_empty() => Err(node.refuse("the selection is empty")),
        Kind::List(elements) => Ok(Tree::any(elements.iter().map(alternative).collect::<Result<_, _>>()?)),
        Kind::Scalar { .. } => item::keyword(node),
    }
}

fn alternative(node: &Node) -> Result<Tree, Refusal> {
    match &node.kind {
        Kind::List(_) => Err(node.refuse("a selection cannot be a list of lists")),
        _ => selection(node),
    }
}

fn conditions(node: &Node, selections: &[Selection]) -> Result<Tree, Refusal> {
    match &node.kind {
        Kind::List(elements) if !elements.is_empty() => {
            Ok(Tree::any(elements.iter().map(|it| condition_of(it, selections)).collect::<Result<_, _>>()?))
        }
        _ => condition_of(node, selections),
    }
}

fn condition_of(node: &Node, selections: &[Selection]) -> Result<Tree, Refusal> {
    let Kind::Scalar { text, style } = &node.kind else {
        return Err(node.refuse("the condition must be a text or a list of texts"));
    };
    let names: Vec<&str> = selections.iter().map(|it| it.name.as_str()).collect();
    match condition::parse(text, &names) {
        Ok(condition) => Ok(resolve(&condition, selections)),
        Err(error) => Err(Refusal::new(position_in(node.position, *style, error.offset), error.reason)),
    }
}

/// The place of a character of a scalar; of a block only where it begins is known.
const fn position_in(start: Position, style: Style, offset: usize) -> Position {
    let quote = match style {
        Style::Plain => 0,
        Style::Quoted => 1,
        Style::Block => return start,
    };
    Position { line: start.line, column: start.column + quote + offset }
}

fn resolve(condition: &Condition, selections: &[Selection]) -> Tree {
    let each = |them: &[Condition]| them.iter().map(|it| resolve(it, selections)).collect();
    match condition {
        Condition::Selection(place) => selections[*place].tree.clone(),
        Condition::And(them) => Tree::all(each(them)),
        Condition::Or(them) => Tree::any(each(them)),
        Condition::Not(it) => resolve(it, selections).negated(),
    }
}
