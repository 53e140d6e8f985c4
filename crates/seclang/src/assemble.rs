//! From what was read to a set that runs: exclusions, paranoia level, markers, prefilter.

use std::collections::HashMap;

use crate::action::{Assignment, Change, Control};
use crate::chains::Chains;
use crate::load::{OF_SETTINGS, Refused};
use crate::operator::Operator;
use crate::prefilter::{Classes, Prefilter};
use crate::rule::Rule;
use crate::rule_set::{RuleSet, Step};
use crate::settings::{Exclusion, RuleSelector, Settings};
use crate::target::{Collection, Part, Selector, Target};
use crate::template::Template;
use crate::transaction::Names;

/// The tags that say from which paranoia level on a rule runs begin so.
const LEVEL_TAG: &str = "paranoia-level/";

/// What was read of files.
pub(crate) struct Read {
    /// Rules; the links of a chain follow its first.
    pub(crate) rules: Vec<Rule>,
    /// The first links.
    pub(crate) heads: Vec<u32>,
    /// For each marker, how many first links come before it.
    pub(crate) markers: HashMap<Box<str>, usize>,
    /// What directives change about rules.
    pub(crate) updates: Vec<Update>,
    /// The names of variables.
    pub(crate) names: Names,
    /// The chains of transformations.
    pub(crate) chains: Chains,
}

/// What a directive changes about rules.
pub(crate) struct Update {
    /// Which rules, and what they shall not look at.
    pub(crate) exclusion: Exclusion,
    /// Targets that are added instead.
    pub(crate) added: Option<String>,
    /// The file and the line of the directive.
    pub(crate) at: (String, u32),
}

/// Makes the set. What cannot be done is added to `refused`.
pub(crate) fn assemble(mut read: Read, settings: &Settings, mut refused: Vec<Refused>) -> (RuleSet, Vec<Refused>) {
    let mut is_removed = vec![false; read.rules.len()];
    let updates = std::mem::take(&mut read.updates);
    let chosen = (1..).zip(&settings.exclusions).map(|(line, it)| Update {
        exclusion: it.clone(),
        added: None,
        at: (OF_SETTINGS.to_owned(), line),
    });
    for update in updates.into_iter().chain(chosen) {
        if let Err(reason) = apply(&update, &mut read, &mut is_removed) {
            refused.push(Refused { file: update.at.0, line: update.at.1, rule: None, reason });
        }
    }
    refuse_lost_skips(&read, &mut is_removed, &mut refused);
    let initial = initial_values(&mut read, settings);
    let level = settings.paranoia_level.map_or_else(|| level_of(&read, &initial), i64::from);
    let mut left_out = 0;
    for head in &read.heads {
        let is_above = level < required_level(&read.rules[*head as usize]);
        left_out += usize::from(is_above && !is_removed[*head as usize]);
        is_removed[*head as usize] |= is_above;
    }
    for (place, rule) in (0..).zip(&mut read.rules) {
        rule.place = place;
    }
    find_places(&mut read);
    find_groups(&mut read);
    resolve_controls(&mut read);
    let phases = [1, 2].map(|phase| phase_list(phase, &read, &is_removed));
    link_skips(&mut read, &phases);
    let needs = find_needs(&mut read, &phases);
    let prefilter = Prefilter::new(needs);
    let running: Vec<Rule> = phases.iter().flatten().map(|it| read.rules[*it as usize].clone()).collect();
    let classes = Classes::new(&running, &read.chains, prefilter.words());
    let step = |head: &u32| {
        let needs = read.rules[*head as usize].needs;
        Step { head: *head, literals: needs.filter(|it| prefilter.has_literals(*it)) }
    };
    let phases = phases.map(|it| it.iter().map(step).collect());
    let set = RuleSet {
        rules: read.rules,
        phases,
        score_place: read.names.place_of("blocking_inbound_anomaly_score"),
        names: read.names,
        chains: read.chains,
        prefilter,
        classes,
        initial,
        left_out,
    };
    (set, refused)
}

/// Whether `rules` means this rule.
fn selects(rules: &RuleSelector, rule: &Rule) -> bool {
    match rules {
        RuleSelector::Ids(ids) => ids.contains(&rule.id),
        RuleSelector::Tag(tag) => rule.saying.tags.iter().any(|it| it.eq_ignore_ascii_case(tag)),
        RuleSelector::Message(message) => rule.saying.message_text.contains(message.as_str()),
    }
}

fn apply(update: &Update, read: &mut Read, is_removed: &mut [bool]) -> Result<(), String> {
    let rules = &update.exclusion.rules;
    let meant: Vec<u32> = read.heads.iter().copied().filter(|it| selects(rules, &read.rules[*it as usize])).collect();
    if meant.is_empty() {
        return Err(format!("no rule is meant by {rules:?}"));
    }
    for head in meant {
        let head = head as usize;
        match (&update.exclusion.target, &update.added) {
            (_, Some(added)) => read.rules[head].targets.add(added)?,
            (None, None) => is_removed[head] = true,
            (Some(target), None) => {
                let part = Part::from_text(target)?;
                for at in chain(&read.rules, head) {
                    read.rules[at].targets.excluded.push(part.clone());
                }
            }
        }
    }
    Ok(())
}

/// The links of the chain that begins at `head`.
fn chain(rules: &[Rule], head: usize) -> std::ops::RangeInclusive<usize> {
    let more = rules[head..].iter().take_while(|it| it.is_chained).count();
    head..=(head + more).min(rules.len() - 1)
}

/// Refuses rules that skip to a marker that does not exist.
fn refuse_lost_skips(read: &Read, is_removed: &mut [bool], refused: &mut Vec<Refused>) {
    for head in &read.heads {
        let rule = &read.rules[*head as usize];
        let Some(marker) = rule.skip_after.as_ref().filter(|it| !read.markers.contains_key(*it)) else { continue };
        is_removed[*head as usize] = true;
        let reason = format!("the marker `{marker}` does not exist");
        refused.push(Refused { file: rule.at.0.to_string(), line: rule.at.1, rule: Some(rule.id), reason });
    }
}

/// What variables are before the first rule: what the settings say, which rules then cannot change.
fn initial_values(read: &mut Read, settings: &Settings) -> Vec<(u32, i64)> {
    let mut initial = Vec::new();
    let level = settings.paranoia_level.map(i64::from);
    let threshold = settings.anomaly_threshold.map(i64::from);
    let chosen = [
        ("blocking_paranoia_level", level),
        ("detection_paranoia_level", level),
        ("inbound_anomaly_score_threshold", threshold),
    ];
    for (name, value) in chosen {
        let Some(value) = value else { continue };
        let place = read.names.place_of(name);
        initial.push((place, value));
        for rule in &mut read.rules {
            rule.assignments.retain(|it| !matches!(it.place, Ok(it) if it == place));
        }
    }
    // The Core Rule Set refuses everything unless its set-up file is there; the settings take its place.
    let version = read.names.place_of("crs_setup_version");
    if !read.rules.iter().flat_map(|it| &it.assignments).any(|it| matches!(it.place, Ok(it) if it == version)) {
        initial.push((version, 1));
    }
    initial
}

/// The paranoia level that the files choose.
fn level_of(read: &Read, initial: &[(u32, i64)]) -> i64 {
    let level_places: Vec<u32> = ["blocking_paranoia_level", "detection_paranoia_level"]
        .iter()
        .filter_map(|it| read.names.find(it.as_bytes()))
        .filter(|place| initial.iter().all(|it| it.0 != *place))
        .collect();
    let level = |it: &Assignment| match (&it.place, &it.change) {
        (Ok(place), Change::Set(value)) if level_places.contains(place) => {
            value.constant().map(crate::operator::number)
        }
        _ => None,
    };
    read.rules.iter().flat_map(|it| &it.assignments).filter_map(level).max().unwrap_or(1)
}

/// The paranoia level from which on a rule runs.
fn required_level(rule: &Rule) -> i64 {
    let level = |tag: &str| tag.strip_prefix(LEVEL_TAG).map(|it| crate::operator::number(it.as_bytes()));
    rule.saying.tags.iter().filter_map(|it| level(it)).max().unwrap_or(0)
}

/// Finds out which variables targets mean.
fn find_places(read: &mut Read) {
    for rule in &mut read.rules {
        let names = &mut read.names;
        rule.places = rule.targets.included.iter().map(|it| places_of(it, names)).collect();
    }
}

fn places_of(target: &Target, names: &mut Names) -> Vec<u32> {
    if target.part.collections != [Collection::Tx] {
        return Vec::new();
    }
    match &target.part.selector {
        Selector::Name(name) => vec![names.place_of(&String::from_utf8_lossy(name))],
        // Places that come up later are names that no rule has assigned to so far, or cannot match what is made.
        selector => (0..names.len())
            .filter_map(|it| u32::try_from(it).ok())
            .filter(|it| selector.selects(names.name(*it)))
            .collect(),
    }
}

/// Finds out which patterns are asked for their groups.
fn find_groups(read: &mut Read) {
    let mut is_asked_afar = false;
    for head in read.heads.clone() {
        let links = chain(&read.rules, head as usize);
        let uses = read.rules[links.clone()].iter().any(uses_groups);
        let captures = read.rules[links.clone()].iter().any(|it| it.captures);
        is_asked_afar |= uses && !captures;
        for rule in &mut read.rules[links] {
            rule.needs_groups = uses && rule.captures;
        }
    }
    if is_asked_afar {
        for rule in &mut read.rules {
            rule.needs_groups = rule.captures;
        }
    }
}

fn uses_groups(rule: &Rule) -> bool {
    let in_target = rule.places.iter().flatten().any(|it| (1..=9).contains(it));
    let in_assignment = rule.assignments.iter().any(|it| {
        let value = match &it.change {
            Change::Set(it) | Change::Add(it) | Change::Subtract(it) => it.uses_groups(),
            Change::Unset => false,
        };
        value || it.place.as_ref().is_err_and(Template::uses_groups)
    });
    let in_operator = match &rule.operator {
        Operator::Number(_, it) | Operator::Text(_, it) => it.uses_groups(),
        _ => false,
    };
    in_target || in_assignment || in_operator || rule.saying.message.uses_groups()
}

/// Finds the rules that other rules switch off.
fn resolve_controls(read: &mut Read) {
    let meant = |rules: &RuleSelector| -> Box<[u32]> {
        read.heads.iter().copied().filter(|it| selects(rules, &read.rules[*it as usize])).collect()
    };
    let mut found = Vec::new();
    for (at, rule) in read.rules.iter().enumerate() {
        for (nth, change) in rule.controls.iter().enumerate() {
            if let Control::RemoveRules(rules) | Control::RemoveTarget(rules, _) = &change.control {
                found.push((at, nth, meant(rules)));
            }
        }
    }
    for (at, nth, rules) in found {
        read.rules[at].controls[nth].rules = rules;
    }
}

/// The first links that run in a phase.
fn phase_list(phase: u8, read: &Read, is_removed: &[bool]) -> Vec<u32> {
    let runs = |it: &u32| read.rules[*it as usize].phase == phase && !is_removed[*it as usize];
    read.heads.iter().copied().filter(runs).collect()
}

/// Says for each rule that skips where its phase goes on.
fn link_skips(read: &mut Read, phases: &[Vec<u32>; 2]) {
    for list in phases {
        for (at, head) in list.iter().enumerate() {
            let rule = &read.rules[*head as usize];
            let next = match &rule.skip_after {
                Some(marker) => {
                    let heads_before = read.markers.get(marker).copied().unwrap_or(usize::MAX);
                    let first = read.heads.get(heads_before).copied().unwrap_or(u32::MAX);
                    // A marker that came before is not met again.
                    if first <= *head { list.len() } else { list.partition_point(|it| *it < first) }
                }
                None if 0 < rule.skip_count => at + 1 + rule.skip_count as usize,
                None => continue,
            };
            read.rules[*head as usize].next = Some(u32::try_from(next).unwrap_or(u32::MAX));
        }
    }
}

/// Gives each rule that can be spared a place in the prefilter; returns their needs.
fn find_needs(read: &mut Read, phases: &[Vec<u32>; 2]) -> Vec<crate::needs::Needs> {
    let mut all = Vec::new();
    for head in phases.iter().flatten() {
        let rule = &mut read.rules[*head as usize];
        let is_of_request = |it: &Target| !it.is_count && it.part.collections.iter().all(|it| it.is_stored());
        let Some(needs) = rule.operator.needs().filter(|_| !rule.is_negated) else { continue };
        if rule.targets.included.iter().all(is_of_request) {
            rule.needs = u32::try_from(all.len()).ok();
            all.push(needs.clone());
        }
    }
    all
}
