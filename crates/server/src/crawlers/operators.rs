//! The crawlers that can be verified: what they write into their user agent, and the domains that their operators publish
//! for the names of their addresses.
//!
//! A crawler whose operator publishes no such names is not here: nobody could tell it from one who only calls itself so.
//! Sources: docs/crawlers.md.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Whoever sends a crawler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    /// The name in marks and reasons: that of its main crawler.
    pub(crate) name: &'static str,
    /// What its user agents hold, in lower case.
    tokens: &'static [&'static str],
    /// Under which domains the names of its addresses are, in lower case.
    domains: &'static [&'static str],
}

/// All of them.
static OPERATORS: [Operator; 5] = [
    Operator {
        name: "googlebot",
        tokens: &["googlebot", "adsbot-google", "mediapartners-google", "storebot-google", "googleother"],
        // Not `googleusercontent.com`: under it are the machines of everybody who rents one.
        domains: &["googlebot.com", "google.com"],
    },
    Operator { name: "bingbot", tokens: &["bingbot", "adidxbot", "msnbot"], domains: &["search.msn.com"] },
    Operator { name: "applebot", tokens: &["applebot"], domains: &["applebot.apple.com"] },
    Operator { name: "yandexbot", tokens: &["yandexbot"], domains: &["yandex.ru", "yandex.net", "yandex.com"] },
    Operator { name: "baiduspider", tokens: &["baiduspider"], domains: &["baidu.com", "baidu.jp"] },
];

/// All tokens, each with the place of its operator.
static TOKENS: LazyLock<(AhoCorasick, Vec<usize>)> = LazyLock::new(|| {
    let tokens = OPERATORS.iter().enumerate().flat_map(|(at, it)| it.tokens.iter().map(move |token| (*token, at)));
    let (tokens, operators): (Vec<&str>, Vec<usize>) = tokens.unzip();
    let matcher = AhoCorasick::builder().ascii_case_insensitive(true).build(tokens);
    (matcher.expect("a dozen short words make a small automaton"), operators)
});

/// How much of a user agent is looked at, in bytes.
const AGENT_BYTES_MAX: usize = 1024;

impl Operator {
    /// The operator whose crawler `user_agent` says to be.
    pub(crate) fn claimed(user_agent: &str) -> Option<&'static Self> {
        let agent = &user_agent.as_bytes()[..user_agent.len().min(AGENT_BYTES_MAX)];
        let (matcher, operators) = &*TOKENS;
        let found = matcher.find(agent)?;
        OPERATORS.get(*operators.get(found.pattern().as_usize())?)
    }

    /// The operator under whose domains `name` is, by whole labels; `name` is in lower case, without the last dot.
    pub(crate) fn of_name(name: &str) -> Option<&'static Self> {
        let is_under =
            |domain: &str| name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
        OPERATORS.iter().find(|it| it.domains.iter().any(|domain| is_under(domain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_found_in_whatever_case() {
        for (agent, expected) in [
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some("googlebot")),
            ("mozilla/5.0 (compatible; BINGBOT/2.0)", Some("bingbot")),
            ("AdsBot-Google (+http://www.google.com/adsbot.html)", Some("googlebot")),
            ("Mozilla/5.0 (compatible; YandexBot/3.0)", Some("yandexbot")),
            ("DuckDuckBot/1.1", None),
            ("Mozilla/5.0 (X11; Linux x86_64) Firefox/105.0", None),
            ("", None),
        ] {
            assert_eq!(Operator::claimed(agent).map(|it| it.name), expected, "{agent}");
        }
        assert_eq!(Operator::claimed(&format!("{}googlebot", "é".repeat(AGENT_BYTES_MAX))), None);
    }

    #[test]
    fn a_name_belongs_to_an_operator_by_whole_labels() {
        for (name, expected) in [
            ("crawl-66-249-66-1.googlebot.com", Some("googlebot")),
            ("rate-limited-proxy-66-249-90-77.google.com", Some("googlebot")),
            ("msnbot-157-55-39-1.search.msn.com", Some("bingbot")),
            ("17-58-101-179.applebot.apple.com", Some("applebot")),
            ("evilgooglebot.com", None),
            ("googlebot.com.evil.example", None),
            ("1.2.3.4.bc.googleusercontent.com", None),
            ("www.apple.com", None),
            ("www.msn.com", None),
            ("", None),
        ] {
            assert_eq!(Operator::of_name(name).map(|it| it.name), expected, "{name}");
        }
    }
}
