//! The admitter over a real store.

use std::collections::BTreeSet;
use std::net::IpAddr;

use backends::store::sqlite::SqliteStore;
use model::decision::{Basis, Brake, Origin};

use super::*;

struct Bench {
    folder: tempfile::TempDir,
    progress: Arc<Progress>,
}

impl Bench {
    fn new() -> Self {
        let progress = Arc::<Progress>::default();
        progress.done().clients = 1_000_000;
        Self { folder: tempfile::tempdir().unwrap(), progress }
    }

    fn open(&self) -> Admitter {
        Admitter::open(self.parts()).unwrap()
    }

    fn parts(&self) -> AdmitterParts {
        let store = SqliteStore::open(&self.folder.path().join("store.db")).unwrap();
        let monitor = (Network::parse("203.0.113.250").unwrap(), "the monitor".to_owned());
        AdmitterParts {
            store: Arc::new(store),
            board: Arc::default(),
            progress: self.progress.clone(),
            brakes: Brakes::default(),
            spared: vec![monitor],
            spares_local: true,
            find_crawler: Arc::new(|network| {
                let crawler = Network::parse("192.0.2.99").unwrap();
                network.overlaps(&crawler).then(|| (crawler, "googlebot".to_owned()))
            }),
            on_decided: Arc::new(|_| {}),
        }
    }
}

fn proposal(address: &str, origin: Origin) -> Proposal {
    Proposal {
        target: Target::Network(Network::parse(address).expect(address)),
        measure: Measure::Ban,
        origin,
        reason: "Brute force attack".into(),
        basis: Basis { rule_id: "bruteforce".into(), ..Basis::default() },
        lasts: Duration::from_secs(3600),
        actor: "anna".into(),
        is_spoofable: false,
        is_synthetic: false,
    }
}

fn standing(outcome: &Outcome) -> Option<Standing> {
    match outcome {
        Outcome::Decided(it) => Some(it.standing),
        _ => None,
    }
}

fn is_blocked(admitter: &Admitter, address: &str) -> bool {
    admitter.board().find(address.parse::<IpAddr>().unwrap(), now()).is_some()
}

fn decide(admitter: &Admitter, address: &str, origin: Origin) -> Outcome {
    admitter.decide(vec![proposal(address, origin)]).unwrap().remove(0)
}

fn ended(reason: &str) -> Ended {
    Ended { at: now(), actor: "anna".into(), reason: reason.into() }
}

#[test]
fn a_new_installation_counts_and_enforces_only_what_people_say() {
    let bench = Bench::new();
    let admitter = bench.open();
    assert_eq!(standing(&decide(&admitter, "203.0.113.7", Origin::Rule)), Some(Standing::DryRun));
    assert!(!is_blocked(&admitter, "203.0.113.7"));
    assert_eq!(standing(&decide(&admitter, "203.0.113.8", Origin::Manual)), Some(Standing::InForce));
    assert!(is_blocked(&admitter, "203.0.113.8"));
    admitter.set_mode(Mode::Live, "anna", "looked at the report").unwrap();
    assert_eq!(standing(&decide(&admitter, "203.0.113.7", Origin::Rule)), Some(Standing::InForce));
    assert_eq!(decide(&admitter, "203.0.113.7", Origin::Rule), Outcome::Covered);
    drop(admitter);
    let again = bench.open();
    assert_eq!(again.switches(), Switches { mode: Mode::Live, paused: None });
    assert!(is_blocked(&again, "203.0.113.7") && is_blocked(&again, "203.0.113.8"));
}

#[test]
fn nobody_blocks_who_is_spared_and_sparing_ends_what_is_in_force() {
    let bench = Bench::new();
    let admitter = bench.open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    for (address, origin) in
        [("203.0.113.250", Origin::Manual), ("203.0.113.0/24", Origin::Import), ("::1", Origin::Manual)]
    {
        assert!(matches!(decide(&admitter, address, origin), Outcome::Spared(..)), "{address}");
    }
    let held = decide(&admitter, "203.0.113.250", Origin::Rule);
    assert_eq!(standing(&held), Some(Standing::Held(Brake::NeverBlock)));
    let Outcome::Decided(held) = held else { panic!("{held:?}") };
    assert!(matches!(admitter.release(held.id, "anna", ""), Err(StoreError::Refused(_))));

    decide(&admitter, "198.51.100.7", Origin::Rule);
    decide(&admitter, "198.51.100.0/24", Origin::Manual);
    assert!(is_blocked(&admitter, "198.51.100.7"));
    let network = Network::parse("198.51.100.7").unwrap();
    let spared = Spared { network, reason: "my office".into(), actor: "anna".into(), created_at: now() };
    assert_eq!(admitter.spare(&spared).unwrap().len(), 2);
    assert!(!is_blocked(&admitter, "198.51.100.7") && !is_blocked(&admitter, "198.51.100.8"));
    assert!(matches!(decide(&bench.open(), "198.51.100.7", Origin::Manual), Outcome::Spared(..)));
    let admitter = bench.open();
    assert!(admitter.unspare(&network, "anna", "moved").unwrap());
    assert_eq!(standing(&decide(&admitter, "198.51.100.7", Origin::Manual)), Some(Standing::InForce));
}

#[test]
fn who_is_spared_since_the_last_start_is_blocked_no_longer() {
    let bench = Bench::new();
    let admitter = bench.open();
    decide(&admitter, "198.51.100.7", Origin::Manual);
    decide(&admitter, "198.51.100.8", Origin::Manual);
    drop(admitter);
    let parts = AdmitterParts {
        spared: vec![(Network::parse("198.51.100.7").unwrap(), "the new monitor".to_owned())],
        ..bench.parts()
    };
    let again = Admitter::open(parts).unwrap();
    again.end_spared().unwrap();
    let query = DecisionQuery { open_at: Some(now()), limit: 10, ..DecisionQuery::default() };
    let open: Vec<String> =
        again.parts.store.decisions(&query).unwrap().iter().map(|it| it.target.to_string()).collect();
    assert_eq!(open, ["198.51.100.8"]);
}

#[test]
fn nobody_blocks_a_verified_crawler_whoever_asks() {
    let admitter = Bench::new().open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    for (origin, target) in Origin::ALL.into_iter().flat_map(|it| [(it, "192.0.2.99"), (it, "192.0.2.0/24")]) {
        let outcome = decide(&admitter, target, origin);
        if origin.is_automatic() {
            assert_eq!(standing(&outcome), Some(Standing::Held(Brake::NeverBlock)), "{origin:?} {target}");
            let Outcome::Decided(held) = outcome else { panic!("{outcome:?}") };
            let refused = admitter.release(held.id, "anna", "");
            assert!(matches!(&refused, Err(StoreError::Refused(it)) if it.contains("(googlebot)")), "{refused:?}");
        } else {
            let crawler = Network::parse("192.0.2.99").unwrap();
            assert_eq!(outcome, Outcome::Spared(crawler, "a verified crawler (googlebot)".to_owned()), "{origin:?}");
        }
        assert!(!is_blocked(&admitter, "192.0.2.99"), "{origin:?} {target}");
    }
    assert_eq!(standing(&decide(&admitter, "192.0.2.98", Origin::Rule)), Some(Standing::InForce));
}

#[test]
fn whoever_is_found_to_be_a_crawler_later_is_let_go() {
    let admitter = Bench::new().open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    for (target, origin) in
        [("203.0.113.7", Origin::Rule), ("203.0.113.0/26", Origin::Manual), ("203.0.113.8", Origin::Rule)]
    {
        assert_eq!(standing(&decide(&admitter, target, origin)), Some(Standing::InForce), "{target}");
    }
    assert_eq!(admitter.end_of_crawler("203.0.113.7".parse().unwrap(), "bingbot").unwrap().len(), 2);
    assert!(!is_blocked(&admitter, "203.0.113.7") && is_blocked(&admitter, "203.0.113.8"));
    assert_eq!(admitter.end_of_crawler("203.0.113.7".parse().unwrap(), "bingbot").unwrap(), []);
}

#[test]
fn what_a_brake_holds_is_kept_told_once_an_hour_and_released_by_a_person() {
    let bench = Bench::new();
    bench.progress.done().clients = 0;
    let admitter = bench.open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    let many = (0..20).map(|it| proposal(&format!("203.0.113.{it}"), Origin::Rule)).collect();
    let outcomes = admitter.decide(many).unwrap();
    let in_force = outcomes.iter().filter(|it| standing(it) == Some(Standing::InForce)).count();
    assert_eq!(in_force, 5);
    assert!(!is_blocked(&admitter, "203.0.113.19"));
    decide(&admitter, "203.0.113.100", Origin::Rule);
    let alarms = admitter.parts.store.alerts(&backends::store::AlertQuery { limit: 10, ..Default::default() }).unwrap();
    let counts: Vec<_> = alarms.iter().map(|it| (it.alert.rule_id.as_str(), it.alert.count)).collect();
    assert_eq!(counts, [(crate::alarm::RULE, 16)]);
    let Outcome::Decided(held) = &outcomes[19] else { panic!("{:?}", outcomes[19]) };
    assert!(admitter.release(held.id, "anna", "an attack indeed").unwrap().is_some());
    assert!(is_blocked(&admitter, "203.0.113.19"));
    assert_eq!(admitter.release(held.id, "anna", "again").unwrap(), None);
    // The brakes know after a restart what was decided before it.
    drop(admitter);
    let again = bench.open();
    assert_eq!(standing(&decide(&again, "203.0.113.200", Origin::Rule)), Some(Standing::Held(Brake::Share)));
}

#[test]
fn one_call_ends_everything_about_a_target_and_the_audit_knows_who() {
    let bench = Bench::new();
    let admitter = bench.open();
    admitter.set_mode(Mode::Live, "boris", "").unwrap();
    let target = Target::read("ip", "203.0.113.7").unwrap();
    decide(&admitter, "203.0.113.7", Origin::Rule);
    decide(&admitter, "203.0.113.7", Origin::Manual);
    let other = Ended { actor: "fail2ban".into(), ..ended("over") };
    assert_eq!(admitter.end_target(&target, &other, true).unwrap(), []);
    assert_eq!(admitter.end_target(&target, &ended("a customer"), false).unwrap().len(), 2);
    assert!(!is_blocked(&admitter, "203.0.113.7"));
    assert_eq!(admitter.end_target(&target, &ended("again"), false).unwrap(), []);
    let audit = admitter.parts.store.audit(None, 10).unwrap();
    let lines: Vec<_> = audit.iter().map(|(_, it)| (it.action.as_str(), it.reason.as_str())).collect();
    assert_eq!(lines[0], ("decision.end", "a customer"));
    assert_eq!(admitter.parts.store.check_audit().unwrap(), None);
}

#[test]
fn paused_means_that_no_machine_decides_and_people_still_do() {
    let admitter = Bench::new().open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    admitter.set_paused(true, "anna", "a load test").unwrap();
    assert_eq!(admitter.switches().paused.as_deref(), Some("anna: a load test"));
    assert_eq!(standing(&decide(&admitter, "203.0.113.7", Origin::Rule)), Some(Standing::Held(Brake::Paused)));
    assert_eq!(standing(&decide(&admitter, "203.0.113.8", Origin::Manual)), Some(Standing::InForce));
    admitter.set_paused(false, "anna", "").unwrap();
    assert_eq!(standing(&decide(&admitter, "203.0.113.7", Origin::Rule)), Some(Standing::InForce));
}

#[test]
fn an_import_of_many_is_in_force_with_its_numbers() {
    let admitter = Bench::new().open();
    let all: Vec<Proposal> =
        (0..12_000).map(|it| proposal(&format!("11.{}.{}.7", it / 250, it % 250), Origin::Import)).collect();
    let outcomes = admitter.decide(all).unwrap();
    let ids: BTreeSet<u64> = outcomes
        .iter()
        .filter_map(|it| match it {
            Outcome::Decided(it) => Some(it.id.0),
            _ => None,
        })
        .collect();
    assert_eq!((ids.len(), admitter.board().count().0), (12_000, 12_000));
    assert!(is_blocked(&admitter, "11.47.249.7"));
}

#[test]
fn equal_lines_of_a_list_are_one_decision() {
    let admitter = Bench::new().open();
    let mut all = vec![proposal("203.0.113.7", Origin::Import); 12_000];
    all.push(Proposal { lasts: Duration::from_secs(7200), ..proposal("203.0.113.7", Origin::Import) });
    all.push(Proposal { measure: Measure::Captcha, ..proposal("203.0.113.7", Origin::Import) });
    let outcomes = admitter.decide(all).unwrap();
    let decided = outcomes.iter().filter(|it| matches!(it, Outcome::Decided(_))).count();
    // The first, and the one that lasts longer; what is milder than what is in force adds nothing.
    assert_eq!((decided, outcomes.len(), admitter.board().count().0), (2, 12_002, 2));
    assert!(outcomes[1..12_000].iter().all(|it| *it == Outcome::Covered));
}

#[test]
fn who_has_lost_the_lead_decides_nothing_more() {
    let bench = Bench::new();
    let (old, new) = (bench.open(), bench.open());
    for admitter in [&old, &new] {
        assert_eq!(standing(&decide(admitter, "203.0.113.6", Origin::Manual)), Some(Standing::InForce));
    }
    let refused = old.decide(vec![proposal("203.0.113.7", Origin::Manual)]);
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert!(!is_blocked(&old, "203.0.113.7"));
    assert_eq!(standing(&decide(&new, "203.0.113.7", Origin::Manual)), Some(Standing::InForce));
}

#[test]
fn a_week_of_dry_run_is_told_once() {
    let bench = Bench::new();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let open = || {
        let admitter = bench.open();
        let told = told.clone();
        admitter.announce_by(Announcers {
            alarm: Arc::new(move |it| {
                told.lock().unwrap().push(it.details.clone());
                Vec::new()
            }),
            decision: Arc::new(|_| Vec::new()),
        });
        admitter
    };
    let admitter = open();
    let later = |days: u64| now().plus(Duration::from_secs(days * 86_400));
    assert!(!admitter.tell_of_dry_run(later(30)).unwrap(), "there is nothing to tell of");
    let synthetic = Proposal { is_synthetic: true, ..proposal("203.0.113.1", Origin::Rule) };
    admitter.decide(vec![synthetic]).unwrap();
    assert!(!admitter.tell_of_dry_run(later(30)).unwrap(), "demo data is none of it");
    for address in ["203.0.113.7", "203.0.113.8"] {
        let mut dry = proposal(address, Origin::Rule);
        dry.basis.user_agent = "Uptime/2.0".into();
        admitter.decide(vec![dry]).unwrap();
    }
    assert!(!admitter.tell_of_dry_run(later(6)).unwrap());
    assert!(admitter.tell_of_dry_run(later(7)).unwrap());
    assert!(!admitter.tell_of_dry_run(later(8)).unwrap());
    drop(admitter);
    let again = open();
    assert!(!again.tell_of_dry_run(later(9)).unwrap());
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("blocked 2 addresses") && told[0].contains("2 of them calling themselves `Uptime/2.0`"),
        "{told:?}"
    );
    let alerts = again.parts.store.alerts(&backends::store::AlertQuery { limit: 10, ..Default::default() }).unwrap();
    assert_eq!(alerts.iter().map(|it| it.alert.rule_id.as_str()).collect::<Vec<_>>(), [crate::alarm::RULE_DRY_RUN]);
}

#[test]
fn nothing_is_told_of_dry_run_once_rules_block() {
    let admitter = Bench::new().open();
    decide(&admitter, "203.0.113.7", Origin::Rule);
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    assert!(!admitter.tell_of_dry_run(now().plus(2 * WEEK)).unwrap());
}

#[test]
fn demo_data_is_never_released() {
    let admitter = Bench::new().open();
    for mode in [Mode::DryRun, Mode::Live] {
        admitter.set_mode(mode, "anna", "").unwrap();
        let address = format!("203.0.113.{}", mode as u8);
        let synthetic = Proposal { is_synthetic: true, ..proposal(&address, Origin::Rule) };
        let Outcome::Decided(decision) = admitter.decide(vec![synthetic]).unwrap().remove(0) else { panic!() };
        assert_eq!(decision.standing, Standing::DryRun);
        let refused = admitter.release(decision.id, "anna", "I mean it");
        assert!(matches!(&refused, Err(StoreError::Refused(it)) if it.contains("demo data")), "{refused:?}");
        assert!(!is_blocked(&admitter, &address));
    }
}

#[test]
fn a_release_tells_destinations() {
    let admitter = Bench::new().open();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let telling = told.clone();
    admitter.announce_by(Announcers {
        alarm: Arc::new(|_| Vec::new()),
        decision: Arc::new(move |it| {
            telling.lock().unwrap().push(format!("{} {}", it.target, it.standing.as_str()));
            Vec::new()
        }),
    });
    let Outcome::Decided(dry) = decide(&admitter, "203.0.113.7", Origin::Rule) else { panic!() };
    told.lock().unwrap().clear();
    assert!(admitter.release(dry.id, "anna", "an attack indeed").unwrap().is_some());
    assert_eq!(*told.lock().unwrap(), ["203.0.113.7 in_force"]);
}

#[test]
fn a_file_that_is_imported_twice_repeats_nothing() {
    let bench = Bench::new();
    let admitter = bench.open();
    let list = || (0..3000).map(|it| proposal(&format!("11.{}.{}.7", it / 250, it % 250), Origin::Import)).collect();
    let decided = |outcomes: Vec<Outcome>| outcomes.iter().filter(|it| matches!(it, Outcome::Decided(_))).count();
    assert_eq!(decided(admitter.decide(list()).unwrap()), 3000);
    let changed = admitter.board().count();
    assert_eq!(decided(admitter.decide(list()).unwrap()), 0);
    drop(admitter);
    let again = bench.open();
    assert_eq!(decided(again.decide(list()).unwrap()), 0);
    assert_eq!(again.board().count(), changed);
}

#[test]
fn many_imports_take_nothing_from_the_brakes_of_machines_after_a_restart() {
    let bench = Bench::new();
    bench.progress.done().clients = 0;
    let admitter = bench.open();
    admitter.set_mode(Mode::Live, "anna", "").unwrap();
    (0..3).for_each(|it| drop(decide(&admitter, &format!("203.0.113.{it}"), Origin::Rule)));
    let list = (0..12_000).map(|it| proposal(&format!("11.{}.{}.7", it / 250, it % 250), Origin::Import)).collect();
    admitter.decide(list).unwrap();
    drop(admitter);
    let again = bench.open();
    // Three of five are used up, whatever was imported behind them.
    let standings: Vec<_> =
        (10..13).map(|it| standing(&decide(&again, &format!("203.0.113.{it}"), Origin::Rule))).collect();
    let held = Some(Standing::Held(Brake::Share));
    assert_eq!(standings, [Some(Standing::InForce), Some(Standing::InForce), held]);
}

#[test]
fn whoever_is_spared_no_longer_stays_free_until_somebody_decides_again_and_that_is_told() {
    let bench = Bench::new();
    let admitter = bench.open();
    decide(&admitter, "198.51.100.7", Origin::Manual);
    drop(admitter);
    let office = (Network::parse("198.51.100.7").unwrap(), "the office".to_owned());
    let spared = Admitter::open(AdmitterParts { spared: vec![office], ..bench.parts() }).unwrap();
    spared.end_spared().unwrap();
    drop(spared);
    let again = bench.open();
    again.end_spared().unwrap();
    let before = again.board().since(None, now());
    assert_eq!(before.added, []);
    decide(&again, "198.51.100.7", Origin::Manual);
    let news = again.board().since(Some(before.next), now());
    assert_eq!(news.added.iter().map(|it| it.target.to_string()).collect::<Vec<_>>(), ["198.51.100.7"]);
}
