//! The metrics of brokers: queues that are read, exchanges to which events are passed on.

use super::Exposition;
use crate::status::{Forward, Source, Status};

/// A count: its name, what it is, where it is found.
type Count<T> = (&'static str, &'static str, fn(&T) -> u64);

/// What is counted of a source, under which name.
const SOURCE_COUNTS: [Count<Source>; 5] = [
    ("bartizan_source_connects_total", "How often a source has connected.", |it| it.connects),
    ("bartizan_source_messages_total", "Messages that have come, by source.", |it| it.received),
    ("bartizan_source_redelivered_total", "Messages that were on their way before, by source.", |it| it.redelivered),
    ("bartizan_source_acknowledged_total", "Messages that were acknowledged, by source.", |it| it.acknowledged),
    ("bartizan_source_replies_total", "Answers that were sent, by source.", |it| it.replies),
];

/// What is counted of a forward, under which name.
const FORWARD_COUNTS: [Count<Forward>; 3] = [
    ("bartizan_forward_published_total", "Events that were passed on and confirmed.", |it| it.published),
    ("bartizan_forward_unrouted_total", "Of them those that no queue took.", |it| it.unrouted),
    ("bartizan_forward_lost_total", "Records that the log kept no longer when they were to be read.", |it| it.lost),
];

/// Writes them; nothing without brokers.
pub(super) fn write(page: &mut Exposition, status: &Status) {
    if !status.sources.is_empty() {
        let name = "bartizan_source_connected";
        page.family(name, "gauge", "Whether a source is connected.");
        status.sources.iter().for_each(|it| page.sample(name, &[("input", &it.name)], u8::from(it.is_connected)));
        for (name, about, count) in SOURCE_COUNTS {
            page.family(name, "counter", about);
            status.sources.iter().for_each(|it| page.sample(name, &[("input", &it.name)], count(it)));
        }
    }
    if !status.forwards.is_empty() {
        let name = "bartizan_forward_in_trouble";
        page.family(name, "gauge", "Whether events cannot be passed on now.");
        status.forwards.iter().for_each(|it| page.sample(name, &[("forward", &it.name)], u8::from(it.is_in_trouble)));
        let name = "bartizan_forward_behind_records";
        page.family(name, "gauge", "Records of the log that are still to be read.");
        status.forwards.iter().for_each(|it| page.sample(name, &[("forward", &it.name)], it.behind));
        for (name, about, count) in FORWARD_COUNTS {
            page.family(name, "counter", about);
            status.forwards.iter().for_each(|it| page.sample(name, &[("forward", &it.name)], count(it)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_its_name() {
        let mut page = Exposition::default();
        write(&mut page, &Status::default());
        assert_eq!(page.0, "");
        let source = Source { name: "shop".into(), is_connected: true, received: 7, ..Source::default() };
        let forward =
            Forward { name: "out".into(), published: 3, unrouted: 1, lost: 2, behind: 9, is_in_trouble: false };
        write(&mut page, &Status { sources: vec![source], forwards: vec![forward], ..Status::default() });
        for line in [
            "bartizan_source_connected{input=\"shop\"} 1",
            "bartizan_source_messages_total{input=\"shop\"} 7",
            "bartizan_forward_published_total{forward=\"out\"} 3",
            "bartizan_forward_unrouted_total{forward=\"out\"} 1",
            "bartizan_forward_lost_total{forward=\"out\"} 2",
            "bartizan_forward_behind_records{forward=\"out\"} 9",
            "bartizan_forward_in_trouble{forward=\"out\"} 0",
        ] {
            assert!(page.0.contains(line), "{line} in {}", page.0);
        }
    }
}
