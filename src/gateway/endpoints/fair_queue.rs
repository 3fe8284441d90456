//! A fair queue for login attempts: networks take turns, one attempt runs at a time under one name from one network,
//! and a flood fills only the share of its own network.
//!
//! Everything that is counted here is a guard: a caller that hangs up gives back its place, its name and its permit.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::state::login_lockout::AttemptKey;

/// Most waiting attempts of one network in a lane.
pub(super) const MAX_OF_NETWORK: usize = 64;

/// Most waiting attempts in a lane. Each holds no more than its connection and its form.
pub(crate) const MAX_WAITING: usize = 512;

/// Every fourth turn goes to the lane of the unknown, where both lanes wait.
const TURNS: u64 = 4;

/// The origin of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptOrigin {
    /// Its network takes turns with others.
    pub(crate) network: IpAddr,
    /// The digest of its name and network, or of its network alone; one attempt runs at a time for each.
    pub(crate) name: AttemptKey,
    /// Its lane.
    pub(super) lane: Lane,
}

/// Two lanes, so that those who were right before do not wait behind a flood from many networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Somebody has logged in under this name from this network a while ago.
    Known,
    /// Everybody else.
    Unknown,
}

/// The reason for which there is no place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The caller's own network has as many waiting as it may.
    Network,
    /// All places are taken.
    Queue,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct FairQueue(Arc<Shared>);

/// An attempt that may run.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Held until the attempt has been judged, and its caller may know of it.
    pub(crate) name: NameHeld,
    /// Held for as long as the attempt uses the scarce resource, also where its caller has gone.
    pub(crate) permit: HashPermit,
}

/// While it lives, nothing else is tried under this name from this network.
#[derive(Debug)]
pub(crate) struct NameHeld(Arc<Shared>, AttemptKey);

/// One of the places of those that run.
#[derive(Debug)]
pub(crate) struct HashPermit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most attempts that run at once.
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    running: usize,
    /// Names under which an attempt runs.
    held: HashSet<AttemptKey>,
    known: Line,
    unknown: Line,
    turns: u64,
    /// The sequence number of the next attempt.
    next: u64,
}

/// The attempts that wait in one lane.
#[derive(Debug, Default)]
struct Line {
    networks: HashMap<IpAddr, VecDeque<Waiter>>,
    /// Networks with somebody waiting, the next one first.
    ring: VecDeque<IpAddr>,
    count: usize,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    name: AttemptKey,
    /// Dropped where this one gives way to another.
    turn: oneshot::Sender<Turn>,
}

/// A place in the queue; given back when dropped.
struct Place<'a> {
    shared: &'a Shared,
    origin: AttemptOrigin,
    number: u64,
}

impl FairQueue {
    /// A queue for a resource that `most` may use at once.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Shared { most, waiting: Mutex::default() }))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Full`]: there is no place, or it was given to somebody from a quieter network.
    pub(crate) async fn turn(&self, origin: AttemptOrigin) -> Result<Turn, Full> {
        let (turn, is_mine) = oneshot::channel();
        let number = self.0.lock().join(origin, turn)?;
        let _place = Place { shared: &self.0, origin, number };
        self.0.go_on();
        is_mine.await.map_err(|_| Full::Queue)
    }

    /// True if a newcomer would have to wait behind others.
    pub(super) fn is_contended(&self) -> bool {
        self.0.lock().count() > 0
    }

    /// Number of attempts that run or wait.
    pub(crate) fn len(&self) -> usize {
        let waiting = self.0.lock();
        waiting.running + waiting.count()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns to the next in the queue. A turn that is sent to somebody who has just gone comes back as dropped
    /// guards, so nothing is sent while the lock is held.
    fn go_on(self: &Arc<Self>) {
        loop {
            let Some(next) = self.lock().take_next(self.most) else { return };
            let turn = Turn { name: NameHeld(Arc::clone(self), next.name), permit: HashPermit(Arc::clone(self)) };
            drop(next.turn.send(turn));
        }
    }
}

impl Waiting {
    fn count(&self) -> usize {
        self.known.count + self.unknown.count
    }

    fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Known => &mut self.known,
            Lane::Unknown => &mut self.unknown,
        }
    }

    fn join(&mut self, origin: AttemptOrigin, turn: oneshot::Sender<Turn>) -> Result<u64, Full> {
        let number = self.next;
        self.next += 1;
        self.line(origin.lane).join(origin.network, Waiter { number, name: origin.name, turn })?;
        Ok(number)
    }

    /// The next whose name is free, and from here on its name is held and it runs.
    fn take_next(&mut self, most: usize) -> Option<Waiter> {
        if self.running >= most {
            return None;
        }
        let (known, unknown, held) = (&mut self.known, &mut self.unknown, &self.held);
        self.turns += 1;
        let next = if self.turns.is_multiple_of(TURNS) {
            unknown.take_next(held).or_else(|| known.take_next(held))
        } else {
            known.take_next(held).or_else(|| unknown.take_next(held))
        }?;
        self.held.insert(next.name);
        self.running += 1;
        Some(next)
    }
}

impl Line {
    fn join(&mut self, network: IpAddr, waiter: Waiter) -> Result<(), Full> {
        let own = self.networks.get(&network).map_or(0, VecDeque::len);
        if own >= MAX_OF_NETWORK {
            return Err(Full::Network);
        }
        if self.count >= MAX_WAITING && !self.make_room(own + 1) {
            return Err(Full::Queue);
        }
        let queue = self.networks.entry(network).or_default();
        if queue.is_empty() {
            self.ring.push_back(network);
        }
        queue.push_back(waiter);
        self.count += 1;
        Ok(())
    }

    /// Drops the newest attempt of the network with the longest queue, in favour of one that would be the `number`th of
    /// its own network. Returns whether there was such a network.
    fn make_room(&mut self, number: usize) -> bool {
        let longest = self.networks.iter().max_by_key(|(_, queue)| queue.len());
        let Some((network, _)) = longest.filter(|(_, queue)| queue.len() > number) else { return false };
        let network = *network;
        if let Some(queue) = self.networks.get_mut(&network) {
            // More than one waits there, so the network stays in the ring.
            queue.pop_back();
            self.count -= 1;
        }
        true
    }

    /// Takes the oldest with a free name of the network whose turn it is.
    fn take_next(&mut self, held: &HashSet<AttemptKey>) -> Option<Waiter> {
        for _ in 0..self.ring.len() {
            let network = self.ring.pop_front()?;
            let queue = self.networks.get_mut(&network)?;
            let free = queue.iter().position(|waiter| !held.contains(&waiter.name));
            let taken = free.and_then(|place| queue.remove(place));
            if queue.is_empty() {
                self.networks.remove(&network);
            } else {
                self.ring.push_back(network);
            }
            if let Some(taken) = taken {
                self.count -= 1;
                return Some(taken);
            }
        }
        None
    }

    fn leave(&mut self, network: IpAddr, number: u64) {
        let Some(queue) = self.networks.get_mut(&network) else { return };
        let before = queue.len();
        queue.retain(|waiter| waiter.number != number);
        self.count -= before - queue.len();
        if queue.is_empty() {
            self.networks.remove(&network);
            self.ring.retain(|known| *known != network);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().line(self.origin.lane).leave(self.origin.network, self.number);
    }
}

impl Drop for NameHeld {
    fn drop(&mut self) {
        self.0.lock().held.remove(&self.1);
        self.0.go_on();
    }
}

impl Drop for HashPermit {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.go_on();
    }
}

#[cfg(test)]
mod tests;
