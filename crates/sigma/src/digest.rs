//! The version of a rule: a digest of what it detects.

use sha2::{Digest, Sha256};

/// Returns the first 16 hexadecimal digits of the SHA-256 of `text`.
pub(crate) fn version_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|it| format!("{it:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_beginning_of_the_sha_256() {
        assert_eq!(version_of("abc"), "ba7816bf8f01cfea");
    }
}
