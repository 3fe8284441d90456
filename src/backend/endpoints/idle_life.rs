//! How long idle connections of one server live, as far as it was seen.
//!
//! A request that goes out while the server's FIN is on its way is lost, and nobody knows whether it was processed. So a
//! request that cannot be repeated goes on an idle connection only where the server has kept others for much longer, and
//! has closed none that was about as young. Before anything is known, one such request at a time tries: it may be lost,
//! and no other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::backend::clock::millis;

/// Age at which no connection was seen closed.
const NEVER: u32 = u32::MAX;

/// Least distance from an age that was seen, in microseconds: the way there and back, and a busy machine.
const MARGIN: u32 = 100_000;

/// Pause between two steps of forgetting, in milliseconds.
const PAUSE: u64 = 10_000;

/// Closed ages above this are forgotten as a whole where they are contradicted, in microseconds.
const LONG: u32 = 1_000_000;

/// Lifetime of idle connections to one server, shared by all workers.
#[derive(Debug)]
pub(in crate::backend) struct IdleLife {
    seen: AtomicU64,
    /// True while a request tries a connection of which nothing is known.
    is_tried: AtomicBool,
    /// Age at which the log says that a connection was closed, in microseconds, or [`NEVER`].
    said: AtomicU32,
    /// Time of the last step of forgetting; 0: none.
    forgotten: AtomicU64,
}

/// What was seen of idle connections, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct SeenAges {
    /// Greatest age of one that was alive.
    alive: u32,
    /// Least age of one that was closed, or [`NEVER`].
    closed: u32,
}

/// Turn of the one request that tries a connection of which nothing is known; given back on drop.
pub(in crate::backend) struct Trial<'a>(&'a AtomicBool);

impl Default for IdleLife {
    fn default() -> Self {
        let seen = SeenAges { alive: 0, closed: NEVER };
        Self {
            seen: AtomicU64::new(seen.packed()),
            is_tried: AtomicBool::new(false),
            said: AtomicU32::new(NEVER),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl IdleLife {
    /// What was seen so far.
    pub(in crate::backend) fn seen(&self) -> SeenAges {
        SeenAges::of(self.seen.load(Ordering::Relaxed))
    }

    /// The turn to try, while no connection was seen closed and nobody else tries.
    pub(in crate::backend) fn try_one(&self) -> Option<Trial<'_>> {
        let turn = (!self.is_tried.swap(true, Ordering::Acquire)).then(|| Trial(&self.is_tried))?;
        // The one before may have found out.
        (self.seen().closed == NEVER).then_some(turn)
    }

    /// Notes that a connection was alive at this age.
    pub(in crate::backend) fn note_alive(&self, age: Duration, now: Instant) {
        let (age, seen) = (micros(age), self.seen());
        if age > seen.alive {
            self.learn(|seen| SeenAges { alive: seen.alive.max(age), ..seen });
        }
        // A server that was restarted or configured anew is trusted again, slowly.
        if far_above(age, seen.closed) && self.may_forget(millis(now)) {
            let closed = |seen: SeenAges| if seen.closed > LONG { NEVER } else { seen.closed.saturating_mul(2).max(1) };
            self.learn(|seen| SeenAges { closed: closed(seen), ..seen });
        }
    }

    /// Notes that a connection of this age was found closed by the server, under a request where `is_lost`. Returns true
    /// where the log should say so: it is the first, or less than half as old as the one that the log has.
    pub(in crate::backend) fn note_closed(&self, age: Duration, is_lost: bool) -> bool {
        let age = micros(age);
        // Others lived for much longer: no timeout has closed it, but perhaps a restart.
        let before = self.learn(|seen| match far_above(seen.alive, age) {
            true if is_lost => SeenAges { alive: age, ..seen },
            true => seen,
            false => SeenAges { closed: seen.closed.min(age), ..seen },
        });
        if self.seen().closed == NEVER {
            return false;
        }
        let is_news = |said: u32| (before.closed == NEVER || said == NEVER || age < said / 2).then_some(age);
        self.said.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_news).is_ok()
    }

    /// Changes what was seen; returns what it was.
    fn learn(&self, change: impl Fn(SeenAges) -> SeenAges) -> SeenAges {
        let changed = |packed| Some(change(SeenAges::of(packed)).packed());
        let before = self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        SeenAges::of(before.unwrap_or_else(|packed| packed))
    }

    fn may_forget(&self, now: u64) -> bool {
        let last = self.forgotten.load(Ordering::Relaxed);
        let is_due = last == 0 || now.saturating_sub(last) >= PAUSE;
        is_due && self.forgotten.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl SeenAges {
    /// Greatest age of an idle connection that a request may use. One that can be repeated risks a round trip, and one
    /// that cannot risks itself.
    pub(in crate::backend) fn usable(self, can_repeat: bool) -> Duration {
        let most = match can_repeat {
            true if self.closed == NEVER => return Duration::MAX,
            true => self.closed / 4 * 3,
            false => safely_below(self.alive).min(safely_below(self.closed)),
        };
        Duration::from_micros(most.into())
    }

    fn of(packed: u64) -> Self {
        Self { alive: (packed >> 32) as u32, closed: packed as u32 }
    }

    fn packed(self) -> u64 {
        u64::from(self.alive) << 32 | u64::from(self.closed)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn micros(age: Duration) -> u32 {
    u32::try_from(age.as_micros()).unwrap_or(NEVER).min(NEVER - 1)
}

/// At most half of it, and at least [`MARGIN`] below.
fn safely_below(age: u32) -> u32 {
    age.saturating_sub((age / 2).max(MARGIN))
}

/// More than twice as much, and two margins.
fn far_above(age: u32, other: u32) -> bool {
    age > other.saturating_add(MARGIN).saturating_mul(2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_request_that_cannot_be_repeated_uses_what_is_half_as_old_as_was_seen_alive_and_as_was_seen_closed() {
        let life = IdleLife::default();
        assert_eq!((life.seen().usable(false), life.seen().usable(true)), (Duration::ZERO, Duration::MAX));
        life.note_alive(ms(150), Instant::now());
        assert_eq!(life.seen().usable(false), ms(50));
        life.note_alive(ms(4_000), Instant::now());
        life.note_alive(ms(20), Instant::now());
        assert_eq!(life.seen().usable(false), ms(2_000));
        assert!(life.note_closed(ms(3_000), false));
        assert!(!life.note_closed(ms(2_000), false) && !life.note_closed(ms(3_500), true));
        assert_eq!((life.seen().usable(false), life.seen().usable(true)), (ms(1_000), ms(1_500)));
        life.note_closed(ms(1_950), true);
        assert_eq!(life.seen().usable(false), ms(975));
    }

    #[test]
    fn a_time_that_was_noticed_late_is_corrected_in_the_log() {
        let life = IdleLife::default();
        let said = [723, 800, 500, 370, 361, 200, 20, 20, 15].map(|age| life.note_closed(ms(age), false));
        assert_eq!(said, [true, false, false, false, true, false, true, false, false]);
    }

    #[test]
    fn no_idle_connection_of_a_server_that_closes_at_once_is_used_by_what_cannot_be_repeated() {
        for milliseconds in [0, 1, 5, 20, 100] {
            let life = IdleLife::default();
            life.note_alive(ms(milliseconds), Instant::now());
            assert!(life.note_closed(ms(milliseconds), true));
            assert_eq!(life.seen().usable(false), Duration::ZERO);
            assert!(life.seen().usable(true) < ms(milliseconds.max(1)));
            assert!(life.try_one().is_none(), "nobody tries what is known");
        }
    }

    #[test]
    fn one_at_a_time_tries_what_nobody_knows() {
        let life = IdleLife::default();
        let turn = life.try_one().unwrap();
        assert!(life.try_one().is_none());
        drop(turn);
        let turn = life.try_one().unwrap();
        life.note_closed(ms(1), true);
        drop(turn);
        assert!(life.try_one().is_none());
    }

    #[test]
    fn a_restart_of_a_server_that_keeps_connections_for_long_changes_nothing_for_long() {
        let life = IdleLife::default();
        life.note_alive(ms(4_000), Instant::now());
        assert!(!life.note_closed(ms(3), false));
        assert_eq!(life.seen().usable(false), ms(2_000), "nothing was lost");
        assert!(!life.note_closed(ms(3), true));
        assert_eq!(life.seen().usable(false), Duration::ZERO, "it must be seen anew");
        assert!(life.note_closed(ms(3), true), "now it is a rule");
    }

    #[test]
    fn a_server_that_keeps_connections_again_is_trusted_again_after_a_while() {
        let life = IdleLife::default();
        life.note_closed(ms(20), true);
        let mut now = Instant::now();
        let mut steps = 0;
        while life.try_one().is_none() {
            assert_eq!(life.seen().usable(false), safely_usable(&life));
            for _ in 0..100 {
                life.note_alive(ms(4_000), now);
            }
            (now, steps) = (now + ms(PAUSE), steps + 1);
            assert!(steps < 20);
        }
        assert!(steps > 3, "{steps} steps of 10 s");
        assert_eq!(life.seen().usable(true), Duration::MAX);
        // One that is alive for hardly longer contradicts nothing.
        life.note_closed(ms(3_900), true);
        life.note_alive(ms(7_000), now + ms(PAUSE));
        assert_eq!(life.seen().usable(true), ms(3_900) / 4 * 3);
    }

    fn safely_usable(life: &IdleLife) -> Duration {
        let seen = life.seen();
        Duration::from_micros(safely_below(seen.closed).min(safely_below(seen.alive)).into())
    }
}
