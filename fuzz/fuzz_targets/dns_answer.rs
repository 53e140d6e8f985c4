//! Answers of a resolver, to questions that are right and with everything behind them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outbound::dns::message::Question;

fuzz_target!(|data: &[u8]| {
    for question in [Question::reverse([192, 0, 2, 7].into()), Question::reverse("2001:db8::7".parse().unwrap())] {
        // As it came, and behind a head and a question that are right.
        let _ = question.read(0, data);
        let mut message = question.query(0);
        message[2] |= 0x80;
        message[7] = data.first().copied().unwrap_or_default();
        message.extend_from_slice(data.get(1..).unwrap_or_default());
        let _ = question.read(0, &message);
    }
});
