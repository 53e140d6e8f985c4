//! The guard of the gateway: heads of HTTP/1 requests.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The module needs no more of the crate around it than this word, and the crate does not show it.
mod link {
    pub(crate) const REFUSED: &str = "REFUSED";
}
#[path = "../../crates/gateway/src/framing/head.rs"]
mod head;

fuzz_target!(|bytes: &[u8]| {
    let head = &bytes[..bytes.len().min(head::HEAD_BYTES_MAX)];
    match head::check(head) {
        Ok(read) => {
            let lower = head.to_ascii_lowercase();
            let has = |name: &[u8]| lower.windows(name.len()).any(|it| it == name);
            if read.body == head::Framing::Chunked {
                assert!(has(b"transfer-encoding"));
                assert!(!has(b"\r\ncontent-length:"), "two framings passed");
            }
            if let head::Framing::Length(_) = read.body {
                assert!(has(b"content-length"));
            }
            if read.is_upgrade {
                assert!(has(b"upgrade") || has(b"connect"));
            }
        }
        Err(refusal) => assert!(400 <= refusal.status && !refusal.check.is_empty()),
    }
});
