//! The policy in force: made of its settings, asked by every request, exchanged whole while requests go on.

use std::sync::{Arc, PoisonError, RwLock};

use crate::route::{Route, Routes};
use crate::settings::PolicySettings;
use crate::upstream::group::{Directory, Group, GroupSettings, Upstream};

/// What is done with requests. A request keeps the policy that it met first.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) settings: PolicySettings,
    pub(crate) routes: Routes,
    upstreams: Directory,
}

impl Policy {
    /// Makes one; upstreams that `former` has too keep their connections and what is known of their health.
    pub(crate) fn new(settings: PolicySettings, shared: &Arc<GroupSettings>, former: Option<&Self>) -> Self {
        let (mut upstreams, former) = (Directory::default(), former.map(|it| &it.upstreams));
        let routes = settings.routes.iter().map(|it| Route {
            group: Arc::new(Group::new(it.upstreams.iter().map(|it| upstreams.get(it, former, shared)).collect())),
            settings: it.clone(),
        });
        let routes = Routes::new(routes.collect());
        Self { settings, routes, upstreams }
    }

    /// All upstreams, each once, by their addresses.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        self.upstreams.all()
    }
}

/// Holds the policy in force.
#[derive(Debug)]
pub(crate) struct InForce(RwLock<Arc<Policy>>);

impl InForce {
    pub(crate) fn new(policy: Policy) -> Self {
        Self(RwLock::new(Arc::new(policy)))
    }

    pub(crate) fn get(&self) -> Arc<Policy> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the policy into force that `make` makes of the one before.
    pub(crate) fn change(&self, make: impl FnOnce(&Policy) -> Policy) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(make(&held));
    }
}
