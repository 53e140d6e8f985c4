//! All sources of brokers together: started, and asked how they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::time::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::consume;
use super::settings::AmqpInput;
use crate::sink::Sink;

/// How a source is; counts are since the process began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether it reads.
    pub is_connected: bool,
    /// Since when it does, or does not.
    pub since: Option<Timestamp>,
    /// How often it has connected.
    pub connects: u64,
    /// Why it was last cut off, or could not connect, and when.
    pub last_error: Option<(String, Timestamp)>,
    /// How many messages have come.
    pub received: u64,
    /// How many of them the broker says were on their way before.
    pub redelivered: u64,
    /// How many messages were acknowledged.
    pub acknowledged: u64,
    /// How many answers were sent.
    pub replies: u64,
    /// Whether it waits for the sink.
    pub is_waiting: bool,
}

/// A source as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name of the input.
    pub name: String,
    /// The broker, without secrets.
    pub broker: String,
    /// The queue.
    pub queue: String,
    /// The exchange that it is bound to.
    pub exchange: Option<String>,
    /// How it is.
    pub state: State,
}

/// A source and how it is.
pub(super) struct Source {
    pub(super) input: AmqpInput,
    state: Mutex<State>,
}

impl Source {
    pub(super) const fn new(input: AmqpInput) -> Self {
        let state = State {
            is_connected: false,
            since: None,
            connects: 0,
            last_error: None,
            received: 0,
            redelivered: 0,
            acknowledged: 0,
            replies: 0,
            is_waiting: false,
        };
        Self { input, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sources.
pub struct Board(Vec<Arc<Source>>);

impl Board {
    /// Takes the sources.
    #[must_use]
    pub fn new(inputs: Vec<AmqpInput>) -> Self {
        Self(inputs.into_iter().map(|it| Arc::new(Source::new(it))).collect())
    }

    /// Starts a task for each source, until `stop` is true. What is in hand then is stored and acknowledged first.
    pub fn start(&self, runtime: &Handle, sink: &Arc<dyn Sink>, stop: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let spawn = |it: &Arc<Source>| runtime.spawn(consume::run(it.clone(), sink.clone(), stop.clone()));
        self.0.iter().map(spawn).collect()
    }

    /// Returns all sources, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let listed = |it: &Arc<Source>| Listed {
            name: it.input.name.to_string(),
            broker: it.input.broker.to_string(),
            queue: it.input.wanted.queue.clone(),
            exchange: it.input.wanted.exchange.as_ref().map(|it| it.name.clone()),
            state: it.state().clone(),
        };
        self.0.iter().map(listed).collect()
    }
}
