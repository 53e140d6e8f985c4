//! The assets: what the pages load, by path.

use std::fmt::Write;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub(crate) const CSS: &str = "text/css; charset=utf-8";
pub(crate) const JS: &str = "text/javascript; charset=utf-8";
pub(crate) const SVG: &str = "image/svg+xml";

/// How many bytes of the digest an entity tag shows: 64 bits tell any two builds of a file apart.
const ETAG_BYTES: usize = 8;

/// One embedded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its path in the address, from the root: `/assets/console.css`.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The bytes, not compressed.
    pub bytes: &'static [u8],
    /// A strong entity tag with its quotes, derived from the bytes. Source: RFC 9110, section 8.8.3.
    pub etag: String,
    /// Whether it is served without a session, as the login page needs it.
    pub is_open: bool,
}

/// Path, type, bytes, whether it is open: the one list of what is embedded.
macro_rules! embedded {
    ($($name:literal, $content_type:expr, $is_open:literal;)*) => {
        [$(file(concat!("/assets/", $name), $content_type, include_bytes!(concat!("../assets/", $name)), $is_open),)*]
    };
}

static ASSETS: LazyLock<[Asset; 12]> = LazyLock::new(|| {
    embedded! {
        "console.css", CSS, true;
        "logo.svg", SVG, true;
        "alerts.js", JS, false;
        "api.js", JS, false;
        "decisions.js", JS, false;
        "detail.js", JS, false;
        "docs.js", JS, false;
        "dom.js", JS, false;
        "format.js", JS, false;
        "inputs.js", JS, false;
        "overview.js", JS, false;
        "verdict.js", JS, false;
    }
});

/// Finds the asset at `path`, the path of the request without its query.
///
/// `/favicon.ico`, for which browsers ask by themselves, is the logo.
#[must_use]
pub fn asset(path: &str) -> Option<&'static Asset> {
    let path = if path == "/favicon.ico" { "/assets/logo.svg" } else { path };
    ASSETS.iter().find(|it| it.path == path)
}

/// All assets.
pub(crate) fn assets() -> &'static [Asset] {
    &*ASSETS
}

fn file(path: &'static str, content_type: &'static str, bytes: &'static [u8], is_open: bool) -> Asset {
    Asset { path, content_type, bytes, etag: etag_of(bytes), is_open }
}

fn etag_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex = digest.iter().take(ETAG_BYTES).fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    });
    format!("\"{hex}\"")
}

/// The paths of assets that stand in quotes in `text`.
#[cfg(test)]
pub(crate) fn paths_of(text: &str) -> Vec<&str> {
    text.split('"').filter(|it| it.starts_with("/assets/")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::page::{docs_page, login_page, overview_page};

    /// All pages and assets together, not compressed, in bytes.
    const TOTAL_BYTES_MAX: usize = 100_000;

    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        ASSETS.iter().filter(|it| it.content_type == JS).map(|it| (it.path, std::str::from_utf8(it.bytes).unwrap()))
    }

    /// The names that a script imports: `./dom.js`.
    fn imports(script: &str) -> Vec<&str> {
        script.lines().filter(|it| it.starts_with("import ")).filter_map(|it| it.split('\'').nth(1)).collect()
    }

    #[track_caller]
    fn check(path: &str, expected: Option<(&str, bool)>) {
        assert_eq!(asset(path).map(|it| (it.content_type, it.is_open)), expected, "{path}");
    }

    #[test]
    fn an_asset_is_found_by_its_whole_path_only() {
        check("/assets/console.css", Some((CSS, true)));
        check("/assets/overview.js", Some((JS, false)));
        check("/favicon.ico", Some((SVG, true)));
        for path in
            ["", "/", "/assets/", "console.css", "/assets/../Cargo.toml", "/assets/console.css/", "/assets/Console.css"]
        {
            check(path, None);
        }
    }

    #[test]
    fn entity_tags_are_strong_quoted_and_differ() {
        let tags: BTreeMap<&str, &str> = ASSETS.iter().map(|it| (it.etag.as_str(), it.path)).collect();
        assert_eq!(tags.len(), ASSETS.len());
        for tag in tags.keys() {
            assert!(tag.len() == 2 * ETAG_BYTES + 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        }
        assert_eq!(etag_of(b""), "\"e3b0c44298fc1c14\"");
    }

    #[test]
    fn what_a_script_imports_exists_and_every_script_is_used() {
        let mut used: BTreeSet<String> =
            [overview_page(), docs_page()].into_iter().flat_map(paths_of).map(str::to_owned).collect();
        for (path, script) in scripts() {
            for name in imports(script) {
                let imported = format!("/assets/{}", name.strip_prefix("./").unwrap());
                assert!(asset(&imported).is_some(), "{path} imports `{name}`");
                used.insert(imported);
            }
        }
        for (path, _) in scripts() {
            assert!(used.contains(path), "nothing uses `{path}`");
        }
    }

    #[test]
    fn no_script_parses_markup_or_text_as_code() {
        const FORBIDDEN: [&str; 11] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "'style'",
            "javascript:",
        ];
        for (path, script) in scripts() {
            for word in FORBIDDEN {
                assert!(!script.contains(word), "{path} has `{word}`");
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        // The name of the SVG namespace looks like an address and is never fetched.
        for it in ASSETS.iter() {
            let text = std::str::from_utf8(it.bytes).unwrap().replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "url(", "@import", "import("] {
                assert!(!text.contains(word), "{} has `{word}`", it.path);
            }
        }
    }

    #[test]
    fn everything_together_stays_small() {
        let pages = login_page(None).len() + overview_page().len() + docs_page().len();
        let total = pages + ASSETS.iter().map(|it| it.bytes.len()).sum::<usize>();
        assert!(total < TOTAL_BYTES_MAX, "{total} bytes");
    }
}
