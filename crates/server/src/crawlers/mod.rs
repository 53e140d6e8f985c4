//! Who is the crawler that a user agent says: forward-confirmed reverse names, asked in the background.
//!
//! No event waits for it: before the answer has come a claim counts for nothing, in either direction. Source: docs/crawlers.md.

mod book;
mod operators;
mod verify;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use attack::clients::ClientList;
use model::network::Network;
use outbound::dns::resolver::Resolver;
use pipeline::admitter::Admitter;
use pipeline::ingest::{chain, now};
use pipeline::mark::{Claim, Clients};
use tokio::runtime::Handle;

use self::book::{Book, Finding};
use self::operators::Operator;

/// What it takes to say something of clients.
pub(crate) struct Means {
    /// Where questions are asked.
    pub(crate) runtime: Handle,
    /// Who lets go whoever turns out to be a crawler.
    pub(crate) admitter: Arc<Admitter>,
    /// Who is asked; `None`: nobody is verified.
    pub(crate) resolver: Option<Resolver>,
    /// A list that was fetched.
    pub(crate) list: Option<ClientList>,
}

/// What is known of clients by their addresses and by what they say; nothing before it is started.
#[derive(Default)]
pub(crate) struct Crawlers {
    book: Mutex<Book>,
    started: OnceLock<Means>,
}

impl Crawlers {
    /// Begins to say something.
    pub(crate) fn start(&self, means: Means) {
        // Who starts it twice changes nothing.
        let _ = self.started.set(means);
    }

    /// A verified crawler with an address in `network`.
    pub(crate) fn find(&self, network: &Network) -> Option<(Network, String)> {
        let (address, operator) = self.book().crawler_in(network, now())?;
        Some((Network::of(address), operator.name.to_owned()))
    }

    /// Says of addresses whether they are a verified crawler's.
    pub(crate) fn is_one(self: &Arc<Self>) -> Arc<dyn Fn(IpAddr) -> bool + Send + Sync> {
        let crawlers = self.clone();
        Arc::new(move |it| crawlers.find(&Network::of(it)).is_some())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of it that the doors ask.
#[derive(Clone)]
pub(crate) struct AtTheDoor(pub(crate) Arc<Crawlers>);

impl Clients for AtTheDoor {
    fn is_idle(&self) -> bool {
        self.0.started.get().is_none_or(|it| it.resolver.is_none() && it.list.is_none())
    }

    fn claim(&self, user_agent: &str, address: IpAddr) -> Option<Claim> {
        let started = self.0.started.get()?;
        let resolver = started.resolver?;
        let claimed = Operator::claimed(user_agent)?;
        let address = address.to_canonical();
        let (known, asks) = self.0.book().look_up(address, now());
        if asks {
            started.runtime.spawn(ask(self.0.clone(), resolver, address));
        }
        match known? {
            Finding::Verified(operator) => Some(Claim::Verified(operator.name)),
            Finding::False => Some(Claim::False(claimed.name)),
            Finding::Failed => None,
        }
    }

    fn kind(&self, user_agent: &str) -> Option<&'static str> {
        self.0.started.get()?.list.as_ref()?.knows(user_agent).then_some("crawler")
    }
}

/// Asks about an address and notes what came of it.
async fn ask(crawlers: Arc<Crawlers>, resolver: Resolver, address: IpAddr) {
    let finding = verify::verify(&resolver, address).await;
    crawlers.book().settle(address, finding, now());
    let (Finding::Verified(operator), Some(started)) = (finding, crawlers.started.get()) else { return };
    let admitter = started.admitter.clone();
    let ended = tokio::task::spawn_blocking(move || admitter.end_of_crawler(address, operator.name)).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(crawler = operator.name, reason = %chain(&error), "Decisions about a verified crawler could not be ended");
    }
}

#[cfg(test)]
mod tests;
