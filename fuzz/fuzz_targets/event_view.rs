//! An encoded event.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::event::EventView;

fuzz_target!(|bytes: &[u8]| {
    if let Some(view) = EventView::of(bytes) {
        fuzz::look_at(&view);
    }
});
