//! Many events a request: NDJSON of four shapes, as fast as it goes or at a rate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, StatusCode};

use crate::access::{Log, from_file, push_address};
use crate::arguments::Arguments;
use crate::calendar::push_rfc3339;
use crate::client::Client;
use crate::report::{Report, unix_seconds};

/// How many addresses of shape `keys` are brute forcers, and how many refusals each of them gets.
const FORCERS: u64 = 1_000;
const FORCER_EVENTS: u64 = 5;
/// How long the events of shape `keys` last: all of them lie in one window of a minute.
const KEYS_MS: u64 = 55_000;
/// How many addresses flood.
const FLOODERS: u64 = 3_000;
/// How many events of a flood happen in a millisecond of event time.
const FLOOD_PER_MS: u64 = 100;
/// How long to wait when the server has enough for now.
const PAUSE: Duration = Duration::from_millis(20);

/// What is sent.
enum Shape {
    /// An access log, turn after turn.
    Access(Log),
    /// Refused requests of `events` distinct addresses within one window, brute forcers among them. With `is_network` all but the
    /// brute forcers are of one /64.
    Keys { begin_ms: i64, events: u64, is_network: bool },
    /// Refused requests of few addresses.
    Flood { begin_ms: i64 },
}

impl Shape {
    fn read(arguments: &Arguments) -> Result<Self, String> {
        let now_ms = (unix_seconds() * 1e3) as i64;
        match arguments.need::<String>("shape")?.as_str() {
            "access" => from_file(&arguments.need::<String>("log")?).map(Self::Access),
            shape @ ("keys" | "network") => Ok(Self::Keys {
                begin_ms: now_ms - KEYS_MS as i64,
                events: arguments.need("events")?,
                is_network: shape == "network",
            }),
            "flood" => Ok(Self::Flood { begin_ms: now_ms }),
            other => Err(format!("there is no shape `{other}`")),
        }
    }

    fn push(&self, out: &mut String, sequence: u64) {
        match self {
            Self::Access(log) => log.push_json(out, sequence),
            Self::Keys { begin_ms, events, is_network } => {
                let time = begin_ms + (sequence * KEYS_MS / events) as i64;
                push_refusal(out, time, key_address(sequence, *events, *is_network));
            }
            Self::Flood { begin_ms } => {
                let time = begin_ms + (sequence / FLOOD_PER_MS) as i64;
                push_refusal(out, time, Ipv4Addr::from(0x1400_0000 + (sequence % FLOODERS) as u32).into());
            }
        }
    }
}

/// Returns the address of an event of shape `keys`: one of the forcers' at every step, else one that is not met again.
fn key_address(sequence: u64, events: u64, is_network: bool) -> IpAddr {
    let step = events / (FORCERS * FORCER_EVENTS);
    if sequence.is_multiple_of(step) && sequence / step < FORCERS * FORCER_EVENTS {
        let forcer = sequence / step % FORCERS;
        Ipv4Addr::new(203, 0, (forcer >> 8) as u8, forcer as u8).into()
    } else if is_network {
        Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(sequence)).into()
    } else {
        // An odd factor permutes the numbers below a power of two.
        Ipv4Addr::from(0x0B00_0000 | ((sequence as u32).wrapping_mul(0x009E_3779) & 0x00FF_FFFF)).into()
    }
}

fn push_refusal(out: &mut String, time_ms: i64, address: IpAddr) {
    out.push_str(r#"{"time":""#);
    push_rfc3339(out, time_ms);
    out.push_str(r#"","client_ip":""#);
    match address {
        IpAddr::V4(address) => push_address(out, address),
        IpAddr::V6(address) => out.push_str(&address.to_string()),
    }
    out.push_str("\",\"method\":\"POST\",\"path\":\"/login\",\"status_code\":401}\n");
}

/// A run of batches, shared by its connections.
struct Run {
    target: SocketAddr,
    key: String,
    shape: Shape,
    first: u64,
    events: u64,
    batch: u64,
    rate: Option<f64>,
    began: Instant,
    next: AtomicU64,
    bytes: AtomicU64,
    put_off: AtomicU64,
}

/// Sends events number `--first` to `--first` + `--events`, and reports how long it took until the last was acknowledged.
///
/// # Errors
///
/// A batch was refused, or a connection broke.
pub(crate) async fn run(arguments: &Arguments) -> Result<String, String> {
    let connections: u64 = arguments.find("connections")?.unwrap_or(4);
    let run = Arc::new(Run {
        target: arguments.target()?,
        key: arguments.need("key")?,
        shape: Shape::read(arguments)?,
        first: arguments.find("first")?.unwrap_or(0),
        events: arguments.need("events")?,
        batch: arguments.find("batch")?.unwrap_or(5_000),
        rate: arguments.find("rate")?,
        began: Instant::now(),
        next: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        put_off: AtomicU64::new(0),
    });
    let began = unix_seconds();
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(send(run.clone()))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.map_err(|it| format!("a connection was lost: {it}"))??);
    }
    let (ended, events) = (unix_seconds(), run.events as f64);
    Ok(Report::new()
        .number("events", events)
        .number("bytes", run.bytes.load(Ordering::Relaxed) as f64)
        .number("put_off", run.put_off.load(Ordering::Relaxed) as f64)
        .number("began", began)
        .number("acknowledged", ended)
        .number("per_second", events / (ended - began))
        .latencies(&mut times)
        .end())
}

async fn send(run: Arc<Run>) -> Result<Vec<Duration>, String> {
    let mut client = Client::connect(run.target, Some(&run.key)).await?;
    let mut times = Vec::new();
    loop {
        let from = run.next.fetch_add(run.batch, Ordering::Relaxed);
        if run.events <= from {
            return Ok(times);
        }
        if let Some(rate) = run.rate {
            tokio::time::sleep_until((run.began + Duration::from_secs_f64(from as f64 / rate)).into()).await;
        }
        let mut body = String::with_capacity(run.batch as usize * 320);
        (from..run.events.min(from + run.batch)).for_each(|it| run.shape.push(&mut body, run.first + it));
        run.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        let (body, started) = (Bytes::from(body), Instant::now());
        while !deliver(&mut client, body.clone()).await? {
            run.put_off.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
        times.push(started.elapsed());
    }
}

/// Sends a batch; `false` when the server has enough for now.
async fn deliver(client: &mut Client, body: Bytes) -> Result<bool, String> {
    let (status, answer) = client.send(Method::POST, "/v1/events", Some(("application/x-ndjson", body))).await?;
    match status {
        StatusCode::ACCEPTED => Ok(true),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Ok(false),
        other => Err(format!("a batch was answered with {other}: {}", String::from_utf8_lossy(&answer))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn every_forcer_comes_five_times_and_nobody_else_twice() {
        let mut counts: HashMap<Ipv4Addr, u64> = HashMap::new();
        (0..50_000).for_each(|it| *counts.entry(key_address(it, 50_000)).or_default() += 1);
        let forcers: HashSet<_> =
            counts.iter().filter(|it| *it.1 == FORCER_EVENTS).map(|it| it.0.octets()[0]).collect();
        assert_eq!(counts.values().filter(|it| **it == FORCER_EVENTS).count() as u64, FORCERS);
        assert_eq!(forcers, HashSet::from([203]));
        assert_eq!(counts.values().filter(|it| **it == 1).count() as u64, 45_000);
    }
}
