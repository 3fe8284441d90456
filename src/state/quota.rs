//! Quotas of API keys per day and month (UTC): calls left until the next period.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use time::{Date, Month, OffsetDateTime};

/// The period of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A day of UTC.
    Day,
    /// A month of UTC.
    Month,
}

impl Period {
    /// The word in configuration and state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The period that [`Self::as_str`] names so.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Day, Self::Month].into_iter().find(|period| period.as_str() == word)
    }

    /// Begin of the next period after the one that began at `begun`.
    pub(super) fn next(self, begun: u64) -> u64 {
        self.bounds(begun).1
    }

    /// Begin and end of the period that `now` is in, in seconds since 1970.
    pub fn bounds(self, now: u64) -> (u64, u64) {
        let day = now - now % DAY;
        let time = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        match (self, time) {
            (Self::Day, _) | (Self::Month, None) => (day, day + DAY),
            (Self::Month, Some(time)) => {
                let first = |year, month: Month| {
                    let date = Date::from_calendar_date(year, month, 1).ok()?;
                    u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok()
                };
                let next_year = time.year() + i32::from(time.month() == Month::December);
                let (begin, end) = (first(time.year(), time.month()), first(next_year, time.month().next()));
                (begin.unwrap_or(day), end.unwrap_or(day + DAY))
            }
        }
    }
}

const DAY: u64 = 24 * 3600;

/// Most calls in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The period.
    pub period: Period,
    /// Most calls.
    pub most: u64,
}

/// The shared store's answer to a request for calls of a rate limit. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Granted calls.
    pub granted: u64,
    /// Further calls that would be granted at once.
    pub left: u64,
    /// Time until the next call is granted; 0 if some were.
    pub wait: u64,
    /// Time until the whole burst is available again.
    pub full: u64,
}

/// The calls of one key in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Begin of the period, in seconds since 1970.
    pub begun: u64,
    /// Calls counted; with a shared store, the calls it has given out as far as this process knows.
    pub used: u64,
}

/// The calls that this process has counted.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    counts: DashMap<(Box<str>, Period), Entry, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Entry {
    count: Count,
    /// Calls leased from the shared store, not used yet.
    leased: u64,
    /// `used` as last written to the file.
    stored: AtomicU64,
}

/// The outcome of counting one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Local {
    /// Within the quota, with this many calls left.
    Good(u64),
    /// The quota is used up.
    Over,
    /// The shared store must be asked for a lease, for the period with this begin.
    Ask(u64),
}

impl Quotas {
    /// Counts a call without a shared store.
    pub(super) fn count(&self, key: &str, period: Period, most: u64, begun: u64) -> Local {
        self.with(key, period, begun, |entry| {
            if entry.count.used >= most {
                return Local::Over;
            }
            entry.count.used += 1;
            Local::Good(most - entry.count.used)
        })
    }

    /// Counts a call against the lease of the shared store.
    pub(super) fn spend(&self, key: &str, period: Period, most: u64, begun: u64) -> Local {
        self.with(key, period, begun, |entry| {
            if entry.leased == 0 {
                return if entry.count.used >= most { Local::Over } else { Local::Ask(entry.count.begun) };
            }
            entry.leased -= 1;
            Local::Good(most.saturating_sub(entry.count.used) + entry.leased)
        })
    }

    /// The calls that are left, without counting one.
    pub(super) fn left(&self, key: &str, quota: Quota, begun: u64) -> u64 {
        let known = self.counts.get(&(Box::from(key), quota.period));
        let known = known.as_deref().filter(|entry| entry.count.begun == begun);
        known.map_or(quota.most, |entry| quota.most.saturating_sub(entry.count.used) + entry.leased)
    }

    /// Adds a lease of `granted` calls of the period that began at `begun`; the store has given out `used` in all.
    pub(super) fn lease(&self, key: &str, period: Period, begun: u64, granted: u64, used: u64) {
        self.with(key, period, begun, |entry| {
            // What was given for a period that is over meanwhile is lost.
            if entry.count.begun == begun {
                entry.leased += granted;
                entry.count.used = used;
            }
        });
    }

    /// Restores a stored count.
    pub(super) fn set(&self, key: &str, period: Period, count: Count) {
        self.counts.insert((key.into(), period), Entry { count, leased: 0, stored: count.used.into() });
    }

    /// The counts that changed since this was last called.
    pub(super) fn unstored(&self) -> Vec<(Box<str>, Period, Count)> {
        let changed = self
            .counts
            .iter()
            .filter(|entry| entry.stored.swap(entry.count.used, Ordering::Relaxed) != entry.count.used);
        changed.map(|entry| (entry.key().0.clone(), entry.key().1, entry.count)).collect()
    }

    /// Forgets counts whose next period is over too; returns their names and periods.
    pub(super) fn forget_over(&self, now: u64) -> Vec<(Box<str>, Period)> {
        let is_over = |period: Period, count: Count| period.next(period.next(count.begun)) <= now;
        let over = self.counts.iter().filter(|entry| is_over(entry.key().1, entry.count));
        let over: Vec<(Box<str>, Period)> = over.map(|entry| entry.key().clone()).collect();
        let forget = |name: &(Box<str>, Period)| self.counts.remove_if(name, |_, entry| is_over(name.1, entry.count));
        over.into_iter().filter(|name| forget(name).is_some()).collect()
    }

    /// Acts on the entry of this key and period. A late request of the previous period counts for the present one, and
    /// must not begin the previous anew. If the clock was set back by more than that, the count begins anew.
    fn with<T>(&self, key: &str, period: Period, begun: u64, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entry = self.counts.entry((key.into(), period)).or_default();
        if entry.count.begun != begun && entry.count.begun != period.next(begun) {
            *entry = Entry { count: Count { begun, used: 0 }, ..Entry::default() };
        }
        act(&mut entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_are_those_of_utc() {
        // 2026-11-24 13:24:29, 2026-12-31 23:59:59 and 2028-02-29 00:00:00.
        assert_eq!(Period::Day.bounds(1_795_526_669), (1_795_478_400, 1_795_564_800));
        assert_eq!(Period::Month.bounds(1_795_526_669), (1_793_491_200, 1_796_083_200));
        assert_eq!(Period::Month.bounds(1_798_761_599), (1_796_083_200, 1_798_761_600));
        assert_eq!(Period::Month.bounds(1_835_395_200), (1_832_976_000, 1_835_481_600));
    }

    #[test]
    fn a_quota_ends_and_begins_anew_with_its_period() {
        let quotas = Quotas::default();
        let count = |begun| quotas.count("key", Period::Day, 2, begun);
        assert_eq!([count(0), count(0), count(0)], [Local::Good(1), Local::Good(0), Local::Over]);
        assert_eq!(quotas.count("other", Period::Day, 2, 0), Local::Good(1));
        assert_eq!(count(DAY), Local::Good(1));
        assert_eq!(quotas.unstored().len(), 2);
        assert!(quotas.unstored().is_empty());
    }

    #[test]
    fn counts_that_are_long_over_are_forgotten_whoever_has_the_key() {
        let quotas = Quotas::default();
        let count = |key: &str, begun| quotas.count(key, Period::Day, 2, begun);
        for (key, begun) in [("gone", 0), ("used", 0), ("used", DAY)] {
            assert_eq!(count(key, begun), Local::Good(1));
        }
        assert!(quotas.forget_over(2 * DAY - 1).is_empty(), "a late call may still be of the day before");
        assert_eq!(quotas.forget_over(2 * DAY), [("gone".into(), Period::Day)]);
        assert_eq!(count("used", DAY), Local::Good(0), "within its day nothing is forgotten");
        assert_eq!(quotas.counts.len(), 1);
    }

    #[test]
    fn requests_that_began_before_the_border_do_not_take_the_count_back() {
        let quotas = Quotas::default();
        let count = |begun| quotas.count("key", Period::Day, 25, begun);
        for left in (20..25).rev() {
            assert_eq!(count(0), Local::Good(left));
        }
        assert_eq!(count(DAY), Local::Good(24));
        // These took their time: the new day has begun with another call.
        assert_eq!([count(0), count(0)], [Local::Good(23), Local::Good(22)]);
        assert_eq!(count(DAY), Local::Good(21));
        let stored = quotas.unstored().remove(0).2;
        assert_eq!(stored, Count { begun: DAY, used: 4 });
        // A clock that was wrong by more is put right.
        assert_eq!(count(9 * DAY), Local::Good(24));
        assert_eq!(count(DAY), Local::Good(24));
    }

    #[test]
    fn what_a_store_gave_for_a_period_that_is_over_is_not_spent_in_the_next() {
        let quotas = Quotas::default();
        let month = Period::Month.next(0);
        let spend = |begun| quotas.spend("key", Period::Month, 10, begun);
        assert_eq!(spend(0), Local::Ask(0));
        assert_eq!(spend(month), Local::Ask(month));
        quotas.lease("key", Period::Month, 0, 2, 9);
        assert_eq!(spend(0), Local::Ask(month), "a late call is one of the new month");
        quotas.lease("key", Period::Month, month, 2, 2);
        assert_eq!([spend(0), spend(month), spend(0)], [Local::Good(9), Local::Good(8), Local::Ask(month)]);
    }

    #[test]
    fn what_was_leased_is_spent_before_more_is_asked_for() {
        let quotas = Quotas::default();
        let spend = || quotas.spend("key", Period::Month, 3, 0);
        assert_eq!(spend(), Local::Ask(0));
        quotas.lease("key", Period::Month, 0, 2, 2);
        assert_eq!([spend(), spend(), spend()], [Local::Good(2), Local::Good(1), Local::Ask(0)]);
        quotas.lease("key", Period::Month, 0, 0, 3);
        assert_eq!(spend(), Local::Over);
    }
}
