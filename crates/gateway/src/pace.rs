//! How fast a client's body comes: one that drips would hold its connection for ever.

use std::time::Duration;

use tokio::time::Instant;

/// How many bytes must come in each time, on the average: what no client falls short of that means to send something.
const BYTES_MIN: u64 = 1 << 10;

/// The pace of one body. Only time that is spent waiting for the client counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// In how long [`BYTES_MIN`] must come; the first such time is free.
    time: Duration,
    bytes: u64,
    waited: Duration,
    /// Since when it is waited for.
    since: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new(time: Duration) -> Self {
        Self { time, bytes: 0, waited: Duration::ZERO, since: None }
    }

    /// In how long 1 KiB must come.
    pub(crate) const fn time(&self) -> Duration {
        self.time
    }

    /// Says that it is waited for from now on, unless it is already.
    pub(crate) fn wait(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Takes `bytes` that came; returns whether they came fast enough.
    pub(crate) fn came(&mut self, bytes: usize) -> bool {
        let waited = self.since.take().map_or(Duration::ZERO, |it| it.elapsed());
        self.add(bytes, waited)
    }

    fn add(&mut self, bytes: usize, waited: Duration) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.waited += waited;
        let times = self.waited.as_nanos().checked_div(self.time.as_nanos()).unwrap_or(0);
        times * u128::from(BYTES_MIN) <= u128::from(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(steps: &[(usize, u64, bool)]) {
        let mut pace = Pace::new(Duration::from_secs(60));
        for (bytes, waited, expected) in steps {
            assert_eq!(
                pace.add(*bytes, Duration::from_secs(*waited)),
                *expected,
                "{bytes} bytes in {waited} s: {steps:?}"
            );
        }
    }

    #[test]
    fn after_the_first_minute_each_one_must_bring_a_kibibyte() {
        check(&[(1, 59, true), (1, 1, false)]);
        check(&[(1, 59, true), (1023, 1, true), (1, 59, true), (1, 1, false)]);
        check(&[(1 << 20, 0, true), (1, 3600, true)]);
    }
}
