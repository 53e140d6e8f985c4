//! Who sends it: tools that look for holes, and programs that do not hide.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Tools that look for holes, by what they write into their user agent, in lower case.
const SCANNERS: &[&[u8]] = &[
    b"sqlmap",
    b"nikto",
    b"nmap scripting",
    b"masscan",
    b"zgrab",
    b"nuclei",
    b"gobuster",
    b"dirbuster",
    b"wpscan",
    b"acunetix",
    b"nessus",
    b"openvas",
    b"w3af",
    b"arachni",
    b"feroxbuster",
    b"ffuf",
    b"fuzz faster",
    b"jaeles",
    b"commix",
    b"zmeu",
    b"morfeus",
    b"havij",
    b"netsparker",
    b"appscan",
    b"webinspect",
    b"qualys",
    b"skipfish",
    b"vega/",
    b"dirsearch",
    b"wfuzz",
    b"httpx - open",
    b"whatweb",
    b"joomscan",
    b"xsser",
    b"brutus",
    b"hydra",
    b"paros/",
    b"grabber",
    b"webshag",
    b"struts-pwn",
    b"jndi-exploit",
    b"burpcollab",
    b"sysscan",
    b"pangolin",
    b"bsqlbf",
    b"sqlninja",
    b"absinthe",
    b"cgichk",
    b"n-stealth",
    b"nsauditor",
    b"metis",
    b"webvulnscan",
    b"whisker",
    b"fimap",
    b"uil2pn",
    b"datacha0s",
    b"core-project",
    b"gotestwaf",
    b".nasl",
    b"rustscan",
    b"leakix",
    b"l9explore",
    b"l9tcpid",
    b"expanse",
    b"censysinspect",
    b"netsystemsresearch",
    b"internetmeasurement",
    b"odin; ",
    b"interactsh",
    b"xray",
];

/// Programs and libraries, in lower case.
const PROGRAMS: &[&[u8]] = &[
    b"curl/",
    b"wget/",
    b"python-requests",
    b"python-urllib",
    b"python/",
    b"aiohttp",
    b"httpx/",
    b"go-http-client",
    b"java/",
    b"okhttp",
    b"apache-httpclient",
    b"libwww-perl",
    b"lwp::",
    b"scrapy",
    b"node-fetch",
    b"axios/",
    b"got (",
    b"ruby",
    b"php/",
    b"guzzlehttp",
    b"powershell/",
    b"winhttp",
    b"httpie",
    b"postmanruntime",
    b"insomnia/",
    b"restsharp",
    b"headlesschrome",
    b"phantomjs",
    b"puppeteer",
    b"playwright",
    b"selenium",
    b"electron-fetch",
    b"dart:io",
    b"rest-client",
    b"http_request",
    b"reqwest",
    b"hyper/",
    b"mechanize",
    b"jakarta commons",
    b"unirest",
    b"perl",
];

/// Crawlers say so, with one of these words or with an address to read about them.
const CRAWLERS: &[&[u8]] = &[
    b"bot",
    b"crawl",
    b"spider",
    b"slurp",
    b"archiver",
    b"facebookexternalhit",
    b"mediapartners",
    b"feedfetcher",
    b"preview",
    b"fetcher",
    b"monitor",
    b"uptime",
    b"pingdom",
    b"validator",
    b"indexer",
    b"search/",
    b"scraper",
    b"checker",
    b"+http",
    b"rss",
    b"feed",
    b"reader",
];

/// Who a user agent says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A tool that looks for holes.
    Scanner,
    /// A crawler that says so.
    Crawler,
    /// A library or a program of the command line.
    Program,
    /// It looks like a browser or an app.
    Browser,
    /// It says nothing.
    Silent,
}

/// The names of each list, found in one pass.
struct Names {
    scanners: AhoCorasick,
    crawlers: AhoCorasick,
    programs: AhoCorasick,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let all = |names: &[&[u8]]| AhoCorasick::new(names).expect("the names are few and short");
    Names { scanners: all(SCANNERS), crawlers: all(CRAWLERS), programs: all(PROGRAMS) }
});

/// Reads a user agent in lower case.
pub(crate) fn client_of(agent: &[u8]) -> Client {
    if agent.trim_ascii().is_empty() || agent == b"-" {
        Client::Silent
    } else if NAMES.scanners.is_match(agent) {
        Client::Scanner
    } else if NAMES.crawlers.is_match(agent) && memchr::memmem::find(agent, b"cubot").is_none() {
        Client::Crawler
    } else if NAMES.programs.is_match(agent) {
        Client::Program
    } else {
        Client::Browser
    }
}

impl Client {
    /// How likely a program sent it, 0 to 100.
    pub(crate) const fn bot_score(self) -> u32 {
        match self {
            Self::Scanner => 100,
            Self::Crawler => 90,
            Self::Program => 80,
            Self::Silent => 60,
            Self::Browser => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_who_asks() {
        for (agent, expected) in [
            ("sqlmap/1.7#stable (https://sqlmap.org)", Client::Scanner),
            ("mozilla/5.0 (compatible; googlebot/2.1; +http://www.google.com/bot.html)", Client::Crawler),
            ("curl/8.5.0", Client::Program),
            ("mozilla/5.0 (x11; linux x86_64; rv:105.0) gecko/20100101 firefox/105.0", Client::Browser),
            ("-", Client::Silent),
        ] {
            assert_eq!(client_of(agent.as_bytes()), expected, "{agent}");
        }
    }
}
