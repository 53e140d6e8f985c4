//! Numbers, as the JSON that `bench/run` reads.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One JSON object under construction.
pub(crate) struct Report(String);

impl Report {
    /// Begins an empty object.
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    /// Adds a number.
    pub(crate) fn number(mut self, name: &str, value: f64) -> Self {
        self.separate();
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\"{name}\":{}", if value.is_finite() { value } else { 0.0 });
        self
    }

    /// Adds what is JSON already.
    pub(crate) fn json(mut self, name: &str, value: &str) -> Self {
        self.separate();
        let _ = write!(self.0, "\"{name}\":{value}");
        self
    }

    /// Adds median, p99 and maximum of `times`, in milliseconds.
    pub(crate) fn latencies(self, times: &mut [Duration]) -> Self {
        times.sort_unstable();
        let at = |share: f64| quantile(times, share).as_secs_f64() * 1e3;
        self.number("p50_ms", at(0.5)).number("p99_ms", at(0.99)).number("max_ms", at(1.0))
    }

    /// Ends the object.
    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn separate(&mut self) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
    }
}

/// Returns the value below which `share` (`0.0..=1.0`) of the sorted `times` lie; zero when there are none.
pub(crate) fn quantile(times: &[Duration], share: f64) -> Duration {
    let last = times.len().saturating_sub(1);
    let at = (times.len() as f64 * share).ceil() as usize;
    times.get(at.saturating_sub(1).min(last)).copied().unwrap_or_default()
}

/// Returns seconds since 1970, the clock that `bench/run` has too.
pub(crate) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |it| it.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times_ms: &[u64], share: f64, expected_ms: u64) {
        let times: Vec<_> = times_ms.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, share), Duration::from_millis(expected_ms));
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        check(&[1, 2, 3, 4], 0.5, 2);
        check(&[1, 2, 3, 4], 0.99, 4);
        check(&[1, 2, 3, 4], 1.0, 4);
        check(&[7], 0.5, 7);
    }

    #[test]
    fn nothing_measured_is_zero() {
        check(&[], 0.5, 0);
    }

    #[test]
    fn an_object_separates_its_members() {
        let report = Report::new().number("a", 1.5).number("b", f64::NAN).json("c", "[1]").end();
        assert_eq!(report, r#"{"a":1.5,"b":0,"c":[1]}"#);
    }
}
