//! One process holds a folder; a second leaves it alone.

use std::path::PathBuf;

use crate::support::checks::{check_ledger, check_stored_once};
use crate::support::corpus::incompressible;
use crate::support::http::Reply;
use crate::support::sender::Sent;
use crate::support::server::{Server, Start, command, new_folder};

/// How many events a batch has.
const BATCH: usize = 100;
/// The exit code where the data folder cannot be used.
const EXIT_FOLDER: i32 = 74;

fn batch_of(number: usize) -> Vec<Sent> {
    (0..BATCH).map(|it| incompressible(number * BATCH + it)).collect()
}

fn post(server: &Server, batch: &[Sent]) -> Reply {
    let body: String = batch.iter().map(|it| format!("{}\n", it.body)).collect();
    server.call("POST", "/v1/events", &body)
}

#[test]
fn a_second_process_leaves_the_folder_alone() {
    let folder = new_folder();
    let data: PathBuf = folder.path().join("data");
    let server = Start::on(&data).must();
    let first = batch_of(0);
    assert_eq!(post(&server, &first).status, 202);

    let second = command(&["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).output().unwrap();
    let complaint = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(EXIT_FOLDER), "{complaint}");
    assert!(complaint.contains("data"), "the complaint does not name the folder: {complaint}");

    let next = batch_of(1);
    assert_eq!(post(&server, &next).status, 202, "the first process is disturbed");
    let sent: Vec<Sent> = first.into_iter().chain(next).collect();
    check_ledger(&server.settled_ledger(), sent.len());
    check_stored_once(&server, &sent);
    server.stop();
}
