//! From files to a set of rules.

use std::collections::HashMap;

use crate::action::{self, Actions, Verdict};
use crate::assemble::{self, Read, Update};
use crate::chains::{Chains, Node};
use crate::operator::{DataFiles, Operator};
use crate::rule::{Change, Rule, Saying};
use crate::rule_set::RuleSet;
use crate::settings::{Exclusion, RuleSelector, Settings};
use crate::source::{self, Directive};
use crate::target::Targets;
use crate::transaction::Names;
use crate::transform::Transform;

/// The most rules and links of chains of a set. The Core Rule Set has about 700; more than this are refused.
pub const RULES_MAX: usize = 20_000;

/// Directives that set up a server or its logs. They are read over: what they ask for is the business of others here.
const SETUP: &[&str] = &[
    "secargumentslimit",
    "secargumentseparator",
    "secauditengine",
    "secauditlog",
    "secauditlogformat",
    "secauditlogparts",
    "secauditlogrelevantstatus",
    "secauditlogstoragedir",
    "secauditlogtype",
    "seccollectiontimeout",
    "seccomponentsignature",
    "seccookieformat",
    "secdatadir",
    "secdebuglog",
    "secdebugloglevel",
    "secpcrematchlimit",
    "secpcrematchlimitrecursion",
    "secrequestbodyaccess",
    "secrequestbodyinmemorylimit",
    "secrequestbodyjsondepthlimit",
    "secrequestbodylimit",
    "secrequestbodylimitaction",
    "secrequestbodynofileslimit",
    "secresponsebodyaccess",
    "secresponsebodylimit",
    "secresponsebodylimitaction",
    "secresponsebodymimetype",
    "secresponsebodymimetypesclear",
    "secruleengine",
    "secserversignature",
    "secstatusengine",
    "sectmpdir",
    "secunicodemapfile",
    "secuploaddir",
    "secuploadkeepfiles",
];

/// The file of what is refused of [`Settings::exclusions`]; its line is the number of the exclusion, from 1.
pub const OF_SETTINGS: &str = "exclusions";

/// A directive that is not in the set, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The name of the file, as it was given; [`OF_SETTINGS`] for an exclusion of the settings.
    pub file: String,
    /// The line on which the directive begins, from 1.
    pub line: u32,
    /// The number of the rule, if it is known.
    pub rule: Option<u32>,
    /// Why, in words without a full stop. Those for rules of responses begin with `not evaluated: response`.
    pub reason: String,
}

/// Loads rule files: `(name, text)` in the order in which they are to run, `data` gives the text of a data file
/// (`@pmFromFile`) by the name that the rule writes.
///
/// The set holds everything that was understood; everything else is in the list, so that nothing is left out in silence.
/// Rules above the paranoia level are left out because the settings say so; [`RuleSet::left_out`] counts them.
#[must_use]
pub fn load(
    files: &[(&str, &str)],
    data: &dyn Fn(&str) -> Option<String>,
    settings: &Settings,
) -> (RuleSet, Vec<Refused>) {
    let mut loader = Loader {
        data,
        settings,
        names: Names::default(),
        chains: Chains::default(),
        rules: Vec::new(),
        heads: Vec::new(),
        markers: HashMap::new(),
        updates: Vec::new(),
        defaults: HashMap::new(),
        open: Open::default(),
        refused: Vec::new(),
    };
    for (name, text) in files {
        loader.read(name, text);
    }
    loader.finish()
}

/// A chain whose end has not come yet.
#[derive(Default)]
struct Open {
    links: Vec<Rule>,
    /// Whether links are still expected.
    is_expected: bool,
    /// Why the chain cannot be used, and where.
    refusal: Option<(u32, String)>,
    id: Option<u32>,
    phase: Option<u8>,
}

struct Loader<'a> {
    data: &'a DataFiles<'a>,
    settings: &'a Settings,
    names: Names,
    chains: Chains,
    rules: Vec<Rule>,
    /// The first links in their order.
    heads: Vec<u32>,
    /// For each marker, how many rules come before it.
    markers: HashMap<Box<str>, usize>,
    updates: Vec<Update>,
    /// For each phase, the verdict of `block` and the transformations that come first.
    defaults: HashMap<u8, (Verdict, Vec<Transform>)>,
    open: Open,
    refused: Vec<Refused>,
}

impl Loader<'_> {
    fn read(&mut self, file: &str, text: &str) {
        for directive in source::directives(text) {
            match directive {
                Ok(directive) => self.take(file, &directive),
                Err((line, reason)) => self.refuse(file, line, None, reason),
            }
        }
        if self.open.is_expected {
            let line = self.open.links.first().map_or(1, |it| it.at.1);
            self.open.refusal.get_or_insert((line, "the file ends within a chain".to_owned()));
            self.close(file);
        }
    }

    fn refuse(&mut self, file: &str, line: u32, rule: Option<u32>, reason: String) {
        self.refused.push(Refused { file: file.to_owned(), line, rule, reason });
    }

    fn take(&mut self, file: &str, directive: &Directive) {
        let arguments: Vec<&str> = directive.arguments.iter().map(String::as_str).collect();
        let name = directive.name.to_ascii_lowercase();
        let done = match (name.as_str(), arguments.as_slice()) {
            ("secrule", [targets, operator]) => return self.rule(file, directive.line, Some((targets, operator)), ""),
            ("secrule", [targets, operator, actions]) => {
                return self.rule(file, directive.line, Some((targets, operator)), actions);
            }
            ("secaction", [actions]) => return self.rule(file, directive.line, None, actions),
            ("secmarker", [name]) => {
                self.markers.insert((*name).into(), self.heads.len());
                Ok(())
            }
            ("secdefaultaction", [actions]) => self.default(actions),
            ("secruleremovebyid", ids) if !ids.is_empty() => self.remove_by_ids(file, directive.line, ids),
            ("secruleremovebytag", [tag]) => {
                self.update(file, directive.line, RuleSelector::Tag((*tag).to_owned()), None);
                Ok(())
            }
            ("secruleremovebymsg", [message]) => {
                self.update(file, directive.line, RuleSelector::Message((*message).to_owned()), None);
                Ok(())
            }
            ("secruleupdatetargetbyid", [ids, targets]) => action::ids(ids)
                .map(|ids| self.update(file, directive.line, RuleSelector::Ids(ids), Some((*targets).to_owned()))),
            ("secruleupdatetargetbytag", [tag, targets]) => {
                let rules = RuleSelector::Tag((*tag).to_owned());
                self.update(file, directive.line, rules, Some((*targets).to_owned()));
                Ok(())
            }
            ("secruleupdatetargetbymsg", [message, targets]) => {
                let rules = RuleSelector::Message((*message).to_owned());
                self.update(file, directive.line, rules, Some((*targets).to_owned()));
                Ok(())
            }
            ("include", _) => Err("files are given, not included".to_owned()),
            (name, _) if SETUP.contains(&name) => Ok(()),
            (_, arguments) => {
                Err(format!("the directive `{}` with {} arguments is not known", directive.name, arguments.len()))
            }
        };
        if let Err(reason) = done {
            self.refuse(file, directive.line, None, reason);
        }
    }

    fn default(&mut self, actions: &str) -> Result<(), String> {
        let actions = Actions::from_text(actions, &mut self.names)?;
        let phase = actions.phase.unwrap_or(2);
        self.defaults.insert(phase, (actions.verdict, actions.transforms));
        Ok(())
    }

    fn remove_by_ids(&mut self, file: &str, line: u32, ids: &[&str]) -> Result<(), String> {
        for ids in ids.iter().flat_map(|it| it.split([',', ' '])).filter(|it| !it.is_empty()) {
            let ids = action::ids(ids)?;
            self.update(file, line, RuleSelector::Ids(ids), None);
        }
        Ok(())
    }

    fn update(&mut self, file: &str, line: u32, rules: RuleSelector, targets: Option<String>) {
        let (excluded, added): (Vec<&str>, Vec<&str>) = match &targets {
            // What a whole rule loses has no target.
            None => (vec![""], Vec::new()),
            Some(targets) => targets.split([',', '|']).partition(|it| it.starts_with('!')),
        };
        let at = (file.to_owned(), line);
        if targets.is_some() && targets.as_ref().is_some_and(|it| it.contains('/')) {
            // A pattern may hold the signs at which targets are told apart; such a directive has one target.
            let text = targets.unwrap_or_default();
            let (target, added) = match text.strip_prefix('!') {
                Some(target) => (Some(target.to_owned()), None),
                None => (None, Some(text)),
            };
            self.updates.push(Update { exclusion: Exclusion { rules, target }, added, at });
            return;
        }
        for target in excluded {
            let target = target.strip_prefix('!').map(str::to_owned);
            let exclusion = Exclusion { rules: rules.clone(), target };
            self.updates.push(Update { exclusion, added: None, at: at.clone() });
        }
        if !added.is_empty() {
            let exclusion = Exclusion { rules, target: None };
            self.updates.push(Update { exclusion, added: Some(added.join("|")), at });
        }
    }

    fn rule(&mut self, file: &str, line: u32, test: Option<(&str, &str)>, actions: &str) {
        match self.link(file, line, test, actions) {
            Ok(link) => {
                self.open.is_expected = link.is_chained;
                self.open.links.push(link);
            }
            Err(reason) => {
                let is_chained = actions.split(',').any(|it| it.trim() == "chain");
                self.open.is_expected = is_chained;
                self.open.refusal.get_or_insert((line, reason));
            }
        }
        if !self.open.is_expected {
            self.close(file);
        }
    }

    fn link(&mut self, file: &str, line: u32, test: Option<(&str, &str)>, actions: &str) -> Result<Rule, String> {
        let actions = Actions::from_text(actions, &mut self.names)?;
        if self.open.links.is_empty() && self.open.refusal.is_none() {
            self.open.id = actions.id;
            self.open.phase = actions.phase;
        }
        let phase = self.open.phase.unwrap_or(2);
        if 2 < phase {
            return Err("not evaluated: response".to_owned());
        }
        let id = self.open.id.ok_or("a rule without an id")?;
        let mut targets = Targets::default();
        let (operator, is_negated) = match test {
            Some((text, operator)) => {
                targets.add(text)?;
                Operator::from_text(operator, self.data, &mut self.names)?
            }
            None => (Operator::Always, false),
        };
        let node = self.chains.place_of(&self.transforms_of(&actions, phase))?;
        let verdict = match actions.verdict {
            Verdict::Block => self.defaults.get(&phase).map_or(Verdict::Pass, |it| it.0),
            it => it,
        };
        Ok(rule((file, line), (id, phase), (targets, operator, is_negated), (node, verdict), actions))
    }

    fn transforms_of(&self, actions: &Actions, phase: u8) -> Vec<Transform> {
        let mut transforms = Vec::new();
        if actions.keeps_default_transforms {
            transforms.extend(self.defaults.get(&phase).into_iter().flat_map(|it| &it.1));
        }
        transforms.extend(&actions.transforms);
        transforms
    }

    /// Ends the open rule or chain of rules.
    fn close(&mut self, file: &str) {
        let open = std::mem::take(&mut self.open);
        if let Some((line, reason)) = open.refusal {
            self.refuse(file, line, open.id, reason);
            return;
        }
        if RULES_MAX < self.rules.len() + open.links.len() {
            let line = open.links.first().map_or(1, |it| it.at.1);
            self.refuse(file, line, open.id, format!("more than {RULES_MAX} rules"));
            return;
        }
        // Bounded by RULES_MAX.
        self.heads.push(u32::try_from(self.rules.len()).unwrap_or(u32::MAX));
        self.rules.extend(open.links);
    }

    fn finish(self) -> (RuleSet, Vec<Refused>) {
        let read = Read {
            rules: self.rules,
            heads: self.heads,
            markers: self.markers,
            updates: self.updates,
            names: self.names,
            chains: self.chains,
        };
        assemble::assemble(read, self.settings, self.refused)
    }
}

/// A rule from what was read of it.
fn rule(
    at: (&str, u32),
    (id, phase): (u32, u8),
    test: (Targets, Operator, bool),
    how: (Node, Verdict),
    does: Actions,
) -> Rule {
    let (targets, operator, is_negated) = test;
    let (node, verdict) = how;
    let change = |control| Change { control, rules: Box::default() };
    Rule {
        at: (at.0.into(), at.1),
        place: 0,
        id,
        phase,
        places: Vec::new(),
        targets,
        operator,
        is_negated,
        node,
        is_multi_match: does.is_multi_match,
        captures: does.captures,
        needs_groups: false,
        needs: None,
        assignments: does.assignments,
        controls: does.controls.into_iter().map(change).collect(),
        saying: Saying {
            is_silent: does.is_silent,
            message: does.message.unwrap_or_default(),
            message_text: does.message_text,
            tags: does.tags.into(),
            severity: does.severity,
        },
        is_chained: does.is_chained,
        verdict,
        next: None,
        skip_after: does.skip_after,
        skip_count: does.skip_count,
    }
}
