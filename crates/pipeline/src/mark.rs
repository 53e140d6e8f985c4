//! What the doors write on an event before it is appended: what was known of its client then.
//!
//! It is written once and read from the log ever after, so a replay comes to the same alerts whatever is known by then.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use decision::board::Board;
use model::decision::Measure;
use model::event::{EventView, TextField, append_text};
use model::intake::Events;
use model::time::Timestamp;

/// The answer to whoever is banned.
const FORBIDDEN: u16 = 403;
/// The answer to whoever is throttled, or banned by an enforcer that knows nothing else.
const TOO_MANY_REQUESTS: u16 = 429;

/// What is known of the crawler that a client calls itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The address belongs to the operator of this crawler.
    Verified(&'static str),
    /// It does not.
    False(&'static str),
}

/// What is known of clients. No answer waits for anything.
pub trait Clients: Send + Sync {
    /// Whether there is nothing to ask: then no event is looked at.
    fn is_idle(&self) -> bool;

    /// What is known of the claim in `user_agent`, sent from `address`; `None` without a claim, and while nothing is known.
    fn claim(&self, user_agent: &str, address: IpAddr) -> Option<Claim>;

    /// What a list says of `user_agent`, in a word.
    fn kind(&self, user_agent: &str) -> Option<&'static str>;
}

/// Writes on events what is known.
#[derive(Clone)]
pub struct Marker {
    board: Arc<Board>,
    clients: Arc<dyn Clients>,
}

impl Marker {
    /// Asks `board` who is kept out, and `clients` who somebody is.
    #[must_use]
    pub fn new(board: Arc<Board>, clients: Arc<dyn Clients>) -> Self {
        Self { board, clients }
    }

    /// Writes on each of `events` what is known at `now`, the time of their receipt.
    pub fn mark(&self, events: &mut Events, now: Timestamp) {
        let asks_board = 0 < self.board.count().0;
        if !asks_board && self.clients.is_idle() {
            return;
        }
        let mut marked = Events::default();
        let mut read = 0;
        for (at, event) in events.iter().enumerate() {
            let marks = EventView::of(event).map(|it| self.marks_of(&it, asks_board, now)).unwrap_or_default();
            if marks.iter().all(Option::is_none) {
                continue;
            }
            // What stands before it is copied whole.
            copy(events, read..at, &mut marked);
            marked.bytes.extend_from_slice(event);
            marks.iter().flatten().for_each(|(field, value)| append_text(&mut marked.bytes, *field, value));
            marked.close();
            read = at + 1;
        }
        if 0 < read {
            copy(events, read..events.len(), &mut marked);
            *events = marked;
        }
    }

    fn marks_of(
        &self,
        event: &EventView<'_>,
        asks_board: bool,
        now: Timestamp,
    ) -> [Option<(TextField, &'static str)>; 3] {
        let Some(address) = event.client_ip.filter(|_| !event.is_finding()) else { return [None; 3] };
        let is_enforced = asks_board
            && event.text(TextField::Enforced).is_none()
            && event.status_code.is_some_and(|it| self.is_enforced(it, address, now));
        let agent = event.text(TextField::UserAgent).filter(|_| !self.clients.is_idle());
        let claim = agent.and_then(|it| self.clients.claim(it, address)).map(|it| match it {
            Claim::Verified(name) => (TextField::VerifiedCrawler, name),
            Claim::False(name) => (TextField::FalseCrawler, name),
        });
        let kind = agent.and_then(|it| self.clients.kind(it)).map(|it| (TextField::Client, it));
        [is_enforced.then_some((TextField::Enforced, "true")), claim, kind]
    }

    /// Whether an answer is what a decision about `address` makes of a request. Whoever is throttled is not forbidden anything:
    /// a 403 to him is the site's own.
    fn is_enforced(&self, status: u16, address: IpAddr, now: Timestamp) -> bool {
        let makes = |measure: Measure| match status {
            FORBIDDEN => measure != Measure::Throttle,
            TOO_MANY_REQUESTS => true,
            _ => false,
        };
        matches!(status, FORBIDDEN | TOO_MANY_REQUESTS)
            && self.board.find(address, now).is_some_and(|it| makes(it.measure))
    }
}

/// Copies the events of `range` to the end of `out`, which holds at least as many bytes as stand before them.
fn copy(events: &Events, range: Range<usize>, out: &mut Events) {
    let start = range.start.checked_sub(1).map_or(0, |it| events.ends[it]);
    let ends = &events.ends[range];
    let Some(end) = ends.last() else { return };
    let shift = out.bytes.len() as u32 - start;
    out.bytes.extend_from_slice(&events.bytes[start as usize..*end as usize]);
    out.ends.extend(ends.iter().map(|it| it + shift));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use detection::engine::Engine;
    use detection::rules::{EngineSettings, RuleFile, Rules};
    use detection::window::table::Bounds;
    use model::decision::{Basis, Decision, DecisionId, Origin, Standing, Target};
    use model::event::EventWriter;
    use model::id::EventId;
    use model::network::Network;

    use super::*;

    const NOON: Timestamp = Timestamp(1_795_262_400_000_000_000);

    /// Knows one crawler by its address.
    struct One;

    impl Clients for One {
        fn is_idle(&self) -> bool {
            false
        }

        fn claim(&self, user_agent: &str, address: IpAddr) -> Option<Claim> {
            let is_real = address == IpAddr::from([198, 51, 100, 1]);
            let claim = if is_real { Claim::Verified("googlebot") } else { Claim::False("googlebot") };
            user_agent.contains("Googlebot").then_some(claim)
        }

        fn kind(&self, user_agent: &str) -> Option<&'static str> {
            user_agent.contains("Plain").then_some("crawler")
        }
    }

    struct Nobody;

    impl Clients for Nobody {
        fn is_idle(&self) -> bool {
            true
        }

        fn claim(&self, _: &str, _: IpAddr) -> Option<Claim> {
            unreachable!("nobody is asked who knows nothing")
        }

        fn kind(&self, _: &str) -> Option<&'static str> {
            None
        }
    }

    fn board(address: &str) -> Arc<Board> {
        board_of(address, Measure::Ban)
    }

    fn board_of(address: &str, measure: Measure) -> Arc<Board> {
        let board = Arc::<Board>::default();
        let decision = Decision {
            id: DecisionId(1),
            target: Target::Network(Network::parse(address).unwrap()),
            measure,
            origin: Origin::Rule,
            reason: String::new(),
            basis: Basis::default(),
            actor: String::new(),
            created_at: NOON,
            expires_at: NOON.plus(Duration::from_secs(60)),
            standing: Standing::InForce,
            ended: None,
            is_synthetic: false,
            changed: 1,
        };
        board.apply(&[decision], NOON);
        board
    }

    fn events(of: &[(&str, u16, &str)]) -> Events {
        let mut events = Events::default();
        for (at, (address, status, agent)) in of.iter().enumerate() {
            let time = NOON.plus(Duration::from_millis(at as u64));
            EventWriter::new(&mut events.bytes, EventId(at as u128), time, Some(time), 0)
                .client_ip(address.parse().unwrap())
                .status_code(*status)
                .text(TextField::Category, "webserver")
                .text(TextField::Path, &format!("/{at}"))
                .text(TextField::UserAgent, agent);
            events.close();
        }
        events
    }

    #[track_caller]
    fn check(marker: &Marker, seconds: u64, of: &[(&str, u16, &str)], expected: &[&[&str]]) {
        let mut events = events(of);
        marker.mark(&mut events, NOON.plus(Duration::from_secs(seconds)));
        let marks = |it: &[u8]| -> Vec<String> {
            let view = EventView::of(it).unwrap();
            let told = TextField::MARKS.iter().filter_map(|(name, field)| Some((name, view.text(*field)?)));
            told.map(|(name, value)| format!("{}={value}", name.trim_start_matches("http."))).collect()
        };
        assert_eq!(events.iter().map(marks).collect::<Vec<_>>(), expected);
        for (at, event) in events.iter().enumerate() {
            assert_eq!(EventView::of(event).unwrap().text(TextField::Path), Some(format!("/{at}").as_str()));
        }
    }

    #[test]
    fn refusals_of_whoever_is_kept_out_are_marked_and_nothing_else() {
        let marker = Marker::new(board("203.0.113.7"), Arc::new(Nobody));
        let kept_out = "203.0.113.7";
        let of = [
            ("203.0.113.8", 403, ""),
            (kept_out, 403, ""),
            (kept_out, 200, ""),
            (kept_out, 429, ""),
            (kept_out, 401, ""),
            ("::ffff:203.0.113.7", 403, ""),
            ("203.0.113.8", 200, ""),
        ];
        let marked: &[&str] = &["enforced=true"];
        check(&marker, 59, &of, &[&[], marked, &[], marked, &[], marked, &[]]);
        check(&marker, 60, &of, &[&[] as &[&str]; 7]);
    }

    #[test]
    fn a_throttle_forbids_nothing_so_403_is_the_sites_own() {
        let marker = Marker::new(board_of("203.0.113.0/24", Measure::Throttle), Arc::new(Nobody));
        let of = [("203.0.113.7", 403, ""), ("203.0.113.7", 429, ""), ("203.0.114.7", 429, "")];
        check(&marker, 0, &of, &[&[], &["enforced=true"], &[]]);
    }

    #[test]
    fn what_is_known_of_the_client_is_written_beside_it() {
        let marker = Marker::new(board("198.51.100.1"), Arc::new(One));
        let of = [
            ("198.51.100.1", 403, "Googlebot/2.1"),
            ("198.51.100.2", 403, "Googlebot/2.1"),
            ("198.51.100.2", 200, "Plain"),
            ("198.51.100.2", 200, "Firefox"),
        ];
        let expected: [&[&str]; 4] =
            [&["verified_crawler=googlebot", "enforced=true"], &["false_crawler=googlebot"], &["client=crawler"], &[]];
        check(&marker, 0, &of, &expected);
        check(&Marker::new(Arc::default(), Arc::new(Nobody)), 0, &of, &[&[] as &[&str]; 4]);
    }

    const RULE: &str = "\
title: Refused
name: refused-base
logsource: {category: webserver}
detection:
  selection: {status_code: 403}
  enforced: {http.enforced|exists: true}
  condition: selection and not enforced
---
title: Many refusals
name: refused
level: medium
correlation: {type: event_count, rules: [refused-base], group-by: [client_ip], timespan: 60s, condition: {gte: 5}}
";

    /// How many refusals the alerts count when `events` are detected on.
    fn counted(events: &Events) -> u64 {
        let file = RuleFile { name: "refused.yml".to_owned(), text: RULE.to_owned() };
        let (rules, errors) = Rules::compile(&[file], &Default::default(), EngineSettings::default());
        assert!(errors.is_empty(), "{errors:?}");
        let mut engine = Engine::new(Arc::new(rules), Bounds::default());
        let mut changes = Vec::new();
        for (at, event) in events.iter().enumerate() {
            engine.process(&EventView::of(event).unwrap(), at as u64);
        }
        engine.take(&mut changes);
        changes.iter().map(|it| it.counted.count).max().unwrap_or_default()
    }

    #[test]
    fn whoever_is_kept_out_and_goes_on_raises_nothing_further() {
        let hammering = || events(&[("203.0.113.7", 403, "curl"); 50]);
        let mut before = hammering();
        Marker::new(Arc::default(), Arc::new(Nobody)).mark(&mut before, NOON);
        assert_eq!(counted(&before), 50);
        let mut after = hammering();
        Marker::new(board("203.0.113.7"), Arc::new(Nobody)).mark(&mut after, NOON);
        assert_eq!(counted(&after), 0);
    }
}
