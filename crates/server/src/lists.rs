//! Lists of others that a user may fetch: kept in the data folder with their source, digest and time, and used from the next
//! start on. The product works without any of them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use attack::clients::ClientList;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// How large a list may be, in bytes.
pub(crate) const LIST_BYTES_MAX: usize = 8 << 20;
/// How large its file may be, in bytes: every byte of the list may be escaped, and there is what is known of it.
const FILE_BYTES_MAX: u64 = 6 * LIST_BYTES_MAX as u64 + 4096;

/// A list that can be fetched.
pub(crate) struct List {
    /// Its name in commands and of its file.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Its licence.
    pub(crate) licence: &'static str,
}

/// All of them.
pub(crate) const LISTS: &[List] = &[List {
    name: "crawlers",
    about: "user agents of crawlers, for `http.client` and `http.bot_score`",
    licence: "MIT",
}];

/// A list as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetched {
    /// From where.
    pub(crate) url: String,
    /// Under which licence.
    pub(crate) licence: String,
    /// When, in RFC 3339.
    pub(crate) fetched_at: String,
    /// The SHA-256 of the content, in hexadecimal digits.
    pub(crate) sha256: String,
    /// The content as it came.
    pub(crate) content: String,
}

/// The member of an entry that is looked at.
#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// The SHA-256 of a content, in hexadecimal digits.
pub(crate) fn digest(content: &str) -> String {
    Sha256::digest(content.as_bytes()).iter().map(|it| format!("{it:02x}")).collect()
}

/// Reads the content of the list of crawlers; returns how many patterns it has, how many of them are left out, and the list.
///
/// # Errors
///
/// Why it is no such list.
pub(crate) fn crawlers_of(content: &str) -> Result<(usize, usize, ClientList), String> {
    let entries: Vec<Entry> =
        serde_json::from_str(content).map_err(|it| format!("it is no list of objects with a `pattern`: {it}"))?;
    let (list, left_out) = ClientList::of(entries.iter().map(|it| it.pattern.as_str()));
    Ok((entries.len(), left_out, list.ok_or("no pattern of it can be used")?))
}

/// Where a list is kept.
pub(crate) fn path_of(data: &Path, name: &str) -> PathBuf {
    data.join("lists").join(format!("{name}.json"))
}

/// Keeps a list in place of the one before.
pub(crate) fn keep(data: &Path, name: &str, fetched: &Fetched) -> Result<(), Failure> {
    let path = path_of(data, name);
    let failed = |it: std::io::Error| Failure::unusable(format!("`{}` cannot be written: {it}", path.display()));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data.join("lists")).map_err(failed)?;
    let text = serde_json::to_string(fetched).map_err(|it| Failure::failed(it.to_string()))?;
    // A half written list must never stand in its place.
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
    let written = file.and_then(|mut it| it.write_all(text.as_bytes()).and_then(|()| it.sync_all()));
    written.and_then(|()| fs::rename(&beside, &path)).map_err(|it| {
        // Nothing is lost with it.
        let _ = fs::remove_file(&beside);
        failed(it)
    })
}

/// Reads a list that is kept; `None` when there is none.
///
/// # Errors
///
/// Why it cannot be used: it is damaged, or its digest is another.
pub(crate) fn read(data: &Path, name: &str) -> Result<Option<Fetched>, String> {
    let path = path_of(data, name);
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
        Ok(it) if FILE_BYTES_MAX < it.len() => return Err("it is too large".to_owned()),
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path).map_err(|it| it.to_string())?;
    let fetched: Fetched = serde_json::from_str(&text).map_err(|it| format!("it is damaged: {it}"))?;
    if digest(&fetched.content) != fetched.sha256 {
        return Err("its digest is another".to_owned());
    }
    Ok(Some(fetched))
}

/// The list of crawlers that is kept, if there is one that can be used; another is complained of and left out.
pub(crate) fn crawlers(data: &Path) -> Option<ClientList> {
    let read = read(data, "crawlers").and_then(|it| it.map(|it| crawlers_of(&it.content)).transpose());
    match read {
        Ok(read) => read.map(|it| it.2),
        Err(reason) => {
            let path = path_of(data, "crawlers");
            tracing::warn!(path = %path.display(), reason, "The fetched list of crawlers is not used; fetch it again");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &str = r#"[{"pattern":"Thingy\\/","instances":["Thingy/1"]},{"pattern":"("},{"pattern":"^Other"}]"#;

    fn fetched(content: &str) -> Fetched {
        Fetched {
            url: "https://lists.example/a.json".to_owned(),
            licence: "MIT".to_owned(),
            fetched_at: "2026-11-21T12:00:00Z".to_owned(),
            sha256: digest(content),
            content: content.to_owned(),
        }
    }

    #[test]
    fn a_list_is_kept_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "crawlers"), Ok(None));
        assert!(crawlers(folder.path()).is_none());
        keep(folder.path(), "crawlers", &fetched(CONTENT)).unwrap();
        assert_eq!(read(folder.path(), "crawlers"), Ok(Some(fetched(CONTENT))));
        assert!(crawlers(folder.path()).is_some_and(|it| it.knows("Thingy/1") && !it.knows("Firefox")));
        assert_eq!(crawlers_of(CONTENT).map(|it| (it.0, it.1)), Ok((3, 1)));
    }

    #[test]
    fn what_is_damaged_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        for fetched in [
            Fetched { sha256: digest("other"), ..fetched(CONTENT) },
            fetched("{}"),
            fetched("[]"),
            fetched("[{\"name\":1}]"),
        ] {
            keep(folder.path(), "crawlers", &fetched).unwrap();
            assert!(crawlers(folder.path()).is_none(), "{fetched:?}");
        }
        fs::write(path_of(folder.path(), "crawlers"), "{").unwrap();
        assert!(read(folder.path(), "crawlers").unwrap_err().contains("damaged"));
    }
}
