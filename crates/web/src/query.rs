//! The query of a request: decoded pairs, and a reader that refuses what it does not know.

use std::collections::BTreeMap;

/// A parameter that cannot be used, for the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParameter {
    /// Its name.
    pub name: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    values: BTreeMap<String, String>,
}

/// Resolves percent-encoding; in a query a plus is a space. Broken encoding stays as it is, broken UTF-8 becomes U+FFFD.
#[must_use]
pub fn decode(text: &str, is_query: bool) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = |it: usize| bytes.get(it).and_then(|byte| char::from(*byte).to_digit(16));
        match bytes[at] {
            b'%' => match (hex(at + 1), hex(at + 2)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 3;
                    continue;
                }
                _ => out.push(b'%'),
            },
            b'+' if is_query => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
#[must_use]
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Query {
    /// Reads a query that may have the parameters `known`, each once.
    ///
    /// # Errors
    ///
    /// A parameter that is not known, or that is repeated.
    pub fn of(query: &str, known: &[&str]) -> Result<Self, BadParameter> {
        let mut values = BTreeMap::new();
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, true);
            if !known.contains(&name.as_str()) {
                let message = format!("there is no parameter `{name}`; there are {}", known.join(", "));
                return Err(BadParameter { name, message });
            }
            if values.insert(name.clone(), decode(value, true)).is_some() {
                return Err(BadParameter { message: format!("`{name}` is given twice"), name });
            }
        }
        Ok(Self { values })
    }

    /// Returns a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns a parameter as `read` understands it.
    ///
    /// # Errors
    ///
    /// What `read` cannot read; `wanted` says what would do.
    pub fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, BadParameter> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(text).map(Some).ok_or_else(|| BadParameter {
            name: name.to_owned(),
            message: format!(
                "`{name}` is `{}`, and must be {wanted}",
                text.chars().take(100).collect::<String>().escape_debug()
            ),
        })
    }

    /// Writes the query again with one parameter changed or added.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> String {
        let mut values = self.values.clone();
        values.insert(name.to_owned(), value.to_owned());
        let pairs: Vec<_> = values.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_can_be_decoded() {
        for (text, expected) in
            [("a%20b", "a b"), ("a+b", "a b"), ("%zz%4", "%zz%4"), ("%ff", "\u{fffd}"), ("%C3%BC", "ü")]
        {
            assert_eq!(decode(text, true), expected, "{text}");
        }
        assert_eq!(decode("a+b", false), "a+b");
        assert_eq!(decode(&encode("a/ü &=+%"), true), "a/ü &=+%");
    }

    #[test]
    fn refuses_unknown_and_repeated_parameters() {
        assert!(Query::of("a=1&b=2", &["a", "b"]).is_ok());
        assert_eq!(Query::of("c=1", &["a"]).unwrap_err().name, "c");
        assert_eq!(Query::of("a=1&a=2", &["a"]).unwrap_err().message, "`a` is given twice");
    }
}
