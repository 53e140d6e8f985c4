//! The headers of every page and asset.

/// What a page may load and do: its own scripts, styles, pictures and API, and nothing else.
///
/// Trusted types without any policy make the browser refuse to parse text as markup, wherever it comes from.
/// Source: Content Security Policy Level 3; Trusted Types, section 4; OWASP ASVS 5.0, V3.4.3.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// The headers that every answer with a page or an asset carries, as (name, value), names in lower case.
///
/// `referrer-policy` is `same-origin`: other sites learn nothing, and the forms keep their `Origin` header, which
/// `no-referrer` would turn into `null`. Source: Fetch, "append a request `Origin` header".
pub const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// `Cache-Control` of a page: never kept, so that nothing shows after a logout.
pub const CACHE_CONTROL_PAGE: &str = "no-store";

/// `Cache-Control` of an asset: kept, and asked for again with its [`ETag`](crate::asset::Asset::etag), so that an
/// upgrade is seen at once.
pub const CACHE_CONTROL_ASSET: &str = "no-cache";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_starts_from_nothing_and_allows_nothing_inline() {
        let directives: Vec<&str> = CONTENT_SECURITY_POLICY.split("; ").collect();
        assert_eq!(directives[0], "default-src 'none'");
        for expected in ["script-src 'self'", "style-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(directives.contains(&expected), "no `{expected}`");
        }
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe") && !CONTENT_SECURITY_POLICY.contains("  "));
    }

    #[test]
    fn header_names_are_lower_case_and_values_printable() {
        for (name, value) in HEADERS {
            assert_eq!(name, name.to_ascii_lowercase());
            assert!(value.bytes().all(|it| (b' '..=b'~').contains(&it)), "{name}");
        }
    }
}
