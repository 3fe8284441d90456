//! Rules in transit to and from the store, and the status of its log.

/// Seconds by which a rule outlives its expiry in the store, by the store's clock: no replica may miss it before its
/// own clock says that it has expired.
pub(super) const MARGIN: u64 = 120;

/// Expired rules removed at once.
pub(super) const MOST_REMOVED: usize = 1_000;

/// Rules that one script puts: the store does nothing else meanwhile.
pub(super) const CHUNK: usize = 500;

/// Most rules read at once, on a fast network.
pub(super) const PAGE: usize = 10_000;

/// Status of the log of rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleStatus {
    /// Last number given.
    pub(super) number: u64,
    /// Number of rules, without overdue ones.
    pub(super) live: u64,
    /// True if the expiry of every rule is noted: an earlier version notes none.
    pub(super) has_all_ends: bool,
    /// The clock of the store, in seconds since 1970.
    pub(super) time: u64,
}

/// A rule's text and number.
pub(super) type Numbered = (String, u64);

/// The way in which rules are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutRule {
    /// Rules that became stricter are announced to other replicas.
    Announced,
    /// Nothing is announced.
    Quiet,
    /// Nothing is announced, and only rules still in the log are put: another replica may just have removed expired
    /// ones.
    Standing,
}
