//! Names to addresses, behind a trait, so that a test may have a resolver that lies.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// How many addresses of a name are tried.
pub const ADDRESSES_MAX: usize = 8;

/// What comes of resolving a name.
pub type Resolved<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of a name. What it says is checked, each time.
pub trait Resolve: Send + Sync + 'static {
    /// Returns the addresses of `host`, at most [`ADDRESSES_MAX`] of which are looked at.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolved<'a>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolved<'a> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|it| it.ip()).take(ADDRESSES_MAX).collect())
        })
    }
}
