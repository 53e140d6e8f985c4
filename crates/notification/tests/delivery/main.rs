//! Messages from the store to receivers that misbehave, over real sockets.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod independent;
mod receiver;
mod support;

use std::time::Duration;

use backends::store::outbox::{DeliveryQuery, Replay};

use receiver::{Answer, Receiver, Request};
use support::{SHORT, Setup, alert, webhook, with, without};

#[tokio::test]
async fn a_message_arrives_soon_after_its_commit_and_once() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    let taken = receiver.wait_for(1).await;
    assert!(taken[0].1.contains(&alert(1).id.to_string()));
    assert!(taken[0].0.contains("webhook-id: msg_"));
    setup.wait_until_empty().await;
    assert_eq!(receiver.taken().len(), 1);
    assert_eq!(setup.stats("ops").delivered, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_was_posted_before_the_start_is_delivered_after_it() {
    let receiver = Receiver::start(|_| Answer::status(204)).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    setup.commit(&[alert(1), alert(2)]);
    let running = setup.start();
    receiver.wait_for(2).await;
    running.stop().await;
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again_with_the_same_id() {
    for bad in [Answer::status(500), Answer::status(503), Answer::reset(), Answer::nothing(), Answer::half()] {
        let first = bad.clone();
        let receiver =
            Receiver::start(move |number| if number == 0 { first.clone() } else { Answer::status(200) }).await;
        let setup = Setup::new(&[webhook("ops", &receiver)]);
        let running = setup.start();
        setup.commit(&[alert(1)]);
        let taken = receiver.wait_for(2).await;
        setup.wait_until_empty().await;
        assert_eq!(taken[0].2, taken[1].2, "{bad:?}");
        assert_eq!(taken[0].1, taken[1].1, "{bad:?}");
        let stats = setup.stats("ops");
        assert_eq!((stats.delivered, stats.failed, stats.dead), (1, 1, 0), "{bad:?}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_a_dead_letter_with_its_reason_and_can_be_replayed() {
    let receiver = Receiver::start(|number| Answer::status(if number < 1 { 404 } else { 200 })).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    receiver.wait_for(1).await;
    setup.wait_until(|it| it.dead == 1).await;
    let dead = DeliveryQuery { is_dead: Some(true), limit: 9, ..DeliveryQuery::default() };
    assert_eq!(setup.store.deliveries(&dead).unwrap()[0].reason, "it answered 404 Not Found");
    assert_eq!(setup.store.replay(&Replay::All, notification::worker::now()).unwrap(), 1);
    let taken = receiver.wait_for(2).await;
    assert_eq!(taken[0].2, taken[1].2);
    setup.wait_until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let receiver = Receiver::start(|_| {
        Answer::raw("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    setup.wait_until(|it| it.dead == 1).await;
    let listed = setup.store.deliveries(&DeliveryQuery { limit: 9, ..DeliveryQuery::default() }).unwrap();
    assert_eq!(listed[0].reason, "it answered 307 Temporary Redirect; redirects are not followed");
    assert_eq!(receiver.taken().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_kept() {
    let receiver = Receiver::start(|number| match number {
        0 => Answer::raw("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"),
        _ => Answer::status(200),
    })
    .await;
    let setup = Setup::new(&[with(webhook("ops", &receiver), "pause", "1ms")]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    receiver.wait_for(1).await;
    let began = std::time::Instant::now();
    // The destination as a whole is left alone, not this message only.
    setup.commit(&[alert(2)]);
    receiver.wait_for(3).await;
    assert!(Duration::from_millis(2800) <= began.elapsed(), "{:?}", began.elapsed());
    setup.wait_until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn an_answer_without_end_does_no_harm() {
    let receiver = Receiver::start(|_| Answer::endless()).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    setup.wait_until_empty().await;
    assert_eq!(receiver.taken().len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_dead_destination_costs_the_others_nothing() {
    let (dead, good) = (Receiver::start(|_| Answer::nothing()).await, Receiver::start(|_| Answer::status(200)).await);
    let setup = Setup::new(&[webhook("dead", &dead), webhook("good", &good)]);
    let running = setup.start();
    for number in 0..20 {
        setup.commit(&[alert(number)]);
    }
    let began = std::time::Instant::now();
    good.wait_for(20).await;
    assert!(began.elapsed() < SHORT, "{:?}", began.elapsed());
    assert_eq!(setup.stats("dead").delivered, 0);
    running.stop().await;
}

#[tokio::test]
async fn a_destination_that_fails_again_and_again_is_left_alone() {
    let receiver = Receiver::start(|_| Answer::status(500)).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    let alerts: Vec<_> = (0..50).map(alert).collect();
    setup.commit(&alerts);
    setup.wait_until_stats("ops", |it| it.is_open).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Those on their way when it opened, and no more.
    assert!(receiver.taken().len() <= 16, "{}", receiver.taken().len());
    let waiting = setup.store.outbox_counts().unwrap();
    assert_eq!((waiting[0].waiting, waiting[0].dead), (50, 0));
    running.stop().await;
}

#[tokio::test]
async fn whoever_took_it_and_never_said_so_gets_it_again_with_the_same_id() {
    let receiver = Receiver::start(|number| if number == 0 { Answer::hang() } else { Answer::status(200) }).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    let taken = receiver.wait_for(2).await;
    assert_eq!(taken[0].2, taken[1].2);
    setup.wait_until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn a_repetition_is_not_told_within_the_interval() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let setup = Setup::new(&[with(webhook("ops", &receiver), "repeat", "1000s")]);
    let running = setup.start();
    let again = model::alert::Alert { id: model::id::AlertId(99), ..alert(1) };
    setup.commit(&[alert(1)]);
    setup.commit(&[again, alert(2)]);
    receiver.wait_for(2).await;
    setup.wait_until_empty().await;
    assert_eq!(receiver.taken().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn one_that_hangs_keeps_no_other_from_being_marked() {
    let receiver = Receiver::start(|number| if number == 0 { Answer::hang() } else { Answer::status(200) }).await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let running = setup.start();
    let alerts: Vec<_> = (0..8).map(alert).collect();
    let began = std::time::Instant::now();
    setup.commit(&alerts);
    setup.wait_until(|it| it.waiting == 1).await;
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
    setup.wait_until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn an_incident_is_resolved_after_it_was_triggered_whatever_failed() {
    let receiver = Receiver::start(|number| Answer::status(if number == 0 { 500 } else { 202 })).await;
    let key = "k".repeat(32);
    let pager = with(with(webhook("pager", &receiver), "type", "pagerduty"), "routing_key", &key);
    let setup = Setup::new(&[without(pager, "secret")]);
    setup.commit(&[alert(1)]);
    setup.close(&alert(1));
    let running = setup.start();
    let taken = receiver.wait_for(3).await;
    let said = |it: &Request| serde_json::from_str::<serde_json::Value>(&it.1).unwrap();
    let actions: Vec<_> = taken.iter().map(|it| said(it)["event_action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actions, ["trigger", "trigger", "resolve"]);
    assert!(taken.iter().all(|it| said(it)["dedup_key"] == alert(1).id.to_string()));
    setup.wait_until_empty().await;
    running.stop().await;
}

#[tokio::test]
async fn an_alertmanager_is_reminded_until_the_alert_is_closed() {
    let receiver = Receiver::start(|_| Answer::status(200)).await;
    let manager = with(with(webhook("am", &receiver), "type", "alertmanager"), "every", "200ms");
    let setup = Setup::new(&[without(manager, "secret")]);
    let running = setup.start();
    setup.commit(&[alert(1)]);
    let taken = receiver.wait_for(3).await;
    assert!(taken[0].0.starts_with("POST /hook/api/v2/alerts HTTP/1.1\r\n"), "{}", taken[0].0);
    setup.close(&alert(1));
    setup.wait_until_empty().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let count = receiver.taken().len();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(receiver.taken().len(), count);
    let said = |it: &Request| serde_json::from_str::<serde_json::Value>(&it.1).unwrap()[0].clone();
    let (first, last) = (said(&taken[0]), said(&receiver.taken()[count - 1]));
    assert_eq!(first["labels"], last["labels"]);
    assert_ne!(first["endsAt"], last["endsAt"]);
    running.stop().await;
}

#[tokio::test]
async fn a_test_says_status_and_time_and_nothing_of_the_answer() {
    let receiver = Receiver::start(|number| match number {
        0 => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"),
        _ => Answer::raw("HTTP/1.1 500 Oh\r\nContent-Length: 6\r\n\r\nsecret"),
    })
    .await;
    let setup = Setup::new(&[webhook("ops", &receiver)]);
    let tried = setup.notifier.test("ops").await.unwrap();
    assert_eq!((tried.is_sent, tried.status.as_str()), (true, "200"));
    let tried = setup.notifier.test("ops").await.unwrap();
    assert_eq!((tried.is_sent, tried.status.as_str()), (false, "it answered 500 Internal Server Error"));
    assert!(setup.notifier.test("other").await.is_none());
    assert!(receiver.taken()[0].1.contains("\"alert.test\""));
}
