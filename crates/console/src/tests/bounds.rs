//! What lists take at most, in one answer and all together.

use super::*;

/// An alert as versions stored it that did not bound its event.
fn large_alert(number: u64) -> Alert {
    Alert { event: format!("{{\"message\":\"{}\"}}", "x".repeat(1 << 20)), ..alert(number) }
}

#[tokio::test]
async fn a_list_of_large_alerts_ends_early_and_goes_on() {
    let bench = Bench::new();
    bench.raise(&(1..=20).map(large_alert).collect::<Vec<_>>());
    let (mut walked, mut target) = (Vec::new(), Some("/alerts?limit=1000".to_owned()));
    while let Some(here) = target {
        let answer = bench.call(Method::GET, &here, "").await;
        assert!(answer.body.len() < 10 << 20, "{}", answer.body.len());
        walked.extend(ids_of(&serde_json::from_slice(&answer.body).unwrap()));
        let link = answer.header(&hyper::header::LINK).map(|it| it.to_str().unwrap().to_owned());
        target = link.map(|it| it.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned());
    }
    assert_eq!(walked, ids(1..=20));
    assert_eq!(bench.get("/v1/alerts?limit=1000").await.1["next"], Value::Null);
}

#[tokio::test]
async fn lists_that_nobody_fetches_are_bounded_and_answered_again_once_they_are_gone() {
    let bench = Bench::new();
    bench.raise(&(1..=10).map(large_alert).collect::<Vec<_>>());
    let (mut held, mut refused) = (Vec::new(), None);
    for limit in 100..120 {
        // Each has another key, so that none comes from the cache.
        let answer = bench.call(Method::GET, &format!("/alerts?limit={limit}&hours=8000"), "").await;
        if answer.status == 503 {
            refused = Some(answer);
            break;
        }
        held.push(answer);
    }
    assert!(refused.unwrap().header(&hyper::header::RETRY_AFTER).is_some());
    assert!(held.iter().map(|it| it.body.len()).sum::<usize>() <= 128 << 20);
    drop(held);
    assert_eq!(bench.get("/alerts?limit=100&hours=8000").await.0, 200);
}
