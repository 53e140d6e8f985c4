//! Readers of one path; each answer may have to hold the last alert that was seen before it was asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::sync::watch;

use crate::arguments::Arguments;
use crate::client::Client;
use crate::headline::attack;
use crate::report::Report;

const WARM_UP: Duration = Duration::from_millis(500);
/// How long after an alert was seen the next one is made.
const ALERT_EVERY: Duration = Duration::from_millis(200);

#[derive(Clone)]
struct Run {
    target: SocketAddr,
    key: Option<String>,
    path: Arc<str>,
    began: Instant,
    length: Duration,
    /// The address of the last alert that a reader has seen.
    confirmed: watch::Receiver<Option<String>>,
}

#[derive(Default)]
struct Outcome {
    times: Vec<Duration>,
    refused: u64,
    checked: u64,
    stale: u64,
}

/// Reads as fast as it goes; with `--confirm ADDR` alerts are made there meanwhile, and answers are checked for them.
///
/// # Errors
///
/// A connection broke.
pub(crate) async fn run(arguments: &Arguments) -> Result<String, String> {
    let (sender, confirmed) = watch::channel(None);
    let run = Run {
        target: arguments.target()?,
        key: arguments.text("key").map(str::to_owned),
        path: arguments.need::<String>("path")?.into(),
        began: Instant::now(),
        length: arguments.seconds()?,
        confirmed,
    };
    let maker = match arguments.find::<SocketAddr>("confirm")? {
        Some(target) => {
            let (key, first) = (arguments.need("key")?, arguments.find("first")?.unwrap_or(0));
            Some(tokio::spawn(make_alerts(target, key, first, sender)))
        }
        None => None,
    };
    let connections: u64 = arguments.need("connections")?;
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(read(run.clone()))).collect();
    let mut all = Outcome::default();
    for task in tasks {
        let outcome = task.await.map_err(|it| format!("a connection was lost: {it}"))??;
        all.times.extend(outcome.times);
        (all.refused, all.checked) = (all.refused + outcome.refused, all.checked + outcome.checked);
        all.stale += outcome.stale;
    }
    if let Some(maker) = maker {
        maker.abort();
    }
    let count = all.times.len() as f64;
    Ok(Report::new()
        .number("requests", count)
        .number("refused", all.refused as f64)
        .number("checked", all.checked as f64)
        .number("stale", all.stale as f64)
        .number("per_second", count / run.length.as_secs_f64())
        .latencies(&mut all.times)
        .end())
}

async fn read(run: Run) -> Result<Outcome, String> {
    let mut client = Client::connect(run.target, run.key.as_deref()).await?;
    let (counted, end) = (run.began + WARM_UP, run.began + WARM_UP + run.length);
    let mut outcome = Outcome::default();
    loop {
        let (started, expected) = (Instant::now(), run.confirmed.borrow().clone());
        if end <= started {
            return Ok(outcome);
        }
        let (status, answer) = client.send(Method::GET, &run.path, None).await?;
        if let Some(expected) = expected {
            outcome.checked += 1;
            outcome.stale += u64::from(!String::from_utf8_lossy(&answer).contains(&format!("\"{expected}\"")));
        }
        if !status.is_success() {
            outcome.refused += 1;
        } else if counted <= started && Instant::now() < end {
            outcome.times.push(started.elapsed());
        }
    }
}

async fn make_alerts(target: SocketAddr, key: String, first: u64, confirmed: watch::Sender<Option<String>>) {
    for number in first.. {
        // One that fails is not waited for; the readers tell of a server that is gone.
        if let Ok(sighting) = attack(target, key.clone(), number).await
            && let Some(address) = sighting.seen()
        {
            confirmed.send_replace(Some(address));
        }
        tokio::time::sleep(ALERT_EVERY).await;
    }
}
