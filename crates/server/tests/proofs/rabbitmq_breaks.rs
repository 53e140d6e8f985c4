//! RabbitMQ that is restarted, closes connections, and has large messages: nothing is lost, doubled, or in the way of others.

use serde_json::json;

use crate::rabbitmq::{left, log, messages, source, start, wait, wait_connected, wait_received};
use crate::support::rabbitmq::{Broker, OwnBroker};
use crate::support::server::new_folder;

#[test]
fn a_broker_that_closes_connections_and_is_restarted_loses_and_doubles_nothing() {
    let Some(mut own) = OwnBroker::start() else { return };
    let broker = own.broker();
    let folder = new_folder();
    let (queue, half) = ("restarted", 1000_usize);
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let text =
        format!("[inputs.it]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\nprefetch = 5\n", broker.address);
    let start = start(folder.path(), &text);
    let server = start.must();
    let connects = wait_connected(&server, &start, "it")["connects"].as_u64().unwrap();
    broker.ask("publish", &messages(queue, 0..half));
    own.close_connections();
    wait(&start, "another connection", || {
        let state = source(&server, "it");
        (state["connected"] == true && Some(connects) < state["connects"].as_u64()).then_some(())
    });
    let reason = source(&server, "it")["last_error"]["reason"].to_string();
    assert!(reason.contains("CONNECTION_FORCED"), "{reason}");
    broker.ask("publish", &messages(queue, half..2 * half));
    own.kill();
    wait(&start, "the loss", || (source(&server, "it")["connected"] == false).then_some(()));
    own.revive();
    wait_connected(&server, &start, "it");
    let counts = wait(&start, "the last message", || {
        let counts = server.get("/v1/ledger")["inputs"]["it"].clone();
        (2 * half as u64 <= counts["stored"].as_u64()?).then_some(counts)
    });
    assert_eq!((&counts["stored"], &counts["quarantined"]), (&(2 * half).into(), &0.into()), "{counts}");
    wait(&start, "an empty queue", || (left(&broker, queue) == 0).then_some(()));
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}

#[test]
fn a_large_message_is_stored_whole_and_holds_up_nobody() {
    let Some(broker) = Broker::find() else { return };
    let folder = new_folder();
    let (queue, records) = ("large", 100_000_u64);
    broker.ask("declare", &json!({"queues": [{"name": queue}]}));
    let text = format!("[inputs.large]\ntype = \"rabbitmq\"\nurl = \"{}\"\nqueue = \"{queue}\"\n", broker.address);
    let start = start(folder.path(), &text);
    let server = start.must();
    wait_connected(&server, &start, "large");
    let line = log(200, "203.0.113.9") + "\n";
    let large = json!({"key": queue, "id": "same", "body": line.repeat(records as usize)});
    // Another message, though its sender calls it the same.
    let small = json!({"key": queue, "id": "same", "body": line});
    broker.ask("publish", &json!({"messages": [large, small]}));
    let counts = wait_received(&server, &start, "large", records + 1);
    assert_eq!(counts["stored"], records + 1, "{counts}");
    wait(&start, "the acknowledgement", || (source(&server, "large")["acknowledged"] == 2).then_some(()));
    server.stop();
    assert_eq!(left(&broker, queue), 0);
}
