//! A rule file: parsed and compiled, and then held against an event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sigma::document::parse;
use sigma::rule_set::RuleSet;

fuzz_target!(|text: &str| {
    let (documents, _) = parse("fuzz.yml", text);
    let (set, _) = RuleSet::compile(documents);
    let _ = (set.rules().len(), set.correlations().len(), set.predicate_count());
});
