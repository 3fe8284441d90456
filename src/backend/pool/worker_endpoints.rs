//! A worker's view of a backend's servers: load balancing among them, and their pooled connections.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::idle_connections::IdleConnections;
use crate::backend::balance::{Load, by_key, least_request};
use crate::backend::clock::millis;
use crate::backend::connection::http2_pool::Http2Pool;
use crate::backend::endpoints::servers::{Present, Server, Servers};

/// Servers of a backend, as of one version of the list.
pub(super) struct WorkerEndpoints {
    version: u64,
    servers: Weak<Servers>,
    slow_start: u64,
    present: Arc<Present>,
    /// In the order of `present`.
    endpoints: Vec<Rc<WorkerEndpoint>>,
}

/// One server, with this worker's connections to it.
pub(super) struct WorkerEndpoint {
    pub(in crate::backend) server: Arc<Server>,
    /// Idle HTTP/1.1 connections.
    pub(super) idle: Rc<IdleConnections>,
    /// Shared HTTP/2 connections.
    pub(in crate::backend) channels: Http2Pool,
}

/// A request in flight to a server; counted until dropped.
pub(super) struct Visit(Rc<WorkerEndpoint>);

/// Set of servers that one request has tried.
#[derive(Debug, Default)]
pub(super) struct TriedEndpoints(Vec<u64>);

impl TriedEndpoints {
    pub(super) fn add(&mut self, index: u16) {
        let (word, bit) = Self::place(index);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn has(&self, index: u16) -> bool {
        let (word, bit) = Self::place(index);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(index: u16) -> (usize, u64) {
        (usize::from(index / 64), 1 << (index % 64))
    }
}

impl WorkerEndpoints {
    /// The present servers; connections to those that were there before are kept.
    pub(in crate::backend) fn new(servers: &Arc<Servers>, before: Option<&Self>) -> Self {
        let version = servers.version.load(Ordering::Acquire);
        let present = servers.present();
        let endpoint = |server: &Arc<Server>| {
            let known = before.into_iter().flat_map(|before| &before.endpoints);
            let same = known.into_iter().find(|endpoint| endpoint.server.id == server.id);
            same.map_or_else(|| Rc::new(WorkerEndpoint::new(server)), Rc::clone)
        };
        let endpoints = present.servers.iter().map(endpoint).collect();
        Self { version, servers: Arc::downgrade(servers), slow_start: servers.slow_start(), present, endpoints }
    }

    /// True if the list has not changed.
    pub(super) fn are_current(&self, servers: &Servers) -> bool {
        self.version == servers.version.load(Ordering::Acquire)
    }

    /// True if any policy still has the backend.
    pub(super) fn are_held(&self) -> bool {
        self.servers.strong_count() > 0
    }

    pub(in crate::backend) fn count(&self) -> usize {
        self.endpoints.len()
    }

    pub(in crate::backend) fn get(&self, index: u16) -> Option<&Rc<WorkerEndpoint>> {
        self.endpoints.get(usize::from(index))
    }

    /// All but the server of this id count as untried, if there is another one that can be asked.
    pub(super) fn but(&self, server: u64) -> TriedEndpoints {
        let mut tried = TriedEndpoints::default();
        let others = self.endpoints.iter().filter(|endpoint| endpoint.server.id != server);
        let has_other = others.into_iter().any(|endpoint| !endpoint.server.standing.is_known_bad());
        let index = (0..).zip(&self.endpoints).find(|(_, endpoint)| endpoint.server.id == server);
        if let (Some((index, _)), true) = (index, has_other) {
            tried.add(index);
        }
        tried
    }

    /// True if the health checks found all servers bad.
    pub(super) fn are_all_bad(&self) -> bool {
        !self.endpoints.is_empty() && self.endpoints.iter().all(|endpoint| endpoint.server.standing.is_known_bad())
    }

    /// Next server of those not tried, by random number, or by `key` for consistent hashing.
    pub(super) fn choose(&self, key: Option<u64>, now: Instant, random: u64, tried: &TriedEndpoints) -> Option<u16> {
        // Most backends have one server, which is well.
        if let [only] = &self.endpoints[..] {
            return (!tried.has(0) && !only.server.standing.is_known_bad()).then_some(0);
        }
        let now = millis(now);
        let chosen = self.choose_among(key, random, |index, server| {
            let ramp = server.standing.ramp(now, self.slow_start)?;
            (!tried.has(index)).then(|| Load { busy: server.standing.in_flight(), weight: server.weight, ramp })
        });
        // One that only failed lately is better than none.
        chosen.or_else(|| {
            self.choose_among(key, random, |index, server| {
                let is_possible = !tried.has(index) && !server.standing.is_known_bad();
                is_possible.then(|| Load { busy: server.standing.in_flight(), weight: server.weight, ramp: 1 })
            })
        })
    }

    fn choose_among(&self, key: Option<u64>, random: u64, load: impl Fn(u16, &Server) -> Option<Load>) -> Option<u16> {
        let load = |index: u16| load(index, &self.get(index)?.server);
        let Some(key) = key else { return least_request(&self.present.tickets, random, load) };
        let candidates = (0..).zip(&self.endpoints).filter(|(index, _)| load(*index).is_some());
        by_key(key, candidates.map(|(index, endpoint)| (index, endpoint.server.seed, endpoint.server.weight)))
    }

    /// Closes connections that are idle for too long or closed by the other side.
    pub(in crate::backend) fn reap(&self) {
        for endpoint in &self.endpoints {
            endpoint.channels.reap();
            endpoint.idle.reap();
        }
    }
}

impl WorkerEndpoint {
    fn new(server: &Arc<Server>) -> Self {
        let idle = Rc::new(IdleConnections::new(&server.standing));
        Self { server: Arc::clone(server), idle, channels: Http2Pool::default() }
    }
}

impl Visit {
    pub(in crate::backend) fn new(endpoint: &Rc<WorkerEndpoint>) -> Self {
        endpoint.server.standing.began();
        Self(Rc::clone(endpoint))
    }

    pub(super) fn endpoint(&self) -> &Rc<WorkerEndpoint> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.server.standing.ended();
    }
}
