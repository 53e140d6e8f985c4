//! Actions: what a rule does when it matches.

use crate::outcome::Severity;
use crate::settings::RuleSelector;
use crate::target::Part;
use crate::template::Template;
use crate::transaction::Names;
use crate::transform::Transform;

/// What a rule asks to be done with the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    #[default]
    Pass,
    /// What the defaults of its phase say.
    Block,
    /// To refuse it.
    Deny,
    /// To ask no further rules.
    Allow,
    /// To ask no further rules of this phase.
    AllowPhase,
}

/// A variable that a rule sets.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    /// Its name, if that is known; else the template of the name.
    pub(crate) place: Result<u32, Template>,
    /// What it becomes.
    pub(crate) change: Change,
}

/// What a variable becomes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// This.
    Set(Template),
    /// More by this.
    Add(Template),
    /// Less by this.
    Subtract(Template),
    /// Unset.
    Unset,
}

/// What a rule changes about the rules to come.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// Rules do not run.
    RemoveRules(RuleSelector),
    /// Rules do not look at a target.
    RemoveTarget(RuleSelector, Part),
    /// No rule runs from here on.
    EngineOff,
    /// The body becomes `REQUEST_BODY`, whatever reads it.
    ForceBodyVariable,
    /// The body is read in this form.
    BodyProcessor(Box<str>),
    /// The body is not read.
    BodyOff,
}

/// Everything a rule does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions {
    pub(crate) id: Option<u32>,
    pub(crate) phase: Option<u8>,
    /// `None` without `t:none` before them: the defaults of the phase come first.
    pub(crate) transforms: Vec<Transform>,
    pub(crate) keeps_default_transforms: bool,
    pub(crate) message: Option<Template>,
    pub(crate) message_text: Box<str>,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) severity: Option<Severity>,
    pub(crate) verdict: Verdict,
    pub(crate) is_silent: bool,
    pub(crate) captures: bool,
    pub(crate) is_chained: bool,
    pub(crate) is_multi_match: bool,
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) controls: Vec<Control>,
    pub(crate) skip_after: Option<Box<str>>,
    pub(crate) skip_count: u32,
}

impl Actions {
    /// Reads the actions of a rule: names with or without a value, commas between them.
    pub(crate) fn from_text(text: &str, names: &mut Names) -> Result<Self, String> {
        let mut actions = Self { keeps_default_transforms: true, ..Self::default() };
        for action in split(text)? {
            let (name, value) = action.split_once(':').map_or((action, ""), |(name, value)| (name, value));
            actions.add(&name.trim().to_ascii_lowercase(), unquoted(value.trim()), names)?;
        }
        Ok(actions)
    }

    fn add(&mut self, name: &str, value: &str, names: &mut Names) -> Result<(), String> {
        match name {
            "id" => self.id = Some(value.parse().map_err(|_| format!("the id `{value}` is not a number"))?),
            "phase" => self.phase = Some(phase(value)?),
            "t" => self.add_transform(value)?,
            "msg" => {
                self.message = Some(Template::from_text(value, names)?);
                self.message_text = value.into();
            }
            "tag" => self.tags.push(value.into()),
            "severity" => self.severity = Some(severity(value)?),
            "pass" => self.verdict = Verdict::Pass,
            "block" => self.verdict = Verdict::Block,
            "deny" | "drop" | "redirect" | "proxy" => self.verdict = Verdict::Deny,
            "allow" if value.eq_ignore_ascii_case("phase") => self.verdict = Verdict::AllowPhase,
            "allow" => self.verdict = Verdict::Allow,
            "nolog" => self.is_silent = true,
            "log" => self.is_silent = false,
            "capture" => self.captures = true,
            "chain" => self.is_chained = true,
            "multimatch" => self.is_multi_match = true,
            "setvar" => self.assignments.push(assignment(value, names)?),
            "ctl" => self.controls.extend(control(value)?),
            "skipafter" => self.skip_after = Some(value.into()),
            "skip" => self.skip_count = value.parse().map_err(|_| format!("`skip:{value}` is not a number"))?,
            // They say where and how others write of it, or keep what lives longer than a request; nothing is lost here.
            "auditlog"
            | "noauditlog"
            | "logdata"
            | "ver"
            | "rev"
            | "accuracy"
            | "maturity"
            | "status"
            | "initcol"
            | "expirevar"
            | "sanitisearg"
            | "sanitisematched"
            | "sanitisematchedbytes"
            | "sanitiserequestheader" => {}
            _ => return Err(format!("the action `{name}` is not known")),
        }
        Ok(())
    }

    fn add_transform(&mut self, name: &str) -> Result<(), String> {
        if name.eq_ignore_ascii_case("none") {
            self.transforms.clear();
            self.keeps_default_transforms = false;
            return Ok(());
        }
        let transform =
            Transform::from_name(name).ok_or_else(|| format!("the transformation `{name}` is not known"))?;
        self.transforms.push(transform);
        Ok(())
    }
}

/// Splits at commas outside of quotes.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut from, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    if is_quoted {
        return Err("a quote among the actions is not closed".to_owned());
    }
    parts.push(text[from..].trim());
    parts.retain(|it| !it.is_empty());
    Ok(parts)
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).unwrap_or(value)
}

fn phase(value: &str) -> Result<u8, String> {
    match value {
        "1" => Ok(1),
        "2" | "request" => Ok(2),
        "3" => Ok(3),
        "4" | "response" => Ok(4),
        "5" | "logging" => Ok(5),
        _ => Err(format!("the phase `{value}` is not known")),
    }
}

fn severity(value: &str) -> Result<Severity, String> {
    Severity::from_text(value).ok_or_else(|| format!("the severity `{value}` is not known"))
}

/// Reads `tx.name=value`, `tx.name=+value`, `tx.name` and `!tx.name`.
fn assignment(text: &str, names: &mut Names) -> Result<Assignment, String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let (name, is_unset) = name.strip_prefix('!').map_or((name, false), |it| (it, true));
    let collection = name.get(..3).unwrap_or_default();
    if !collection.eq_ignore_ascii_case("tx.") {
        return Err(format!("`setvar:{text}`: only the collection `tx` is kept"));
    }
    let name = name[3..].trim();
    let place = if name.contains("%{") {
        Err(Template::from_text(&name.to_ascii_lowercase(), names)?)
    } else {
        Ok(names.place_of(name))
    };
    let change = match value.map(str::trim) {
        _ if is_unset => Change::Unset,
        None => Change::Set(Template::from_text("1", names)?),
        Some(value) => match value.strip_prefix('+') {
            Some(more) => Change::Add(Template::from_text(more, names)?),
            None => match value.strip_prefix('-') {
                Some(less) => Change::Subtract(Template::from_text(less, names)?),
                None => Change::Set(Template::from_text(value, names)?),
            },
        },
    };
    Ok(Assignment { place, change })
}

fn control(text: &str) -> Result<Option<Control>, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`ctl:{text}` has no value"))?;
    let is_off = value.eq_ignore_ascii_case("off");
    let target_of = |value: &str| {
        let (rules, target) = value.split_once(';').ok_or_else(|| format!("`ctl:{text}` names no target"))?;
        Ok::<_, String>((unquoted(rules).to_owned(), Part::from_text(unquoted(target))?))
    };
    let control = match name.to_ascii_lowercase().as_str() {
        "ruleremovebyid" => Control::RemoveRules(RuleSelector::Ids(ids(value)?)),
        "ruleremovebytag" => Control::RemoveRules(RuleSelector::Tag(value.to_owned())),
        "ruleremovebymsg" => Control::RemoveRules(RuleSelector::Message(value.to_owned())),
        "ruleremovetargetbyid" => {
            let (rules, part) = target_of(value)?;
            Control::RemoveTarget(RuleSelector::Ids(ids(&rules)?), part)
        }
        "ruleremovetargetbytag" => {
            let (rules, part) = target_of(value)?;
            Control::RemoveTarget(RuleSelector::Tag(rules), part)
        }
        "ruleremovetargetbymsg" => {
            let (rules, part) = target_of(value)?;
            Control::RemoveTarget(RuleSelector::Message(rules), part)
        }
        "ruleengine" if is_off => Control::EngineOff,
        "forcerequestbodyvariable" if !is_off => Control::ForceBodyVariable,
        "requestbodyprocessor" => Control::BodyProcessor(value.to_ascii_uppercase().into()),
        "requestbodyaccess" if is_off => Control::BodyOff,
        // Nothing is refused here, only said; and there is no audit log.
        "ruleengine"
        | "forcerequestbodyvariable"
        | "requestbodyaccess"
        | "auditengine"
        | "auditlogparts"
        | "debugloglevel"
        | "responsebodyaccess" => return Ok(None),
        _ => return Err(format!("`ctl:{name}` is not known")),
    };
    Ok(Some(control))
}

/// Reads an id or a range of ids.
pub(crate) fn ids(text: &str) -> Result<std::ops::RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) => Ok(first..=last),
        _ => Err(format!("`{text}` is neither an id nor a range of ids")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Actions, Change, Control, Verdict};
    use crate::outcome::Severity;
    use crate::transaction::Names;

    #[test]
    fn reads_what_a_rule_of_the_core_rule_set_does() {
        let mut names = Names::default();
        let text = "id:7,phase:2,block,capture,t:lowercase,t:none,t:urlDecodeUni,msg:'A, b %{TX.0}',tag:'x',\
                    severity:'CRITICAL',multiMatch,setvar:'tx.score=+%{tx.five}',skipAfter:END,ctl:ruleRemoveById=1-3,chain";
        let actions = Actions::from_text(text, &mut names).unwrap();
        assert_eq!((actions.id, actions.phase, actions.verdict), (Some(7), Some(2), Verdict::Block));
        assert_eq!(actions.transforms.len(), 1);
        assert_eq!(&*actions.message_text, "A, b %{TX.0}");
        assert_eq!(actions.severity, Some(Severity::Critical));
        assert!(actions.captures && actions.is_chained && actions.is_multi_match && !actions.is_silent);
        assert!(matches!(actions.assignments[0].change, Change::Add(_)));
        assert!(matches!(actions.controls[0], Control::RemoveRules(_)));
        assert_eq!(actions.skip_after.as_deref(), Some("END"));
    }

    #[test]
    fn refuses_what_it_does_not_know_by_name() {
        let refusal = |text: &str| Actions::from_text(text, &mut Names::default()).unwrap_err();
        assert_eq!(refusal("id:x"), "the id `x` is not a number");
        assert_eq!(refusal("exec:/bin/x"), "the action `exec` is not known");
        assert_eq!(refusal("t:md5"), "the transformation `md5` is not known");
        assert_eq!(refusal("setvar:'ip.x=1'"), "`setvar:ip.x=1`: only the collection `tx` is kept");
        assert_eq!(refusal("msg:'%{geo.x}'"), "the variable `%{geo.x}` is not known");
        assert_eq!(refusal("ctl:ruleRemoveTargetById=1"), "`ctl:ruleRemoveTargetById=1` names no target");
        assert!(refusal("msg:'a").contains("quote"));
    }
}
