//! The metrics of the gateway, where there is one.

use super::Exposition;
use crate::status::Gateway;

/// Writes them. No label holds an address: upstreams are counted by their state.
pub(super) fn write(page: &mut Exposition, gateway: &Gateway) {
    let requests = "bartizan_gateway_requests_total";
    page.family(requests, "counter", "Requests that were answered, by what was done with them.");
    for (action, count) in &gateway.requests {
        page.sample(requests, &[("action", action)], count);
    }
    let counters = [
        ("bartizan_gateway_uninspected_requests_total", "Requests whose inspection failed.", gateway.uninspected),
        ("bartizan_gateway_spilled_events_total", "Events that went to disk first.", gateway.spilled),
        ("bartizan_gateway_lost_events_total", "Events that found no room anywhere.", gateway.lost),
    ];
    for (name, help, value) in counters {
        page.single(name, "counter", help, value);
    }
    let gauges = [
        ("bartizan_gateway_queued_events", "Events that wait in memory to be handed over.", gateway.queued),
        ("bartizan_gateway_decisions", "Addresses and ranges that have a decision in force.", gateway.decisions),
    ];
    for (name, help, value) in gauges {
        page.single(name, "gauge", help, value);
    }
    if let Some(remote) = &gateway.remote {
        let copied = "bartizan_gateway_copied_decisions";
        page.single(copied, "gauge", "Decisions of another installation that the gateway has.", remote.decisions);
        let enforced = "bartizan_gateway_copied_decisions_enforced";
        let help = "1 while they count; 0 when nothing was heard for too long.";
        page.single(enforced, "gauge", help, u64::from(remote.is_enforced));
        if let Some(age) = remote.age {
            let name = "bartizan_gateway_copied_decisions_age_seconds";
            page.family(name, "gauge", "How long ago that installation was heard.");
            page.sample(name, &[], age.as_secs_f64());
        }
    }
    let upstreams = "bartizan_gateway_upstreams";
    page.family(upstreams, "gauge", "Upstreams, by whether they are asked.");
    page.sample(upstreams, &[("state", "up")], gateway.upstreams_up);
    page.sample(upstreams, &[("state", "down")], gateway.upstreams_down);
    let name = "bartizan_gateway_inspection_seconds";
    page.family(name, "summary", "What inspection adds to a request.");
    page.sample(&format!("{name}_sum"), &[], gateway.inspection_time.as_secs_f64());
    page.sample(&format!("{name}_count"), &[], gateway.inspections);
}
