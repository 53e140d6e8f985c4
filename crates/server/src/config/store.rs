//! The section `[store]`: where alerts, decisions and keys are kept.

use std::fs;
use std::path::{Path, PathBuf};

use backends::store::postgres::settings::{Password, Settings, SslMode};

use super::Raw;
use crate::failure::Failure;
use crate::units;

/// How large the file of a password may be, in bytes: who names another by mistake is told.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Where alerts, decisions and keys are kept.
#[derive(Clone, Debug)]
pub(crate) enum StoreConfig {
    /// In a file of the data folder.
    Folder,
    /// In a PostgreSQL database.
    Postgres(Box<Settings>),
}

impl Raw {
    /// The store, as `[store]` says.
    pub(super) fn store(&self) -> Result<StoreConfig, Failure> {
        let (url, origin) = self.text("store.url");
        let password_file = self.optional_path("store.password_file");
        let connections = self.get("store.connections", |it| it.parse::<usize>().ok().filter(|it| 0 < *it))?;
        let statement_timeout = self.get("store.statement_timeout", units::duration)?;
        if url.is_empty() {
            return match password_file {
                None => Ok(StoreConfig::Folder),
                Some(_) => Err(Failure::usage("`store.password_file` counts with `store.url` only, which is not set")),
            };
        }
        let wrong = |what: &dyn std::fmt::Display| Failure::usage(format!("`store.url` ({origin}) {what}"));
        let mut settings = Settings::of_url(url).map_err(|it| wrong(&it))?;
        if let Some(path) = password_file {
            if !settings.password.is_empty() {
                return Err(wrong(&"holds a password, and so does `store.password_file`: leave one of them out"));
            }
            settings.password = Password::new(read_password(&path)?);
        }
        if settings.ssl_mode == SslMode::VerifyFull {
            let authorities = settings.ssl_root_cert.as_deref().map(PathBuf::from);
            let connector = outbound::tls::connector(authorities.as_deref(), "sslrootcert=FILE", &[]);
            settings.connector = Some(connector.map_err(|it| wrong(&format!("has `sslmode=verify-full`: {it}")))?);
        }
        settings.connections_max = connections;
        settings.statement_timeout = statement_timeout;
        Ok(StoreConfig::Postgres(Box::new(settings)))
    }
}

/// Reads a password: the first line of a file.
fn read_password(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let unreadable =
        |it: std::io::Error| Failure::usage(format!("`store.password_file`: `{shown}` cannot be read: {it}"));
    if PASSWORD_BYTES_MAX < fs::metadata(path).map_err(unreadable)?.len() {
        return Err(Failure::usage(format!(
            "`store.password_file`: `{shown}` has more than {PASSWORD_BYTES_MAX} bytes, and is no password"
        )));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::usage(format!("`store.password_file`: the first line of `{shown}` is empty")));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn store(url: &str, others: &[(&'static str, &str)]) -> Result<StoreConfig, String> {
        let mut raw = Raw::default();
        raw.flag("store.url", url.to_owned(), "--url");
        for (key, value) in others {
            raw.flag(key, (*value).to_owned(), "--other");
        }
        raw.store().map_err(|it| it.to_string())
    }

    #[track_caller]
    fn check_wrong(url: &str, others: &[(&'static str, &str)], expected: &str) {
        let error = store(url, others).unwrap_err();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn without_an_address_it_is_the_folder() {
        assert!(matches!(store("", &[]), Ok(StoreConfig::Folder)));
        check_wrong("", &[("store.password_file", "/nowhere")], "counts with `store.url` only");
    }

    #[test]
    fn faults_are_named_by_their_key_and_the_password_is_not_shown() {
        check_wrong("mysql://u:s3cret@h/d", &[], "`store.url` (flag --url) begins with neither");
        check_wrong("postgres://u:s3cret@h/d?sslmode=x", &[], "has the `sslmode` `x`");
        check_wrong("postgres://u:s3cret@h/d", &[("store.connections", "0")], "`store.connections` is `0`");
        check_wrong("postgres://u:s3cret@h/d", &[("store.statement_timeout", "x")], "`store.statement_timeout` is `x`");
        check_wrong("postgres://u:s3cret@h/d", &[("store.password_file", "/nowhere")], "leave one of them out");
        check_wrong("postgres://u@h/d", &[("store.password_file", "/nowhere")], "`/nowhere` cannot be read");
        let verify = "postgres://u:s3cret@h/d?sslmode=verify-full&sslrootcert=/nowhere";
        check_wrong(verify, &[], "the certificates in `/nowhere` cannot be read");
    }

    #[test]
    fn the_password_may_stand_in_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "from-the-file\nnot this").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let Ok(StoreConfig::Postgres(settings)) = store("postgres://u@h/d", &[("store.password_file", &path)]) else {
            panic!("it is right")
        };
        assert_eq!(settings.password, Password::new("from-the-file".to_owned()));
        assert!(!format!("{settings:?}").contains("from-the-file"));
        writeln!(file, "{}", "x".repeat(5000)).unwrap();
        check_wrong("postgres://u@h/d", &[("store.password_file", &path)], "is no password");
    }
}
