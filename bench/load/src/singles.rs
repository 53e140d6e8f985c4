//! One event a request, on many keep-alive connections: as fast as it goes, or at a rate.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;

use crate::arguments::Arguments;
use crate::calendar::push_rfc3339;
use crate::client::Client;
use crate::report::{Report, unix_seconds};

/// How long the load runs before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// How many addresses the events come from: none of them sends more than one a second or so.
const ADDRESSES: u64 = 1 << 16;

/// What a run of single requests is.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    pub(crate) key: Option<String>,
    pub(crate) connections: u64,
    /// Requests a second over all connections; as fast as it goes without one.
    pub(crate) rate: Option<f64>,
    pub(crate) length: Duration,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    /// One a request: from the moment it was due until its answer was read.
    pub(crate) times: Vec<Duration>,
    /// Requests that were not answered with success.
    pub(crate) refused: u64,
}

impl Load {
    /// Reads it from the command line.
    ///
    /// # Errors
    ///
    /// Something is missing.
    pub(crate) fn read(arguments: &Arguments) -> Result<Self, String> {
        Ok(Self {
            target: arguments.target()?,
            key: arguments.text("key").map(str::to_owned),
            connections: arguments.need("connections")?,
            rate: arguments.find("rate")?,
            length: arguments.seconds()?,
        })
    }

    /// Runs it; what happens while it warms up is not counted.
    ///
    /// # Errors
    ///
    /// A connection broke.
    pub(crate) async fn run(&self) -> Result<Outcome, String> {
        let began = Instant::now();
        let tasks: Vec<_> =
            (0..self.connections).map(|number| tokio::spawn(one(self.clone(), number, began))).collect();
        let mut all = Outcome::default();
        for task in tasks {
            let outcome = task.await.map_err(|it| format!("a connection was lost: {it}"))??;
            all.times.extend(outcome.times);
            all.refused += outcome.refused;
        }
        Ok(all)
    }
}

/// Runs single requests and reports them.
///
/// # Errors
///
/// What [`Load::read`] and [`Load::run`] say.
pub(crate) async fn run(arguments: &Arguments) -> Result<String, String> {
    let load = Load::read(arguments)?;
    let mut outcome = load.run().await?;
    let count = outcome.times.len() as f64;
    let report = Report::new().number("requests", count).number("refused", outcome.refused as f64);
    let report = report.number("per_second", count / load.length.as_secs_f64());
    Ok(report.latencies(&mut outcome.times).end())
}

async fn one(load: Load, number: u64, began: Instant) -> Result<Outcome, String> {
    let mut client = Client::connect(load.target, load.key.as_deref()).await?;
    let (counted, end) = (began + WARM_UP, began + WARM_UP + load.length);
    let mut outcome = Outcome::default();
    for turn in 0_u64.. {
        let sequence = turn * load.connections + number;
        let due = match load.rate {
            Some(rate) => began + Duration::from_secs_f64(sequence as f64 / rate),
            None => Instant::now(),
        };
        if end <= due {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let (status, _) = client.send(Method::POST, "/logs", Some(("application/json", ordinary(sequence)))).await?;
        if !status.is_success() {
            outcome.refused += u64::from(counted <= due);
        } else if counted <= due && (load.rate.is_some() || Instant::now() < end) {
            outcome.times.push(due.elapsed());
        }
    }
    Ok(outcome)
}

/// Returns an event that no shipped rule minds.
fn ordinary(sequence: u64) -> Bytes {
    let number = sequence.wrapping_mul(0x9E37_79B1) % ADDRESSES;
    log_line([100, 64 + (number >> 16) as u8, (number >> 8) as u8, number as u8], 200)
}

/// Returns the body of `POST /logs` that tells of one request of an address, now.
pub(crate) fn log_line(address: [u8; 4], status: u16) -> Bytes {
    let [a, b, c, d] = address;
    let mut body = String::with_capacity(192);
    body.push_str(r#"{"timestamp":""#);
    push_rfc3339(&mut body, (unix_seconds() * 1e3) as i64);
    body.push_str(&format!(
        r#"","client_ip":"{a}.{b}.{c}.{d}","endpoint":"/account","method":"GET","status_code":{status},"user_agent":"Mozilla/5.0 (X11; Linux x86_64)"}}"#
    ));
    body.into()
}
