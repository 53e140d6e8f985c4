//! The state of detection.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use detection::engine::Engine;
use detection::rules::{EngineSettings, RuleFile, Rules};
use detection::snapshot::Decoder;
use detection::window::table::Bounds;

static RULES: LazyLock<Arc<Rules>> = LazyLock::new(|| {
    let file = |name: &str, text: &str| RuleFile { name: name.to_owned(), text: text.to_owned() };
    let files = [
        file("bruteforce.yml", include_str!("../../rules/http/bruteforce.yml")),
        file("bruteforce-consecutive.yml", include_str!("../../rules/http/bruteforce-consecutive.yml")),
        file("http-distinct-paths.yml", include_str!("../../rules/http/http-distinct-paths.yml")),
    ];
    Arc::new(Rules::compile(&files, &BTreeMap::new(), EngineSettings::default()).0)
});

fuzz_target!(|bytes: &[u8]| {
    let mut engine = Engine::new(RULES.clone(), Bounds { keys_max: 100, seeds_max: 100 });
    let _ = engine.decode(&mut Decoder::new(bytes));
    let mut changes = Vec::new();
    engine.take(&mut changes);
});
