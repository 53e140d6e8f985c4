use super::*;
use crate::inspector::{Inspector, Scratch};
use crate::report::Report;
use crate::request::{Header, Request};

const UNION: &str = "%27%20union%20select%201,2--%20";

fn draft(pairs: &[(&str, &str)]) -> Draft {
    let mut draft = Draft { reason: "looked at".to_owned(), ..Draft::default() };
    for (key, value) in pairs {
        let value = (*value).to_owned();
        match *key {
            "finding" => draft.finding = Some(value),
            "place" => draft.place = Some(value),
            "host" => draft.host = Some(value),
            "path" => draft.path = Some(value),
            "path_prefix" => draft.path_prefix = Some(value),
            "reason" => draft.reason = value,
            other => panic!("{other}"),
        }
    }
    draft
}

fn in_force(all: &[&[(&str, &str)]]) -> Arc<Exceptions> {
    let list = all.iter().map(|it| Exception::of(draft(it)).unwrap()).collect();
    Arc::new(Exceptions::of(list).unwrap())
}

fn report(exceptions: &Arc<Exceptions>, host: Option<&str>, target: &str, headers: &[Header<'_>]) -> Report {
    let (mut scratch, mut report) = (Scratch::default(), Report::default());
    let request = Request { method: "GET", target: target.as_bytes(), headers, ..Request::default() };
    Inspector::new().inspect_except(&request, (exceptions, host), &mut scratch, &mut report);
    report
}

/// Holds whether a request is still taken for an attack while an exception is in force.
#[track_caller]
fn check(exception: &[(&str, &str)], host: Option<&str>, target: &str, is_attack: bool) {
    let report = report(&in_force(&[exception]), host, target, &[]);
    assert_eq!(report.is_attack(), is_attack, "{exception:?}: {host:?} {target}: {report:?}");
    assert_eq!(report.excepted.is_empty(), is_attack, "{report:?}");
}

const NARROW: &[(&str, &str)] = &[("finding", "sqli/sql-union"), ("place", "query argument `q`"), ("path", "/search")];

#[test]
fn an_exception_hides_what_it_names_and_no_neighbour() {
    check(NARROW, None, &format!("/search?q=1{UNION}"), false);
    check(NARROW, Some("shop"), &format!("http://shop/search?q=1{UNION}"), false);
    for (_, target) in [
        ("another argument", format!("/search?p=1{UNION}")),
        ("another path", format!("/login?q=1{UNION}")),
        ("a path below", format!("/search/x?q=1{UNION}")),
        ("another case", format!("/Search?q=1{UNION}")),
        ("another check", "/search?q=1%27%20or%20%271%27=%271".to_owned()),
        ("another family", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E".to_owned()),
    ] {
        check(NARROW, None, &target, true);
    }
}

#[test]
fn what_is_left_out_leaves_the_rest_with_its_own_score() {
    let target = format!("/search?q=1{UNION}&p=1{UNION}");
    let report = report(&in_force(&[NARROW]), None, &target, &[]);
    let names = |list: &[Finding]| list.iter().map(|it| (it.name(), it.place.to_string())).collect::<Vec<_>>();
    assert_eq!(names(&report.excepted), [("sqli/sql-union".to_owned(), "query argument `q`".to_owned())]);
    assert_eq!(names(&report.findings), [("sqli/sql-union".to_owned(), "query argument `p`".to_owned())]);
    assert_eq!(report.attack_score, 5);
}

#[test]
fn a_folder_has_what_is_below_it_and_nothing_that_climbs_out() {
    let folder: &[(&str, &str)] = &[("finding", "sqli"), ("path_prefix", "/editor")];
    for (path, is_attack) in [
        ("/editor", false),
        ("/editor/", false),
        ("/editor/a/b", false),
        ("/editorial", true),
        ("/a/editor", true),
        ("/editor/../login", true),
        ("/editor/%2e%2E/login", true),
        ("/editor/..%2flogin", true),
        ("/editor/%252e%252e/login", true),
        ("/editor/..\\login", true),
        ("/editor/%c0%ae%c0%ae/login", true),
    ] {
        let report = report(&in_force(&[folder]), None, &format!("{path}?q=1{UNION}"), &[]);
        let has_sql = report.findings.iter().any(|it| it.family == Family::SqlInjection);
        assert_eq!(has_sql, is_attack, "{path}");
    }
    check(&[("place", "query argument q"), ("path_prefix", "/editor/")], None, &format!("/editor?q=1{UNION}"), true);
}

#[test]
fn a_host_without_a_port_is_on_every_port() {
    let target = format!("/?q=1{UNION}");
    for (wanted, asked, is_attack) in [
        ("Shop.example", Some("shop.EXAMPLE"), false),
        ("shop.example", Some("shop.example:8080"), false),
        ("shop.example:8080", Some("shop.example:8080"), false),
        ("shop.example:8080", Some("shop.example"), true),
        ("shop.example", Some("example"), true),
        ("[2001:db8::1]", Some("[2001:db8::1]:443"), false),
        ("2001:db8::1", Some("2001:db8::2"), true),
        ("shop.example", None, true),
    ] {
        check(&[("finding", "sqli"), ("host", wanted)], asked, &target, is_attack);
    }
}

#[test]
fn what_is_excepted_takes_no_room_from_what_is_not() {
    let many: String = (0..40).map(|it| format!("a{it}=1{UNION}&")).collect();
    let target = format!("/search?{many}x=%3Cscript%3Ealert(1)%3C/script%3E");
    let report = report(&in_force(&[&[("finding", "sqli"), ("path", "/search")]]), None, &target, &[]);
    assert_eq!(report.families(), [Family::CrossSiteScripting]);
    assert_eq!(report.excepted.len(), crate::report::FINDINGS_MAX);
}

#[test]
fn a_header_that_was_excepted_is_no_clean_one_elsewhere() {
    let exceptions = in_force(&[&[("finding", "sqli"), ("path", "/search")]]);
    let headers = [Header { name: "X-Query", value: b"1' union select 1,2-- " }];
    let (inspector, mut scratch, mut report) = (Inspector::new(), Scratch::default(), Report::default());
    for (target, is_attack) in [("/search", false), ("/login", true), ("/search", false)] {
        let request = Request { method: "GET", target: target.as_bytes(), headers: &headers, ..Request::default() };
        inspector.inspect_except(&request, (&exceptions, None), &mut scratch, &mut report);
        assert_eq!(report.is_attack(), is_attack, "{target}");
    }
}

#[test]
fn an_exception_for_a_field_of_json_hides_no_field_of_that_name_elsewhere() {
    let exceptions = in_force(&[&[("finding", "sqli"), ("place", "body field `user.text`")]]);
    let headers = [Header { name: "Content-Type", value: b"application/json" }];
    for (body, is_attack) in [
        (r#"{"user":{"text":"' or 1=1-- "}}"#, false),
        (r#"[{"user":[{"text":["a","' or 1=1-- "]}]}]"#, false),
        (r#"{"text":"' or 1=1-- "}"#, true),
        (r#"{"user":{"text":"a"},"other":["' or 1=1-- "]}"#, true),
        (r#"[{"user":{"text":"a"}},"' or 1=1-- "]"#, true),
    ] {
        let (mut scratch, mut report) = (Scratch::default(), Report::default());
        let request = Request { target: b"/", headers: &headers, body: body.as_bytes(), ..Request::default() };
        Inspector::new().inspect_except(&request, (&exceptions, None), &mut scratch, &mut report);
        assert_eq!(report.is_attack(), is_attack, "{body}: {report:?}");
    }
}

#[test]
fn each_of_many_is_found() {
    let folder: &[(&str, &str)] = &[("finding", "xss"), ("path_prefix", "/search")];
    let other: &[(&str, &str)] = &[("finding", "xss"), ("path", "/search")];
    let exceptions = in_force(&[other, folder, NARROW]);
    let target = format!("q=1{UNION}&x=%3Cscript%3Ealert(1)%3C/script%3E");
    for (path, families) in [
        ("/search", &[][..]),
        ("/search/x", &[Family::SqlInjection]),
        ("/", &[Family::SqlInjection, Family::CrossSiteScripting]),
    ] {
        let report = report(&exceptions, None, &format!("{path}?{target}"), &[]);
        assert_eq!(report.families(), families, "{path}");
    }
}

#[track_caller]
fn check_refused(pairs: &[(&str, &str)], named: &str) {
    let error = Exception::of(draft(pairs)).unwrap_err().to_string();
    assert!(error.contains(named), "{pairs:?}: {error}");
}

#[test]
fn an_exception_that_hides_nothing_or_everything_is_refused() {
    let place = ("place", "path");
    check_refused(&[("finding", "sqli/sql-onion")], "the checks of `sqli` are sql-catalogue, ");
    check_refused(&[("finding", "sql-union")], "the families are sqli, ");
    check_refused(&[("finding", "xss/sql-union")], "inspection finds no such thing");
    check_refused(&[("finding", "bot")], "inspection finds no such thing");
    check_refused(&[("finding", "")], "inspection finds no such thing");
    check_refused(&[("place", "argument q")], "`place` is `argument q`");
    check_refused(&[("place", &format!("cookie {}", "x".repeat(65)))], "at most 64 characters");
    check_refused(&[place, ("host", "http://shop")], "`host` is `http://shop`");
    check_refused(&[place, ("host", "")], "`host` is ``");
    check_refused(&[place, ("path", "search")], "`path` is `search`");
    check_refused(&[place, ("path", "/search?q=1")], "have no query");
    check_refused(&[place, ("path_prefix", "/a/../b")], "`path_prefix` is `/a/../b`");
    check_refused(&[place, ("path", "/a"), ("path_prefix", "/a")], "one of them is enough");
    check_refused(&[], "would hide everything");
    check_refused(&[("place", "any"), ("host", "shop")], "would hide everything");
    check_refused(&[("path_prefix", "/")], "would hide everything");
    check_refused(&[place, ("reason", " ")], "`reason` is missing");
    check_refused(&[place, ("reason", &"x".repeat(501))], "longer than 500");
    assert!(Exception::of(draft(&[("path", "/a/../b"), ("reason", &"x".repeat(500))])).is_ok());
}

#[test]
fn takes_a_thousand_and_not_one_more() {
    let one = Exception::of(draft(NARROW)).unwrap();
    assert!(Exceptions::of(vec![one.clone(); EXCEPTIONS_MAX]).is_ok());
    assert_eq!(Exceptions::of(vec![one; EXCEPTIONS_MAX + 1]), Err(ExceptionError::TooMany));
}
