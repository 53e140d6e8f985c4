//! How long to wait before a broker is tried again.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(200);
/// At most: a broker that is back is noticed within this time.
const LONGEST: Duration = Duration::from_secs(15);

/// Returns the wait after `attempt` attempts in a row: it doubles up to 15 s, and `chance`, `0.0..1.0`, takes up to half of it
/// away, so that what failed together does not come back together.
#[must_use]
pub fn wait(attempt: u32, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

/// Returns a number in `0.0..1.0` that nobody can foresee; the middle when the system has none.
#[must_use]
pub fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_stops() {
        let millis = |attempt| wait(attempt, 0.0).as_millis();
        assert_eq!([0, 1, 2, 3, 7, 8, 33, u32::MAX].map(millis), [200, 200, 400, 800, 12_800, 15_000, 15_000, 15_000]);
    }

    #[test]
    fn chance_takes_away_up_to_half() {
        assert_eq!([0.0, 0.5, 1.0, 9.0, -1.0].map(|it| wait(2, it).as_millis()), [400, 300, 200, 200, 400]);
        assert!((0..100).map(|_| chance()).all(|it| (0.0..1.0).contains(&it)));
    }
}
