//! Exceptions to inspection in `rules.toml`: read, written, and kept with a rule set.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use attack::exception::{Draft, Exception, Exceptions};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::Failure;

/// The section of `rules.toml`.
pub(crate) const SECTION: &str = "exception";
/// The keys of an exception.
const KEYS: [&str; 8] = ["finding", "place", "host", "path", "path_prefix", "reason", "by", "at"];
/// What a new file begins with.
const HEAD: &str = "# What the rules do, and what inspection leaves out.\n";

/// Reads the exceptions of a `rules.toml`, named `shown` in complaints; they name the line of the bad one.
pub(crate) fn exceptions_of(text: &str, shown: &str) -> Result<Exceptions, Failure> {
    let file = DeTable::parse(text).map_err(|it| Failure::usage(format!("`{shown}`: this is no TOML: {it}")))?;
    let Some(section) = file.get_ref().get(SECTION) else { return Ok(Exceptions::default()) };
    let bad = |value: &Spanned<DeValue<'_>>, reason: &str| {
        let line = 1 + text[..value.span().start.min(text.len())].matches('\n').count();
        Failure::usage(format!("`{shown}`, line {line}: {reason}"))
    };
    let Some(list) = section.get_ref().as_array() else {
        return Err(bad(section, "`exception` must be a list: write `[[exception]]`"));
    };
    let mut exceptions = Vec::new();
    for item in list {
        let read = draft_of(item.get_ref()).and_then(|it| Exception::of(it).map_err(|it| it.to_string()));
        exceptions.push(read.map_err(|reason| bad(item, &format!("this exception is refused: {reason}")))?);
    }
    Exceptions::of(exceptions).map_err(|it| bad(section, &it.to_string()))
}

fn draft_of(value: &DeValue<'_>) -> Result<Draft, String> {
    let table = value.as_table().ok_or("it is no table: write `[[exception]]`")?;
    let mut draft = Draft::default();
    for (key, value) in table {
        let (key, value) = (key.get_ref().as_ref(), value.get_ref());
        let text = match (key, value.as_datetime()) {
            ("at", Some(time)) => time.to_string(),
            _ => value.as_str().ok_or_else(|| format!("`{key}` must be a text"))?.to_owned(),
        };
        match key {
            "finding" => draft.finding = Some(text),
            "place" => draft.place = Some(text),
            "host" => draft.host = Some(text),
            "path" => draft.path = Some(text),
            "path_prefix" => draft.path_prefix = Some(text),
            "reason" => draft.reason = text,
            "by" => draft.by = text,
            "at" => draft.at = text,
            other => return Err(format!("there is no key `{other}`; there are {}", KEYS.join(", "))),
        }
    }
    Ok(draft)
}

/// What is written of an exception, by its keys in their order.
fn written(draft: &Draft) -> impl Iterator<Item = (&'static str, &str)> {
    let optional = [&draft.finding, &draft.place, &draft.host, &draft.path, &draft.path_prefix].map(|it| it.as_deref());
    let told = [&draft.reason, &draft.by, &draft.at].map(|it| Some(it.as_str()).filter(|it| !it.is_empty()));
    KEYS.into_iter().zip(optional.into_iter().chain(told)).filter_map(|(key, text)| Some((key, text?)))
}

/// An exception as `rules.toml` has it.
pub(crate) fn table_of(draft: &Draft) -> String {
    let lines = written(draft).map(|(key, text)| format!("{key} = {}\n", quoted(text)));
    std::iter::once(format!("[[{SECTION}]]\n")).chain(lines).collect()
}

/// A basic string of TOML: the escapes of JSON, and DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// An exception as an object of JSON.
pub(crate) fn json_of(draft: &Draft) -> Value {
    Value::Object(written(draft).map(|(key, text)| (key.to_owned(), text.into())).collect())
}

/// Exceptions as they are kept with a rule set.
pub(crate) fn encode(exceptions: &Exceptions) -> Value {
    exceptions.list().iter().map(|it| json_of(it.draft())).collect()
}

/// Reads what [`encode`] wrote; nothing is none.
pub(crate) fn decode(value: &Value) -> Option<Exceptions> {
    let text = |it: &Value, key: &str| it[key].as_str().map(str::to_owned);
    let exception = |it: &Value| {
        let draft = Draft {
            finding: text(it, "finding"),
            place: text(it, "place"),
            host: text(it, "host"),
            path: text(it, "path"),
            path_prefix: text(it, "path_prefix"),
            reason: text(it, "reason").unwrap_or_default(),
            by: text(it, "by").unwrap_or_default(),
            at: text(it, "at").unwrap_or_default(),
        };
        Exception::of(draft).ok()
    };
    let list: Option<Vec<_>> = value.as_array().into_iter().flatten().map(exception).collect();
    Exceptions::of(list?).ok()
}

/// Adds exceptions at the end of a `rules.toml`, whole or not at all; everything else in it stays as it is, comments too.
///
/// A file that is not there is made. Nothing is written when the file would be a bad one then; `check` says what it
/// thinks of the new text.
pub(crate) fn append(
    path: &Path,
    drafts: &[Draft],
    check: impl Fn(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The file itself, not a link to it: the link stays one.
    let path: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let shown = path.display();
    let mut text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(Failure::unusable(format!("`{shown}` cannot be read: {error}"))),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    drafts.iter().for_each(|it| text.push_str(&format!("\n{}", table_of(it))));
    check(&text)?;
    replace(&path, &text).map_err(|it| Failure::unusable(format!("`{shown}` cannot be written: {it}")))
}

/// Replaces a file, with its owner and its permissions; a new one is for its owner only.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(path).ok();
    let temporary = path.with_extension("toml.new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    if let Some(before) = before {
        file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o777))?;
        // Only root gives files away; anybody else owns what was replaced, or may not keep its owner.
        let _ = chown(&temporary, Some(before.uid()), Some(before.gid()));
    }
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft() -> Draft {
        Draft {
            finding: Some("sqli/sql-union".to_owned()),
            place: Some("query argument `q\"\\\u{7f}`".to_owned()),
            path: Some("/search".to_owned()),
            reason: "it's\na \"search\"".to_owned(),
            at: "2026-11-21T16:00:00Z".to_owned(),
            ..Draft::default()
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for draft in
            [draft(), Draft { path: None, path_prefix: Some("/a".to_owned()), host: Some("b".to_owned()), ..draft() }]
        {
            let read = exceptions_of(&table_of(&draft), "rules.toml").unwrap();
            assert_eq!(read.list().iter().map(Exception::draft).collect::<Vec<_>>(), [&draft]);
            assert_eq!(decode(&encode(&read)), Some(read));
        }
        assert_eq!(decode(&Value::Null), Some(Exceptions::default()));
        assert_eq!(decode(&json!([{"reason": "x"}])), None);
    }

    #[test]
    fn a_time_may_be_one_of_toml() {
        let text = "[[exception]]\nplace = \"path\"\nreason = \"x\"\nat = 2026-11-21T16:00:00Z\n";
        assert_eq!(exceptions_of(text, "rules.toml").unwrap().list()[0].draft().at, "2026-11-21T16:00:00Z");
    }

    #[track_caller]
    fn check_refused(text: &str, named: &str) {
        let failure = exceptions_of(text, "x/rules.toml").unwrap_err();
        assert!(
            failure.message.starts_with("`x/rules.toml`") && failure.message.contains(named),
            "{}",
            failure.message
        );
    }

    #[test]
    fn a_bad_one_is_named_by_its_line() {
        let good = "[[exception]]\nplace = \"path\"\nreason = \"x\"\n";
        check_refused(
            &format!("{good}\n[[exception]]\nreason = \"x\"\n"),
            "line 5: this exception is refused: it would hide",
        );
        check_refused(
            &format!("{good}colour = \"red\"\n"),
            "line 1: this exception is refused: there is no key `colour`",
        );
        check_refused("\n[[exception]]\nfinding = 1\n", "line 2: this exception is refused: `finding` must be a text");
        check_refused("[exception]\n", "`exception` must be a list");
        check_refused("exception = [1]\n", "it is no table");
        check_refused("[[exception]\n", "no TOML");
        check_refused(&good.repeat(1001), "more than 1000 exceptions");
    }

    #[test]
    fn appending_keeps_the_rest_of_the_file_or_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        let good = |text: &str| exceptions_of(text, "rules.toml").map(drop);
        append(&path, &[draft()], good).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, "# Mine.\n[rule.bruteforce]\nstate = \"off\" # for now").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        append(&path, &[draft(), draft()], good).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# Mine.\n[rule.bruteforce]\nstate = \"off\" # for now\n\n[[exception]]\n"), "{text}");
        assert_eq!(exceptions_of(&text, "rules.toml").unwrap().list().len(), 2);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);

        fs::write(&path, "exception = []\n").unwrap();
        assert!(append(&path, &[draft()], good).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "exception = []\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
