//! The narrowest exceptions for what was found in one request.

use std::sync::Arc;

use attack::exception::{Draft, Exception, Exceptions, path_of_target};
use attack::report::{Finding, Place, Report};

/// The word for every place.
pub(crate) const ANYWHERE: &str = "any";

/// What somebody wants to be other than the narrowest for all that was found, and what is noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// A family or a check, as `xss` or `xss/markup-tag`: then only what it found. Else all that was found.
    pub(crate) finding: Option<String>,
    /// One place: then only what was found there. `any`: then wherever it stands. Else each place in which something was found.
    pub(crate) place: Option<String>,
    /// A folder in place of the path.
    pub(crate) path_prefix: Option<String>,
    /// Why.
    pub(crate) reason: String,
    /// Who.
    pub(crate) by: String,
    /// When.
    pub(crate) at: String,
}

/// Proposes exceptions that hide what is in `report`, of a request to `host` with `target`; a sentence when there are none.
///
/// Attacks are what it is about; only when there is none, the rest. Path and host are those of the request, exactly.
pub(crate) fn propose(
    report: &Report,
    host: Option<&str>,
    target: &str,
    asked: &Asked,
) -> Result<Arc<Exceptions>, String> {
    let wanted = wanted(report, asked)?;
    let is_anywhere = asked.place.as_deref() == Some(ANYWHERE);
    let path = String::from_utf8_lossy(path_of_target(target.as_bytes())).into_owned();
    let mut drafts: Vec<Draft> = Vec::new();
    for finding in &wanted {
        let draft = Draft {
            finding: Some(finding.name()),
            place: (!is_anywhere).then(|| finding.place.to_string()),
            host: host.map(str::to_owned),
            path: asked.path_prefix.is_none().then(|| path.clone()),
            path_prefix: asked.path_prefix.clone(),
            reason: asked.reason.clone(),
            by: asked.by.clone(),
            at: asked.at.clone(),
        };
        if !drafts.contains(&draft) {
            drafts.push(draft);
        }
    }
    let list: Result<Vec<_>, _> = drafts.into_iter().map(Exception::of).collect();
    let exceptions = list.and_then(Exceptions::of).map_err(|it| it.to_string())?;
    let exceptions = Arc::new(exceptions);
    let cover = exceptions.cover(host, target.as_bytes());
    if !wanted.iter().all(|it| cover.covers(it)) {
        let prefix = asked.path_prefix.as_deref().unwrap_or_default();
        return Err(format!("the path of the request is `{path}`, which is not below `{prefix}`"));
    }
    Ok(exceptions)
}

/// The findings that are to be hidden.
fn wanted<'a>(report: &'a Report, asked: &Asked) -> Result<Vec<&'a Finding>, String> {
    let is_attack = report.findings.iter().any(|it| it.family.is_attack());
    let all: Vec<_> = report.findings.iter().filter(|it| it.family.is_attack() || !is_attack).collect();
    if all.is_empty() {
        let excepted = if report.excepted.is_empty() { "" } else { ": exceptions in force cover it already" };
        return Err(format!("nothing stands out in this request{excepted}"));
    }
    let all = match asked.finding.as_deref() {
        None => all,
        Some(name) => named(all, name)?,
    };
    let Some(words) = asked.place.as_deref().filter(|it| *it != ANYWHERE) else { return Ok(all) };
    let place = Place::from_words(words).ok_or_else(|| format!("there is no place `{words}`; {}", found(&all)))?;
    let there: Vec<_> = all.iter().copied().filter(|it| it.place == place).collect();
    if there.is_empty() { Err(format!("nothing was found in {place}; {}", found(&all))) } else { Ok(there) }
}

/// The findings of a family or a check.
fn named<'a>(all: Vec<&'a Finding>, name: &str) -> Result<Vec<&'a Finding>, String> {
    let is_named = |it: &&&Finding| it.family.as_str() == name || it.name() == name;
    let named: Vec<_> = all.iter().filter(is_named).copied().collect();
    if named.is_empty() { Err(format!("no finding here is `{name}`; {}", found(&all))) } else { Ok(named) }
}

fn found(findings: &[&Finding]) -> String {
    let names: Vec<_> = findings.iter().map(|it| format!("{} in {}", it.name(), it.place)).collect();
    format!("what was found is {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use attack::inspector::{Inspector, Scratch};
    use attack::request::Request;

    use super::*;
    use crate::exceptions::table_of;

    const TARGET: &str = "/a/search?q=1%27%20union%20select%201,2--%20&p=1%27%20union%20select%201,2--%20";

    #[track_caller]
    fn check(target: &str, place: Option<&str>, path_prefix: Option<&str>, expected: Result<&[&str], &str>) {
        let request = Request { method: "GET", target: target.as_bytes(), ..Request::default() };
        let mut report = Report::default();
        Inspector::new().inspect(&request, &mut Scratch::default(), &mut report);
        let asked = Asked {
            place: place.map(str::to_owned),
            path_prefix: path_prefix.map(str::to_owned),
            reason: "x".to_owned(),
            ..Asked::default()
        };
        let proposed = propose(&report, Some("shop"), target, &asked);
        let shown = proposed.map(|it| it.list().iter().map(|it| table_of(it.draft())).collect::<Vec<_>>());
        let expected = expected.map(|it| {
            it.iter().map(|it| format!("[[exception]]\nfinding = \"sqli/sql-union\"\n{it}reason = \"x\"\n")).collect()
        });
        assert_eq!(shown, expected.map_err(str::to_owned));
    }

    #[test]
    fn the_narrowest_are_proposed_and_no_wider_ones_than_asked_for() {
        let (host, path) = ("host = \"shop\"\n", "path = \"/a/search\"\n");
        let (q, p) = ("place = \"query argument `q`\"\n", "place = \"query argument `p`\"\n");
        check(TARGET, None, None, Ok(&[&format!("{q}{host}{path}"), &format!("{p}{host}{path}")]));
        check(TARGET, Some("query argument p"), None, Ok(&[&format!("{p}{host}{path}")]));
        check(TARGET, Some("any"), None, Ok(&[&format!("{host}{path}")]));
        let folder = "path_prefix = \"/a\"\n";
        check(TARGET, Some("any"), Some("/a"), Ok(&[&format!("{host}{folder}")]));
    }

    #[test]
    fn what_would_hide_nothing_is_no_proposal() {
        check(
            TARGET,
            Some("path"),
            None,
            Err(
                "nothing was found in path; what was found is sqli/sql-union in query argument `q`, sqli/sql-union in query argument `p`",
            ),
        );
        check(TARGET, None, Some("/b"), Err("the path of the request is `/a/search`, which is not below `/b`"));
        check("/", None, None, Err("nothing stands out in this request"));
    }

    #[test]
    fn one_finding_of_several_can_be_meant() {
        let target = format!("{TARGET}&x=%3Cscript%3Ealert(1)%3C/script%3E");
        let request = Request { method: "GET", target: target.as_bytes(), ..Request::default() };
        let mut report = Report::default();
        Inspector::new().inspect(&request, &mut Scratch::default(), &mut report);
        for (finding, expected) in [
            ("xss", Ok("query argument `x`")),
            ("sqli/sql-union", Ok("query argument `q`")),
            ("lookup", Err("no finding here is `lookup`; what was found is ")),
        ] {
            let asked = Asked { finding: Some(finding.to_owned()), reason: "x".to_owned(), ..Asked::default() };
            let proposed = propose(&report, None, &target, &asked);
            match (proposed, expected) {
                (Ok(proposed), Ok(place)) => {
                    let first = proposed.list()[0].draft();
                    assert_eq!(first.place.as_deref(), Some(place));
                    let is_meant =
                        |it: &Exception| it.draft().finding.as_deref().is_some_and(|it| it.starts_with(finding));
                    assert!(proposed.list().iter().all(is_meant), "{proposed:?}");
                }
                (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
