//! Answers of an issuer about tokens, by their digests; bounded, those about good tokens apart from the others, so that a
//! flood of tokens that nobody issued drives out none of them.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{ActiveToken, TokenAnswer};
use crate::state::session::SessionDigest;

/// Most bytes of answers about good tokens.
const MOST_BYTES: u64 = 16 << 20;
/// What an answer takes beside its text, in bytes.
const BESIDE: u64 = 256;
/// Most answers about others.
const MOST_INACTIVE: usize = 16_384;
/// Use of an answer that a token is not good, in seconds: nothing makes it good again, and a provider whose replicas lag may
/// learn of it a moment later.
const INACTIVE_FOR: u64 = 5;

pub(super) struct Answers {
    active: Cache<SessionDigest, (Arc<ActiveToken>, u64), BySize>,
    /// The first second in which it must be asked for again.
    inactive: Cache<SessionDigest, u64>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<SessionDigest, (Arc<ActiveToken>, u64)> for BySize {
    fn weight(&self, _: &SessionDigest, (_, size): &(Arc<ActiveToken>, u64)) -> u64 {
        size + BESIDE
    }
}

impl Default for Answers {
    fn default() -> Self {
        let estimated = usize::try_from(MOST_BYTES / 1024).unwrap_or(usize::MAX);
        Self { active: Cache::with_weighter(estimated, MOST_BYTES, BySize), inactive: Cache::new(MOST_INACTIVE) }
    }
}

impl Answers {
    pub(super) fn find(&self, token: &SessionDigest, now: u64) -> Option<TokenAnswer> {
        if let Some((active, _)) = self.active.get(token).filter(|(active, _)| now < active.until) {
            return Some(TokenAnswer::Active(active));
        }
        self.inactive.get(token).filter(|until| now < *until).map(|_| TokenAnswer::Inactive)
    }

    /// Keeps the answer that a token is good, of `size` bytes.
    pub(super) fn keep_active(&self, token: SessionDigest, active: Arc<ActiveToken>, size: usize) {
        self.inactive.remove(&token);
        self.active.insert(token, (active, size as u64));
    }

    /// Keeps the answer of this second that it is not.
    pub(super) fn keep_inactive(&self, token: SessionDigest, now: u64) {
        self.active.remove(&token);
        self.inactive.insert(token, now.saturating_add(INACTIVE_FOR));
    }
}
