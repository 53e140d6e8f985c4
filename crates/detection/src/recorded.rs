//! What the gateway found in a request, read from the event in which it says so.

use std::borrow::Cow;

use attack::checks::check_of;
use attack::report::{FINDINGS_MAX, Family, Finding, Place, Report};
use model::event::{EventView, Original};
use model::json::{self, Value};

/// Adds to `report` what the event of the gateway says of its request; `false` when the gateway did not inspect it.
///
/// What this version does not know is left out: a check that is gone, a place that cannot be read.
pub(crate) fn read(event: &EventView<'_>, report: &mut Report) -> bool {
    let Original::Json(text) = event.original else { return false };
    if json::member(text, "http.inspected") != Some(Value::Bool(true)) {
        return false;
    }
    let list = |name| elements_of(text, name);
    let (names, places) = (list("http.findings"), list("http.places"));
    let (scores, evidence) = (list("http.scores"), list("http.evidence"));
    for (number, (name, place)) in names.iter().zip(&places).enumerate() {
        let told = (scores.get(number).map_or("", Cow::as_ref), evidence.get(number).map_or("", Cow::as_ref));
        if let Some(finding) = finding_of(name, place, told) {
            report.add(finding);
        }
    }
    true
}

/// One finding: its name, its place, and its score with its sentence.
fn finding_of(name: &str, place: &str, (score, sentence): (&str, &str)) -> Option<Finding> {
    let (family, check) = name.split_once('/')?;
    let family = Family::from_word(family)?;
    let check = check_of(family, check)?;
    let excerpt = sentence.strip_prefix(&format!("{name} in {place}: ")).unwrap_or_default().to_owned();
    let score = score.parse().ok()?;
    Some(Finding { family, check, place: Place::from_words(place)?, excerpt, confidence: 0, score })
}

/// The scalars of a list in an object, as text.
fn elements_of<'a>(text: &'a str, name: &str) -> Vec<Cow<'a, str>> {
    let Some(Value::Array(list)) = json::member(text, name) else { return Vec::new() };
    let scalars = json::elements(list).take(FINDINGS_MAX).map(|it| match Value::of(it) {
        Some(Value::Text(it)) => it.decode(),
        Some(Value::Number(it)) => Cow::Borrowed(it),
        _ => Cow::Borrowed(""),
    });
    scalars.collect()
}

#[cfg(test)]
mod tests {
    use model::event::EventWriter;
    use model::id::EventId;
    use model::time::Timestamp;

    use super::*;

    #[track_caller]
    fn check(original: &str, expected: Option<&[&str]>) {
        let mut bytes = Vec::new();
        EventWriter::new(&mut bytes, EventId(1), Timestamp(1), None, 0).original(Original::Json(original));
        let mut report = Report::default();
        let is_read = read(&EventView::of(&bytes).unwrap(), &mut report);
        let found: Vec<_> = report.findings.iter().map(|it| format!("{} {}", it.sentence(), it.score)).collect();
        let found = is_read.then(|| found.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{original}");
    }

    #[test]
    fn findings_are_read_as_the_gateway_wrote_them() {
        check(
            r#"{"http.inspected":true,"http.findings":["sqli/sql-union","policy/no-user-agent"],
                "http.places":["query argument `a`: b`","header `user-agent`"],"http.scores":[5,1],
                "http.evidence":["sqli/sql-union in query argument `a`: b`: 1' union","policy/no-user-agent in header `user-agent`: "]}"#,
            Some(&[
                "sqli/sql-union in query argument `a`: b`: 1' union 5",
                "policy/no-user-agent in header `user-agent`:  1",
            ]),
        );
        check(r#"{"http.inspected":true}"#, Some(&[]));
        check(r#"{"http.inspected":false,"http.findings":["sqli/sql-union"]}"#, None);
        check(r#"{"path":"/"}"#, None);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        for (name, place, score) in [
            ("sqli/gone", "path", "5"),
            ("sqli", "path", "5"),
            ("sqli/sql-union", "sky", "5"),
            ("sqli/sql-union", "path", "x"),
        ] {
            let original = format!(
                r#"{{"http.inspected":true,"http.findings":["{name}"],"http.places":["{place}"],"http.scores":["{score}"]}}"#
            );
            check(&original, Some(&[]));
        }
    }
}
