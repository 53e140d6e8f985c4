//! The real servers that tests need, by the variables that hold their addresses.

use std::io::{Write, stderr};

/// Which part of the path of a test's module means which variable.
const NEEDED: [(&str, &str); 1] = [("::postgres::", "BARTIZAN_TEST_POSTGRES")];

/// The address of a server; `None`, and a word on it, where there is none and none is promised.
pub(crate) fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok();
    if address.is_none() {
        assert!(
            std::env::var_os("BARTIZAN_TEST_SERVERS").is_none(),
            "`{variable}` is not set, and servers are promised"
        );
        // Not captured by the runner: nobody shall think that it ran.
        let _ = writeln!(stderr(), "NOT RUN: `{variable}` is not set; run it under `tests/with-servers`");
    }
    address
}

/// Whether the tests of a module cannot run, since their server is not there.
pub(crate) fn is_left_out(module: &str) -> bool {
    NEEDED.iter().any(|(part, variable)| module.contains(part) && address(variable).is_none())
}
