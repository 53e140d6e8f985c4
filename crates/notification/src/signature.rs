//! Signatures of webhooks. Source: the Standard Webhooks specification 1.0.0, "Signature scheme".

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::encoding::{decode, encode};

/// What a key begins with.
const PREFIX: &str = "whsec_";
/// How long a key is, in bytes. Source: the specification, "Signature scheme".
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = text.strip_prefix(PREFIX).and_then(decode).filter(|it| KEY_BYTES.contains(&it.len()));
        bytes.map(|it| Self(Zeroizing::new(it))).ok_or("must be `whsec_` and base64 of 24 to 64 bytes")
    }
}

/// Signs a message with each of `keys`: the value of the header `webhook-signature`.
pub(crate) fn sign(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let head = format!("{id}.{timestamp}.");
    let signed = |key: &Key| format!("v1,{}", encode(&hmac(&key.0, &[head.as_bytes(), body])));
    keys.iter().map(signed).collect::<Vec<_>>().join(" ")
}

/// HMAC with SHA-256 over the parts, one after the other. Source: RFC 2104.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = Zeroizing::new([0_u8; BLOCK]);
    if BLOCK < key.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| Zeroizing::new(block.map(|it| it ^ pad));
    let mut inner = Sha256::new_with_prefix(*padded(0x36));
    parts.iter().for_each(|it| inner.update(it));
    let mut outer = Sha256::new_with_prefix(*padded(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|it| format!("{it:02x}")).collect()
    }

    #[test]
    fn hmac_gives_the_values_of_rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            let (first, second) = text.split_at(3);
            assert_eq!(hex(&hmac(key, &[first, second])), expected);
        }
    }

    #[test]
    fn signs_as_the_specification_does() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&key), id, 1_614_265_330, body), signature);
        let other = Key::parse(&format!("whsec_{}", encode(&[7; 32]))).unwrap();
        let both = sign(&[key, other], id, 1_614_265_330, body);
        assert!(both.starts_with(&format!("{signature} v1,")), "{both}");
    }

    #[test]
    fn a_key_has_a_beginning_and_a_length() {
        let of = |length: usize| Key::parse(&format!("whsec_{}", encode(&vec![1; length])));
        assert!(of(24).is_ok() && of(64).is_ok());
        assert!(of(23).is_err() && of(65).is_err());
        for text in ["", "whsec_", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }
}
