//! What is excepted passes; its neighbours do not.

use std::sync::Arc;

use attack::exception::{Draft, Exception, Exceptions};
use gateway::route::Mode;

use crate::support::{Does, Running, start, status, upstream};

const UNION: &str = "1%27%20union%20select%201,2--%20";

fn except(running: &Running, drafts: &[Draft]) {
    let list = drafts.iter().map(|it| Exception::of(it.clone()).unwrap()).collect();
    running.gateway.except(Arc::new(Exceptions::of(list).unwrap()));
}

async fn check(running: &Running, target: &str, fields: &str, expected: u16) {
    assert_eq!(status(&running.get(target, fields).await), expected, "{target} {fields}");
}

#[tokio::test]
async fn an_excepted_request_passes_while_its_neighbours_are_blocked() {
    let upstream = upstream(Does::Echo).await;
    let running = start(&[upstream.address], |it| it.policy.routes[0].mode = Mode::Block).await;
    let target = format!("/search?q={UNION}");
    check(&running, &target, "", 403).await;

    let draft = Draft {
        finding: Some("sqli/sql-union".to_owned()),
        place: Some("query argument `q`".to_owned()),
        host: Some("shop.example".to_owned()),
        path: Some("/search".to_owned()),
        reason: "the search takes SQL".to_owned(),
        ..Draft::default()
    };
    except(&running, std::slice::from_ref(&draft));
    check(&running, &target, "", 200).await;
    check(&running, &format!("/search?p={UNION}"), "", 403).await;
    check(&running, &format!("/login?q={UNION}"), "", 403).await;
    check(&running, "/search?q=1%27%20or%20%271%27=%271", "", 403).await;
    check(&running, &target, "X-Query: 1' union select 1,2-- \r\n", 403).await;
    except(&running, &[Draft { host: Some("other.example".to_owned()), ..draft }]);
    check(&running, &target, "", 403).await;
    except(&running, &[]);
    check(&running, &target, "", 403).await;

    let events = running.events(8).await;
    let passed = events.iter().find(|it| it.status == Some(200)).unwrap();
    let excepted = passed.json["http.excepted"][0].as_str().unwrap();
    assert!(excepted.starts_with("sqli/sql-union in query argument `q`: "), "{excepted}");
    assert_eq!(
        (&passed.json["http.attack_score"], &passed.json["http.families"]),
        (&0.into(), &serde_json::Value::Null)
    );
}
