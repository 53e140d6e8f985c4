//! Alerts as a table: RFC 4180, lines ending in CRLF, for people with a spreadsheet.

use backends::store::StoredAlert;

/// The columns of the table, in their order.
const COLUMNS: [&str; 26] = [
    "id",
    "rule_id",
    "rule_version",
    "title",
    "type",
    "severity",
    "confidence",
    "status",
    "entity_kind",
    "entity",
    "client_ip",
    "dst_ip",
    "count",
    "first_seen",
    "last_seen",
    "window_start",
    "timestamp",
    "details",
    "reason",
    "detector",
    "source",
    "country",
    "user",
    "evidence",
    "synthetic",
    "created_at",
];

/// What a cell may not begin with: spreadsheets take it for a formula. Source: OWASP, "CSV Injection".
const FORMULA_STARTS: [char; 8] = ['=', '+', '-', '@', '\t', '\r', '\n', '\0'];

/// Writes alerts as a table with a head: RFC 4180, lines ending in CRLF.
///
/// A cell that a spreadsheet would take for a formula gets an apostrophe in front. The rows of several calls can
/// follow one another: [`head`] once, then [`row`] for each.
#[must_use]
pub fn table<'a>(alerts: impl IntoIterator<Item = &'a StoredAlert>) -> String {
    alerts.into_iter().fold(head(), |mut out, it| {
        out.push_str(&row(it));
        out
    })
}

/// The head of the table, with its line end.
#[must_use]
pub fn head() -> String {
    line_of(COLUMNS.map(str::to_owned))
}

/// One row of the table, with its line end.
#[must_use]
pub fn row(stored: &StoredAlert) -> String {
    let alert = &stored.alert;
    let address = |it: Option<std::net::IpAddr>| it.map(|it| it.to_string()).unwrap_or_default();
    let evidence: Vec<String> = alert.evidence.iter().map(ToString::to_string).collect();
    line_of([
        alert.id.to_string(),
        alert.rule_id.clone(),
        alert.rule_version.clone(),
        alert.title.clone(),
        alert.kind.clone(),
        alert.severity.to_string(),
        alert.confidence.to_string(),
        alert.status.as_str().to_owned(),
        alert.entity.kind.as_str().to_owned(),
        alert.entity.value.clone(),
        address(alert.client_ip),
        address(alert.dst_ip),
        alert.count.to_string(),
        alert.first_seen.to_string(),
        alert.last_seen.to_string(),
        alert.window_start.to_string(),
        alert.timestamp.to_string(),
        alert.details.clone(),
        alert.reason.clone(),
        alert.detector.clone(),
        alert.source.clone(),
        alert.country.clone().unwrap_or_default(),
        alert.user.clone().unwrap_or_default(),
        evidence.join(" "),
        alert.synthetic.to_string(),
        stored.created_at.to_string(),
    ])
}

fn line_of(cells: [String; COLUMNS.len()]) -> String {
    let mut line = cells.map(|it| cell_of(&it)).join(",");
    line.push_str("\r\n");
    line
}

/// Quotes a cell where RFC 4180, section 2, asks for it, and guards it.
fn cell_of(text: &str) -> String {
    let guard = if text.starts_with(FORMULA_STARTS) { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alerts::tests::sample;

    #[track_caller]
    fn check(cell: &str, expected: &str) {
        assert_eq!(cell_of(cell), expected);
    }

    #[test]
    fn cells_are_quoted_and_guarded() {
        check("plain", "plain");
        check("", "");
        check("a,b", "\"a,b\"");
        check("a\"b", "\"a\"\"b\"");
        check("two\r\nlines", "\"two\r\nlines\"");
        for (start, expected) in [("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("\ta", "'\ta")] {
            check(start, expected);
        }
        check("\ra", "\"'\ra\"");
        check("\0a", "'\0a");
        check("a=1", "a=1");
    }

    #[test]
    fn a_table_has_a_head_and_a_row_for_each_alert() {
        let text = table(&[sample(1), sample(2)]);
        assert_eq!(text.matches("\r\n").count(), 3);
        assert!(text.starts_with("id,rule_id,"));
        assert!(text.contains(",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\","));
    }

    proptest! {
        #[test]
        fn no_cell_begins_like_a_formula(text in "[=+@\\t\\r\\n\0\",a-]{0,6}") {
            let cell = cell_of(&text);
            let content = cell.strip_prefix('"').unwrap_or(&cell);
            prop_assert!(!content.starts_with(FORMULA_STARTS) || content.is_empty());
        }
    }
}
