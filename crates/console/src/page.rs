//! The pages. Two are the same for everybody and fetch their data; the login page may carry a message.

/// `Content-Type` of the pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// Where the message of the login page goes.
const MESSAGE_PLACE: &str = "<!--message-->";

const LOGIN: &str = include_str!("../assets/login.html");
const OVERVIEW: &str = include_str!("../assets/overview.html");
const DOCS: &str = include_str!("../assets/docs.html");

/// Returns the page that a browser without a session sees, at `/login` and everywhere else.
///
/// `message` is shown above the forms as text, such as "The link has been used or has expired." The form sends
/// `key` to `POST /login`, form-encoded, with the `Origin` header of this site.
#[must_use]
pub fn login_page(message: Option<&str>) -> String {
    let notice = message.map(|it| format!("<p class=\"notice\" role=\"alert\">{}</p>", escape(it))).unwrap_or_default();
    LOGIN.replacen(MESSAGE_PLACE, &notice, 1)
}

/// Returns the overview, for `GET /` with a session.
///
/// It reads `/health`, `/v1/alerts`, `/v1/ledger`, `/v1/decisions`, `/v1/decisions/switches` and, for one alert, `/v1/alerts/{id}` and `/v1/events/{id}`;
/// logging out sends `POST /logout` with `X-Requested-With: bartizan`.
#[must_use]
pub const fn overview_page() -> &'static str {
    OVERVIEW
}

/// Returns the API reference, for `GET /docs` with a session; it reads `/openapi.json`.
#[must_use]
pub const fn docs_page() -> &'static str {
    DOCS
}

/// Escapes `text` for the content of an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asset::{asset, paths_of};

    /// Pages under a name, the login page without and with a message that tries to break out.
    fn pages() -> [(&'static str, String); 4] {
        [
            ("login", login_page(None)),
            ("login with a message", login_page(Some("</p><script>alert(1)</script>"))),
            ("overview", overview_page().to_owned()),
            ("docs", docs_page().to_owned()),
        ]
    }

    /// The tags of a page: what stands between angle brackets, in lower case.
    fn tags(page: &str) -> Vec<String> {
        page.split('<').skip(1).filter_map(|it| it.split_once('>')).map(|(tag, _)| tag.to_ascii_lowercase()).collect()
    }

    /// The attributes of a tag, as (name, value).
    fn attributes(tag: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut rest = tag.split_once(' ').map_or("", |(_, it)| it);
        while let Some((name, after)) = rest.split_once('=') {
            let Some((value, after)) = after.strip_prefix('"').and_then(|it| it.split_once('"')) else { break };
            found.push((name.rsplit(' ').next().unwrap_or(name).to_owned(), value.to_owned()));
            rest = after;
        }
        found
    }

    #[test]
    fn every_asset_that_a_page_names_exists() {
        for (name, page) in pages() {
            for path in paths_of(&page) {
                assert!(asset(path).is_some(), "{name}: no asset `{path}`");
            }
        }
    }

    #[test]
    fn the_login_page_needs_open_assets_only() {
        let page = login_page(None);
        let paths = paths_of(&page);
        assert!(!paths.is_empty());
        for path in paths {
            assert!(asset(path).unwrap().is_open, "`{path}` needs a session");
        }
    }

    #[test]
    fn no_page_has_an_inline_script_a_style_or_a_handler() {
        for (name, page) in pages() {
            for tag in tags(&page) {
                assert!(!tag.starts_with("style"), "{name}: <{tag}>");
                assert!(!tag.starts_with("script") || tag.contains(" src=\"/assets/"), "{name}: <{tag}>");
                for (attribute, _) in attributes(&tag) {
                    assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: <{tag}>");
                }
            }
        }
    }

    #[test]
    fn no_page_leads_outside() {
        for (name, page) in pages() {
            for tag in tags(&page) {
                for (attribute, value) in attributes(&tag) {
                    let is_address =
                        ["src", "href", "action", "formaction", "srcset", "data"].contains(&attribute.as_str());
                    let is_ours = value.starts_with('#') || value.starts_with('/') && !value.starts_with("//");
                    assert!(!is_address || is_ours, "{name}: <{tag}>");
                }
            }
        }
    }

    #[test]
    fn every_id_is_there_once() {
        for (name, page) in pages() {
            let mut seen = std::collections::BTreeSet::new();
            for (attribute, value) in tags(&page).iter().flat_map(|it| attributes(it)) {
                assert!(attribute != "id" || seen.insert(value.clone()), "{name}: `{value}`");
            }
        }
    }

    #[test]
    fn a_message_is_text() {
        let page = login_page(Some("a <b> & \"c\" 'd'"));
        assert!(page.contains("<p class=\"notice\" role=\"alert\">a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;</p>"));
    }

    #[test]
    fn without_a_message_nothing_is_left_of_its_place() {
        let page = login_page(None);
        assert!(!page.contains(MESSAGE_PLACE) && !page.contains("role=\"alert\""));
    }

    proptest! {
        #[test]
        fn no_message_adds_a_tag(message in ".{0,80}") {
            prop_assert_eq!(tags(&login_page(Some(&message))).len(), tags(&login_page(Some(""))).len());
        }
    }
}
