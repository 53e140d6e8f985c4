//! Counts the steps of the loops that an attacker could make long. Only tests count; elsewhere it is nothing.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static STEPS: Cell<usize> = const { Cell::new(0) };
}

/// Counts steps: tokens, bytes or tags that were looked at.
#[cfg(test)]
pub(crate) fn count(steps: usize) {
    STEPS.set(STEPS.get() + steps);
}

/// Nothing.
#[cfg(not(test))]
#[inline]
pub(crate) const fn count(_: usize) {}

/// Runs something; returns how many steps it took.
#[cfg(test)]
pub(crate) fn steps_of(run: impl FnOnce()) -> usize {
    STEPS.set(0);
    run();
    STEPS.get()
}
