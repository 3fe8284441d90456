//! Idle HTTP/1.1 connections of a worker to one server: which of them a request may use, and waiting for one where
//! `max_connections` limits them.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use crate::backend::connection::http1_conn::Http1Connection;
use crate::backend::connection::stream_waiters::Waiters;
use crate::backend::endpoints::connection_limit::{ConnectionPermit, IdlePermit};
use crate::backend::endpoints::endpoint_status::EndpointStatus;
use crate::backend::endpoints::idle_life::Trial;
use crate::backend::{Backend, Failure};

/// Most idle connections of one worker to one server.
const MAX_IDLE: usize = 256;

/// Requests of this worker in a row that get a connection while other workers wait for one.
const MAX_IN_A_ROW: u32 = 16;

/// Idle connections of a worker to one server.
pub(super) struct IdleConnections {
    standing: Arc<EndpointStatus>,
    /// The last used comes last.
    idle: RefCell<Vec<Idle>>,
    /// Requests of this worker that wait for a connection within `max_connections`.
    waiters: Waiters,
    /// Connections that such requests have got in a row while other workers waited too.
    in_a_row: Cell<u32>,
    giver: RefCell<Option<Giver>>,
    /// Idle connections as the status knows them.
    told: Cell<usize>,
}

/// An idle connection.
struct Idle {
    link: Http1Connection,
    since: Instant,
    limit: Duration,
    /// When it was last seen alive, by the periodic look.
    seen: Instant,
    /// False while its last exchange is not over: its end is not that of an idle connection.
    is_idle: bool,
    _counted: Option<IdlePermit>,
}

/// An idle connection that a request uses.
pub(super) struct Reused<'a> {
    pub(super) link: Http1Connection,
    /// How long it was idle.
    pub(super) age: Duration,
    pub(super) trial: Option<Trial<'a>>,
}

/// What a request that waited has got.
pub(super) enum Got<'a> {
    Idle(Reused<'a>),
    /// It may open a connection.
    Permit(ConnectionPermit),
}

/// Task that gives up idle connections where another worker waits; ended on drop.
struct Giver(AbortHandle);

impl Drop for Giver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Idle {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl IdleConnections {
    pub(super) fn new(standing: &Arc<EndpointStatus>) -> Self {
        Self {
            standing: Arc::clone(standing),
            idle: RefCell::default(),
            waiters: Waiters::default(),
            in_a_row: Cell::new(0),
            giver: RefCell::default(),
            told: Cell::new(0),
        }
    }

    /// True if requests of this worker wait for a connection.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiters.are_none()
    }

    /// True if the gateway has other connections to the server than that of one present request, as far as it is known.
    pub(super) fn is_one_of_several(&self) -> bool {
        !self.idle.borrow().is_empty() || self.standing.in_flight() > 1 || self.standing.idle_connections() > 0
    }

    /// An idle connection for a request, the last used first. One that cannot be repeated gets none that its server may
    /// be about to close.
    pub(super) fn reuse(&self, now: Instant, can_repeat: bool) -> Option<Reused<'_>> {
        let life = &self.standing.idle_life;
        let usable = life.seen().usable(can_repeat);
        if let Some((link, age)) = self.take(now, usable, false) {
            return Some(Reused { link, age, trial: None });
        }
        if can_repeat || self.idle.borrow().is_empty() {
            return None;
        }
        // Where it goes well, the oldest one teaches most.
        let trial = life.try_one()?;
        let (link, age) = self.take(now, Duration::MAX, true)?;
        Some(Reused { link, age, trial: Some(trial) })
    }

    /// Takes an idle connection that can take a request and was not idle for more than `usable`.
    fn take(&self, now: Instant, usable: Duration, oldest_first: bool) -> Option<(Http1Connection, Duration)> {
        let mut idle = self.idle.borrow_mut();
        let mut left = idle.len();
        let mut at = 0;
        while left > 0 {
            left -= 1;
            if !oldest_first {
                at = left;
            }
            let candidate = &idle[at];
            let age = candidate.age(now);
            match candidate.link.is_ready() {
                true if age >= candidate.limit => drop(idle.remove(at)),
                true if age <= usable => return Some((idle.remove(at).link, age)),
                false if candidate.link.is_closed() => drop(idle.remove(at)),
                // Something is still on its way, or it is too old for this request.
                _ => at += 1,
            }
        }
        None
    }

    /// Returns a connection to the pool; its last exchange allows it to be idle for `limit`.
    pub(super) fn keep(self: &Rc<Self>, link: Http1Connection, limit: Duration) {
        let connections = &self.standing.connections;
        let is_counted = link.is_counted();
        if is_counted && connections.is_waited_for() {
            // Its own requests know it already; but others must not wait for ever.
            let in_a_row = self.in_a_row.replace(self.in_a_row.get() + 1);
            if self.waiters.are_none() || in_a_row >= MAX_IN_A_ROW {
                self.in_a_row.set(0);
                return;
            }
        }
        if self.idle.borrow().len() >= MAX_IDLE || link.is_closed() {
            return;
        }
        let since = Instant::now();
        let counted = is_counted.then(|| connections.idle());
        let is_idle = link.is_ready();
        self.idle.borrow_mut().push(Idle { link, since, limit, seen: since, is_idle, _counted: counted });
        if is_counted {
            self.give_where_wanted();
            self.waiters.wake_one();
        }
    }

    /// Gives up idle connections from now on where another worker waits for one.
    fn give_where_wanted(self: &Rc<Self>) {
        let mut giver = self.giver.borrow_mut();
        if giver.is_some() {
            drop(giver);
            return if self.waiters.are_none() {
                self.give()
            };
        }
        let (endpoint, connections) = (Rc::downgrade(self), Arc::clone(&self.standing.connections));
        let giving = async move {
            loop {
                let mut wanted = pin!(connections.wanted());
                // From here on no wish is missed.
                wanted.as_mut().enable();
                match endpoint.upgrade() {
                    Some(endpoint) => endpoint.give(),
                    None => return,
                }
                wanted.await;
            }
        };
        *giver = Some(Giver(tokio::task::spawn_local(giving).abort_handle()));
    }

    /// Closes as many idle connections as others wait for, the oldest first.
    fn give(&self) {
        let connections = &self.standing.connections;
        while connections.is_short() && self.give_one() {}
    }

    /// Closes an idle connection with nothing on its way; false if there is none.
    fn give_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let at = idle.iter().position(|entry| entry.link.is_ready());
        let given = at.map(|at| idle.remove(at));
        drop(idle);
        given.is_some()
    }

    /// Waits for a connection within `max_connections`.
    ///
    /// # Errors
    /// [`Failure::Overload`] if all are in use and there is no queue, it is full, or the wait times out.
    pub(super) async fn wait(&self, backend: &Backend, is_fresh: bool, can_repeat: bool) -> Result<Got<'_>, Failure> {
        let (connections, limit) = (&self.standing.connections, backend.max_connections);
        // Whoever waits already comes first.
        if !connections.is_waited_for()
            && let Some(permit) = connections.take(limit)
        {
            return Ok(Got::Permit(permit));
        }
        let start = tokio::time::Instant::now();
        let _here = self.waiters.enter();
        let _everywhere = connections.enter(limit);
        let until = start + backend.queue.map_or(backend.connect_timeout, |queue| queue.timeout);
        let _place = match backend.queue {
            // An idle one is given up at once.
            _ if connections.has_idle() => None,
            Some(queue) => Some(backend.admission.wait_for_stream(queue)?),
            None => return Err(Failure::Overload),
        };
        loop {
            let (mut freed, mut kept) = (pin!(connections.freed()), pin!(self.waiters.changed()));
            freed.as_mut().enable();
            kept.as_mut().enable();
            if !is_fresh && let Some(reused) = self.reuse(Instant::now(), can_repeat) {
                return Ok(Got::Idle(reused));
            }
            if let Some(permit) = connections.take(limit) {
                return Ok(Got::Permit(permit));
            }
            // What it cannot use itself makes room for a new one.
            if self.give_one() {
                continue;
            }
            connections.want();
            let woken = async {
                tokio::select! {
                    () = freed => {}
                    () = kept => {}
                }
            };
            timeout_at(until, woken).await.map_err(|_| Failure::Overload)?;
        }
    }

    /// Closes idle connections that are over their limit or closed by the server, and learns from all of them how long
    /// they live.
    pub(super) fn reap(&self) {
        let (now, standing) = (Instant::now(), &self.standing);
        self.idle.borrow_mut().retain_mut(|entry| {
            entry.link.settle();
            // Its caller has the answer. The rest of its upload may take its time, but it must move.
            if entry.link.is_uploading() {
                (entry.since, entry.seen) = (now, now);
                return !entry.link.is_closed();
            }
            if entry.link.is_closed() {
                // Over its limit it would have been closed here anyway.
                if entry.is_idle && entry.age(now) < entry.limit && !entry.link.has_excess() {
                    standing.note_closed(entry.age(now), false);
                }
                return false;
            }
            if std::mem::replace(&mut entry.is_idle, entry.link.is_ready()) {
                // What arrived until the last look has been seen by now.
                standing.idle_life.note_alive(entry.seen.saturating_duration_since(entry.since), now);
            } else if entry.is_idle {
                entry.since = now;
            }
            entry.seen = now;
            entry.age(now) < entry.limit
        });
        self.tell();
        self.give();
    }

    /// Tells the status how many are idle.
    fn tell(&self) {
        let count = self.idle.borrow().len();
        self.standing.note_idle(self.told.replace(count), count);
    }
}

impl Drop for IdleConnections {
    fn drop(&mut self) {
        self.standing.note_idle(self.told.get(), 0);
    }
}
