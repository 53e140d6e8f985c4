//! The headline: an attack is over its threshold; when does a reader see the alert?

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::Method;

use crate::arguments::Arguments;
use crate::client::Client;
use crate::report::{Report, unix_seconds};
use crate::singles::{Load, log_line};

/// How many refusals raise the alert.
const REFUSALS: u64 = 5;
/// How often a reader looks: half of it is the error of a time.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// How long a reader looks before the alert counts as lost.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// One attack: who, when its last event was sent, and when a reader saw the alert.
pub(crate) struct Sighting {
    address: [u8; 4],
    /// Seconds since 1970.
    sent: f64,
    /// From sending to sight; none when it was never seen.
    seen_after: Option<Duration>,
}

/// Probes while single requests come at `--rate`.
///
/// # Errors
///
/// A connection broke.
pub(crate) async fn run(arguments: &Arguments) -> Result<String, String> {
    let load = Load::read(arguments)?;
    let probes_per_second: f64 = arguments.find("probes")?.unwrap_or(20.0);
    let first: u64 = arguments.find("first")?.unwrap_or(0);
    let key: String = arguments.need("key")?;
    let background = tokio::spawn({
        let load = load.clone();
        async move { load.run().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let mut probes = Vec::new();
    for number in 0..(load.length.as_secs_f64() * probes_per_second) as u64 {
        let due = began + Duration::from_secs_f64(number as f64 / probes_per_second);
        tokio::time::sleep_until(due.into()).await;
        probes.push(tokio::spawn(attack(load.target, key.clone(), first + number)));
    }
    let mut sightings = Vec::new();
    for probe in probes {
        sightings.push(probe.await.map_err(|it| format!("a probe was lost: {it}"))??);
    }
    let outcome = background.await.map_err(|it| format!("the load was lost: {it}"))??;
    Ok(report(&sightings, outcome.times.len() as f64 / load.length.as_secs_f64(), outcome.refused))
}

fn report(sightings: &[Sighting], per_second: f64, refused: u64) -> String {
    let mut times: Vec<Duration> = sightings.iter().filter_map(|it| it.seen_after).collect();
    let unseen = sightings.len() - times.len();
    let sent = sightings.iter().map(|it| {
        let [a, b, c, d] = it.address;
        format!("[\"{a}.{b}.{c}.{d}\",{:.6}]", it.sent)
    });
    let sent: Vec<String> = sent.collect();
    Report::new()
        .number("per_second", per_second)
        .number("refused", refused as f64)
        .number("attacks", sightings.len() as f64)
        .number("unseen", unseen as f64)
        .latencies(&mut times)
        .json("sent", &format!("[{}]", sent.join(",")))
        .end()
}

/// Sends the refusals of one address and looks until its alert is there.
///
/// # Errors
///
/// The connection broke, or a request was refused.
pub(crate) async fn attack(target: SocketAddr, key: String, number: u64) -> Result<Sighting, String> {
    let mut client = Client::connect(target, Some(&key)).await?;
    let address = [198, 18 + (number >> 16) as u8 % 2, (number >> 8) as u8, number as u8];
    let [a, b, c, d] = address;
    let path = format!("/v1/alerts?client_ip={a}.{b}.{c}.{d}");
    let (mut sent, mut started) = (0.0, Instant::now());
    for _ in 0..REFUSALS {
        (sent, started) = (unix_seconds(), Instant::now());
        let body = log_line(address, 401);
        let (status, answer) = client.send(Method::POST, "/logs", Some(("application/json", body))).await?;
        if !status.is_success() {
            return Err(format!("an attack was answered with {status}: {}", String::from_utf8_lossy(&answer)));
        }
    }
    while started.elapsed() < LOOK_MAX {
        let (_, answer) = client.send(Method::GET, &path, None).await?;
        if answer.windows(9).any(|it| it == b"\"rule_id\"") {
            return Ok(Sighting { address, sent, seen_after: Some(started.elapsed()) });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(Sighting { address, sent, seen_after: None })
}

impl Sighting {
    /// Returns the address as text, when its alert was seen.
    pub(crate) fn seen(&self) -> Option<String> {
        let [a, b, c, d] = self.address;
        self.seen_after.map(|_| format!("{a}.{b}.{c}.{d}"))
    }
}
