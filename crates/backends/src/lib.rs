//! What Bartizan keeps: the durable log `events` and the store, each a trait with a conformance suite.
//!
//! Calls block; whoever calls from an async task moves them to a thread. The embedded backends need no server
//! and are the doubles of every test.

/// Makes a test of each function of a conformance suite, which stands under the name `tests`: each gets an opener of one
/// folder. `$open` is a function of the folder. Functions may be named by the module of the suite that they are in.
#[cfg(test)]
macro_rules! each_test {
    (@one $open:expr, $name:ident, $test:path) => {
        #[test]
        fn $name() {
            if $crate::servers::is_left_out(module_path!()) {
                return;
            }
            let folder = tempfile::tempdir().unwrap();
            $test(|| { let open: fn(&tempfile::TempDir) -> _ = $open; open(&folder) });
        }
    };
    ($open:expr, $($module:ident: $($name:ident)*;)*) => {
        $($( $crate::each_test!(@one $open, $name, tests::$module::$name); )*)*
    };
    ($open:expr, $($name:ident)*) => { $( $crate::each_test!(@one $open, $name, tests::$name); )* };
}
#[cfg(test)]
pub(crate) use each_test;

pub mod failpoint;
pub mod log;
#[cfg(test)]
mod servers;
pub mod store;
