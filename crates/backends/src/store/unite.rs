//! How the incarnations of an alert become one.
//!
//! An incarnation is one count of the alert's events in memory. While it goes on, each commit brings it whole; a later
//! one begins behind where the earlier ended, so their counts add up.

use model::alert::Alert;
use model::limits::EVIDENCE_EACH_END;

/// What became of an alert in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Raised,
    Changed,
    Unchanged,
}

/// An alert with what its earlier incarnations counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counted {
    /// All incarnations before the last, united; `None` while there was but one.
    pub(crate) earlier: Option<Alert>,
    /// The last incarnation, as it was last committed.
    pub(crate) last: Alert,
}

impl Counted {
    /// Takes in another commit of the alert; returns whether anything changed.
    pub(crate) fn take(&mut self, alert: &Alert) -> bool {
        if alert.incarnation < self.last.incarnation || *alert == self.last {
            return false;
        }
        if self.last.incarnation < alert.incarnation {
            self.earlier = Some(self.whole());
        }
        self.last = alert.clone();
        true
    }

    /// The alert over all its incarnations.
    pub(crate) fn whole(&self) -> Alert {
        self.earlier.as_ref().map_or_else(|| self.last.clone(), |it| unite(it, &self.last))
    }
}

/// Unites what two incarnations counted.
///
/// What tells of the first evidence comes from the one that saw it; the rest is the later one's, and nothing is made
/// milder.
fn unite(earlier: &Alert, later: &Alert) -> Alert {
    let (front, back) = if later.first_seen < earlier.first_seen { (later, earlier) } else { (earlier, later) };
    Alert {
        count: earlier.count.saturating_add(later.count),
        severity: earlier.severity.max(later.severity),
        confidence: earlier.confidence.max(later.confidence),
        first_seen: front.first_seen,
        last_seen: earlier.last_seen.max(later.last_seen),
        window_start: earlier.window_start.min(later.window_start),
        timestamp: earlier.timestamp.min(later.timestamp),
        source: front.source.clone(),
        country: front.country.clone().or_else(|| back.country.clone()),
        user: front.user.clone().or_else(|| back.user.clone()),
        matched: front.matched.clone(),
        event: front.event.clone(),
        evidence: evidence_of(front, back),
        ..later.clone()
    }
}

/// The first and the last of the evidence, at most [`EVIDENCE_EACH_END`] of each end.
fn evidence_of(front: &Alert, back: &Alert) -> Vec<model::id::EventId> {
    let mut all = front.evidence.clone();
    all.extend(back.evidence.iter().filter(|it| !front.evidence.contains(it)));
    if 2 * EVIDENCE_EACH_END < all.len() {
        all.drain(EVIDENCE_EACH_END..all.len() - EVIDENCE_EACH_END);
    }
    all
}
