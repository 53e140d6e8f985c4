//! The decoding steps: percent-encoding, references of HTML, escapes, base64.

#![no_main]

use attack::explain::forms;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for is_form in [false, true] {
        let forms = forms(bytes, is_form);
        assert_eq!(forms[0].text, bytes);
        // A step may turn one byte into a character of two or three, and no more.
        assert!(forms.windows(2).all(|it| it[1].text.len() <= 4 * it[0].text.len()));
    }
});
