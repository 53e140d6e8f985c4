//! Secrets: given by reference, never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;

use zeroize::Zeroizing;

/// The longest secret, in bytes: more is a wrong file.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// A secret. It does not print, and its memory is overwritten when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Finds the secret that `text` is or refers to: `env:NAME`, `file:PATH`, else the text itself.
    ///
    /// # Errors
    ///
    /// What cannot be found, without the value.
    pub fn find(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env:") {
            let found = variable(name).filter(|it| !it.is_empty());
            return found.map(Self::of).ok_or_else(|| format!("names the variable `{name}`, which is not set"));
        }
        let Some(path) = text.strip_prefix("file:") else { return Ok(Self::of(text.to_owned())) };
        let failed = |reason: String| format!("names the file `{path}`, which cannot be read: {reason}");
        let file = File::open(path).map_err(|it| failed(it.to_string()))?;
        let mut read = Zeroizing::new(String::new());
        file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut read).map_err(|it| failed(it.to_string()))?;
        if SECRET_BYTES_MAX < read.len() as u64 {
            return Err(failed("it is longer than 16 KiB".to_owned()));
        }
        Ok(Self::of(read.trim().to_owned()))
    }

    /// Makes a secret of a text.
    #[must_use]
    pub fn of(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the moment of its use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_followed_and_nothing_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from a file\n").unwrap();
        let variable = |name: &str| (name == "THERE").then(|| "from the environment".to_owned());
        let found = |text: &str| Secret::find(text, &variable).map(|it| it.expose().to_owned());
        assert_eq!(found("env:THERE").as_deref(), Ok("from the environment"));
        assert_eq!(found(&format!("file:{}", path.display())).as_deref(), Ok("from a file"));
        assert_eq!(found("plain").as_deref(), Ok("plain"));
        assert_eq!(found("env:AWAY").unwrap_err(), "names the variable `AWAY`, which is not set");
        assert!(found("file:/no/such/file").unwrap_err().starts_with("names the file `/no/such/file`"));
        std::fs::write(&path, "x".repeat(SECRET_BYTES_MAX as usize + 1)).unwrap();
        assert!(found(&format!("file:{}", path.display())).is_err());
        assert_eq!(format!("{:?}", Secret::of("hidden".into())), "Secret(...)");
    }
}
