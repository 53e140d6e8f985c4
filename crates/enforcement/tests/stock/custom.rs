//! `crowdsec-custom-bouncer`: a program is called once for each decision.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use decision::board::Board;
use model::decision::{Decision, Measure};

use crate::support::{Api, Client, ban, is_inside, wait_until};

const BOUNCER: &str = "crowdsec-custom-bouncer";

#[test]
fn the_program_is_called_for_what_is_added_and_for_what_is_over() {
    if !is_inside("custom::the_program_is_called_for_what_is_added_and_for_what_is_over", &[BOUNCER]) {
        return;
    }
    let api = Api::start(Arc::new(Board::default()));
    let folder = api.folder.path();
    let (program, calls) = (folder.join("called"), folder.join("calls"));
    fs::write(&program, format!("#!/bin/sh\necho \"$1 $2 $3 $4\" >> {}\n", calls.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "bin_path: {}\nfeed_via_stdin: false\ntotal_retries: 0\nscenarios_containing: []\nscenarios_not_containing: []\n\
         origins: []\npiddir: {1}/\nupdate_frequency: 1s\ncache_retention_duration: 10s\ndaemonize: false\n\
         log_mode: stdout\nlog_dir: {1}/\nlog_level: info\napi_url: http://127.0.0.1:7071/\napi_key: custom\n\
         prometheus:\n  enabled: false\n",
        program.display(),
        folder.display()
    );
    let _bouncer = Client::start(BOUNCER, &config, folder);
    let throttle = Decision { measure: Measure::Throttle, ..ban(3, "203.0.113.9", Duration::from_secs(600)) };
    api.apply(&[
        ban(1, "203.0.113.7", Duration::from_secs(5)),
        ban(2, "2001:db8:1::/48", Duration::from_secs(600)),
        throttle,
    ]);
    let called = || fs::read_to_string(&calls).unwrap_or_default();
    wait_until("both were added", || called().lines().filter(|it| it.starts_with("add ")).count() == 2);
    assert!(called().contains("add 2001:db8:1::/48 "), "{}", called());
    assert!(called().contains(" bartizan/bruteforce\n"), "{}", called());
    wait_until("the short one is over", || called().contains("del 203.0.113.7 -"));
    assert!(!called().contains("203.0.113.9"), "{}", called());
}
