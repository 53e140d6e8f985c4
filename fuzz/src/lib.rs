//! What the targets share.

use std::sync::LazyLock;

use attack::inspector::{Inspector, Scratch};
use attack::report::Report;
use attack::request::Request;
use model::event::EventView;
use model::time::Timestamp;
use normalize::reading::{Ids, Reading};

/// A request at noon of 2026-11-20.
pub const AT_NOON: Reading<'static> = Reading {
    input: "fuzz",
    received: Some(Timestamp(1_795_176_000_000_000_000)),
    now: Timestamp(1_795_176_000_000_000_000),
    synthetic: false,
    ids: Ids::New,
};

/// What was written for a record is nothing, or one event that can be read, looked at and written as JSON.
pub fn check_written(is_event: bool, out: &[u8]) {
    assert_eq!(is_event, !out.is_empty(), "a refusal leaves the output as it was");
    if let Some(view) = is_event.then(|| EventView::of(out).expect("what was written can be read")) {
        look_at(&view);
    }
}

/// Looks at everything of an event.
pub fn look_at(view: &EventView<'_>) {
    let _ = (view.entity(), view.path_stem(), view.path_query(), view.finding_severity(), view.extras().count());
    let _ = (normalize::output::event_json(view), normalize::output::event001(view));
}

/// Inspection as it is used.
pub static FAST: LazyLock<Inspector> = LazyLock::new(Inspector::new);
/// Inspection that runs every check on every form of every value.
pub static EXHAUSTIVE: LazyLock<Inspector> = LazyLock::new(Inspector::exhaustive);

/// What inspection says of a request.
pub fn inspect(inspector: &Inspector, request: &Request<'_>) -> Report {
    let mut report = Report::default();
    inspector.inspect(request, &mut Scratch::default(), &mut report);
    report
}
