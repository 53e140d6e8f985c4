//! Named places at which a test ends the process, as a crash would.
//!
//! Only in debug builds: a release build has no such switch. `BARTIZAN_FAILPOINT=NAME` or `NAME:N` aborts at the
//! first or the N-th visit.

/// Ends the process here when a test asked for it.
#[inline]
pub fn visit(name: &str) {
    #[cfg(debug_assertions)]
    armed::visit(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static VISITS: AtomicU64 = AtomicU64::new(0);

    fn read() -> Option<(String, u64)> {
        let text = std::env::var("BARTIZAN_FAILPOINT").ok()?;
        let (name, visits) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), visits.parse().unwrap_or(1)))
    }

    pub(super) fn visit(name: &str) {
        let Some((armed, wanted)) = ARMED.get_or_init(read) else { return };
        if armed == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *wanted {
            std::process::abort();
        }
    }
}
