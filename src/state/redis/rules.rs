//! Rules as they come from the store and go there, and how the store stands with them.

/// By so many seconds a rule outlives its end in the store, by the clock of that: no replica may miss it before its own
/// clock says that it is over.
pub(super) const MARGIN: u64 = 120;

/// How many rules that have ended are removed at once.
pub(super) const MOST_REMOVED: usize = 1_000;

/// How many rules one script puts: the store does nothing else meanwhile.
pub(super) const CHUNK: usize = 500;

/// How many rules are read at once, where the network allows it.
pub(super) const PAGE: usize = 10_000;

/// What the store says of its rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status {
    /// The last number that was given.
    pub(super) number: u64,
    /// How many there are, without those that are overdue.
    pub(super) live: u64,
    /// Whether the end of all is known: an older version notes none.
    pub(super) has_all_ends: bool,
    /// The clock of the store, in seconds since 1970.
    pub(super) time: u64,
}

/// A rule's text and number.
pub(super) type Numbered = (String, u64);

/// How rules are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Other replicas hear of what has become stricter.
    Announced,
    /// They hear nothing.
    Quiet,
    /// They hear nothing, and only what is still in the log is put: another replica may just have removed what has ended.
    Standing,
}
