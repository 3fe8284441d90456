//! Families of refresh tokens: begun, rotated, looked up, ended.

use std::time::{Duration, Instant};

use super::abandon::Abandon;
use crate::customer::Identifier;
use crate::state::customer_logins::LoginKind;
use crate::state::redis::Redis;
use crate::state::refresh_token::{Family, Handed, RefreshToken, Rotated, Rotation, UNANSWERED};
use crate::state::revocation::{Rule, Subject};
use crate::state::session::{self, LoginId, SessionDigest, handle};
use crate::state::{Among, Bound, LONGEST_SKEW, State, Store, Unavailable, UnlessLeft, codec};

impl State {
    /// Begins a family of refresh tokens; the customer's oldest end if there are too many.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody may be told of it.
    pub async fn begin_family(&self, first: &RefreshToken, family: Family, bound: Bound) -> Result<(), Unavailable> {
        self.has_room()?;
        let is_here = !matches!(self.store, Store::Redis(..));
        // Nobody knows its tokens yet. Where nobody ever will, the sweep finds it.
        let mut begun = Abandon::new(|| {
            self.families.change(&first.family, |family| family.expires_at = 0);
        });
        if is_here {
            self.families.insert(first.family, family.clone());
        }
        let changes = || vec![codec::put_family(&first.family, &family)];
        let shared = async |store: &Redis| store.begin_family(&first.family, &family).await;
        self.keep("begin_family", UnlessLeft::Drop, changes, shared).await?;
        begun.disarm();
        let (customer, issued_at, ends) = (family.customer.clone(), family.issued_at, family.expires_at);
        if is_here {
            self.family_registry.add(&customer, issued_at, first.family);
        }
        self.bound_families(&customer, &first.family, bound, ends).await
    }

    /// Ends the oldest families of a customer if there are too many.
    async fn bound_families(
        &self,
        customer: &Identifier,
        new: &SessionDigest,
        bound: Bound,
        ends: u64,
    ) -> Result<(), Unavailable> {
        if let Store::Redis(store, _) = &self.store {
            for digest in store.join(LoginKind::Family, customer, new, bound.most, ends).await? {
                self.end_family(&digest, bound.until).await?;
            }
            return Ok(());
        }
        for digest in self.family_registry.beyond(customer, bound.most) {
            if self.families.with(&digest, |family| family.customer == *customer).unwrap_or_default() {
                self.end_family(&digest, bound.until).await?;
            }
        }
        Ok(())
    }

    /// Rotates a refresh token: hands it in for one of its successors, of which the first is the one to give. A login
    /// that `admits` refuses gets none, and loses none.
    ///
    /// # Errors
    /// [`Unavailable`]: the token handed in stays valid.
    pub async fn rotate(
        &self,
        presented: &RefreshToken,
        successors: &[RefreshToken],
        rotation: Rotation,
        admits: impl Fn(&Family) -> bool,
    ) -> Result<Rotated, Unavailable> {
        let now = rotation.now.as_secs();
        if let Store::Redis(store, _) = &self.store {
            let begun = Instant::now();
            let rotated = store.rotate(presented, successors, rotation.grace, admits).await;
            self.note("rotate", begun.elapsed(), rotated.is_ok());
            return match rotated? {
                Rotated::Good(family) | Rotated::Barred(family) | Rotated::Reused(family)
                    if now >= family.expires_at =>
                {
                    Ok(Rotated::Unknown)
                }
                rotated => Ok(rotated),
            };
        }
        // The lock of the entry decides between two that come at once; it is not held while the disk is written.
        let handed_in = self.families.change(&presented.family, |family| {
            if now >= family.expires_at {
                return Rotated::Unknown;
            }
            let mut after = family.clone();
            match after.hand_in(&presented.digest, successors, millis(rotation.now)) {
                Handed::Good if !admits(&after) => Rotated::Barred(after),
                Handed::Good => {
                    *family = after.clone();
                    Rotated::Good(after)
                }
                Handed::Reused => Rotated::Reused(family.clone()),
                Handed::Replaced => Rotated::Replaced,
            }
        });
        let family = match handed_in.unwrap_or(Rotated::Unknown) {
            Rotated::Good(family) => family,
            rotated => return Ok(rotated),
        };
        let changes = || vec![codec::put_family(&presented.family, &family)];
        if let Err(Unavailable) = self.keep("rotate", UnlessLeft::Write, changes, async |_| Ok(())).await {
            self.families.change(&presented.family, |known| known.unanswered(&presented.digest));
            return Err(Unavailable);
        }
        let until = millis(rotation.now.saturating_add(rotation.grace));
        let answered = self.families.change(&presented.family, |known| known.answered(&presented.digest, until));
        if answered == Some(true) && matches!(self.store, Store::Embedded(_)) {
            // Where a crash takes this, the token is taken for longer.
            self.answered.push(presented.family);
        }
        Ok(Rotated::Good(family))
    }

    /// Writes the rotations answered since the last time. Once a second: that needs no commit of its own.
    pub fn note_answers(&self) {
        let Store::Embedded(store) = &self.store else { return };
        for digest in self.answered.take() {
            // The lock is held until it is in the queue: a rotation that comes now is written later.
            self.families.with(&digest, |family| store.write_later(vec![codec::put_family(&digest, family)]));
        }
    }

    /// The family of a valid refresh token.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
    pub async fn family(&self, presented: &RefreshToken, now: u64) -> Result<Option<Family>, Unavailable> {
        let family = self.live_family(&presented.family, now).await?;
        Ok(family.filter(|family| family.takes(&presented.digest, now.saturating_mul(1_000))))
    }

    /// The family of this digest, if live, whichever of its tokens is the valid one.
    ///
    /// # Errors
    /// [`Unavailable`]: the outcome is unknown.
    pub async fn live_family(&self, digest: &SessionDigest, now: u64) -> Result<Option<Family>, Unavailable> {
        let family = match &self.store {
            Store::Redis(store, _) => store.family(digest).await?,
            Store::Memory | Store::Embedded(_) => self.families.with(digest, Family::clone),
        };
        Ok(family.filter(|family| now < family.expires_at && !self.is_family_revoked(digest, family)))
    }

    /// The live families that are `wanted`; of a shared store at most 10,000, and only `among` these.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn live_families(
        &self,
        now: u64,
        among: Among<'_>,
        wanted: impl Fn(&Family) -> bool,
    ) -> Result<Vec<(SessionDigest, Family)>, Unavailable> {
        let lives = |digest: &SessionDigest, family: &Family| {
            now < family.expires_at
                && !matches!(among, Among::Login(login) if login != LoginId::of(digest))
                && wanted(family)
                && !self.is_family_revoked(digest, family)
        };
        if let Store::Redis(store, _) = &self.store {
            return store.families(10_000, among, lives).await;
        }
        Ok(self.families.collect(|digest, family| lives(digest, family).then(|| (*digest, family.clone()))))
    }

    /// Returns whether a rule has ended this family.
    pub fn is_family_revoked(&self, digest: &SessionDigest, family: &Family) -> bool {
        session::is_revoked(&self.revocations, digest, LoginId::of(digest), &family.customer, family.issued())
    }

    /// Ends a family and all tokens of its login, the last of which expires at `until`.
    ///
    /// # Errors
    /// [`Unavailable`]: it has ended here, but may be live after a restart.
    pub async fn end_family(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        let rule = Rule::forever(Subject::Login(handle(digest).into()), until.saturating_add(LONGEST_SKEW));
        self.revocations.apply(rule.clone());
        let rule = self.revocations.rule(&rule.subject).unwrap_or(rule);
        let changes = || vec![codec::delete_family(digest), codec::put_rule(&rule)];
        let kept = self
            .keep("end_family", UnlessLeft::Write, changes, async |store| store.end_family(digest, &rule).await)
            .await;
        kept.inspect_err(|_| self.owed.add(&rule.subject))?;
        if let Some(family) = self.families.remove(digest) {
            self.family_registry.remove(&family.customer, family.issued_at, digest);
        }
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(UNANSWERED - 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::customer::{Deriver, IdentifierKey, Mode};
    use crate::secret::Secret;
    use crate::state::{Most, StateSettings};

    fn deriver() -> Deriver {
        let key = IdentifierKey::parse(&Secret::new(IdentifierKey::generate().as_bytes())).unwrap();
        Deriver::new(key, Mode::OneWay)
    }

    fn family(first: &RefreshToken) -> Family {
        let customer = Identifier::from_store("t1-x");
        let current = first.digest;
        Family { customer, issued_at: 1, expires_at: 1_000, current, predecessor: None, account: None, number: None }
    }

    #[tokio::test]
    async fn a_rotation_that_could_not_be_written_ends_no_login_when_its_caller_comes_again() {
        let path = std::env::temp_dir().join(format!("wicketgate-family-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let open = || {
            let settings = StateSettings::Embedded(path.clone(), Most { sessions: 10, replay_ids: 10 });
            State::open(settings, Arc::default(), &tokio::runtime::Handle::current(), 1).unwrap()
        };
        let state = open();
        let (deriver, first) = (deriver(), RefreshToken::first());
        let successors = first.successors(&deriver);
        let at = |millis| Rotation { now: Duration::from_millis(millis), grace: Duration::from_millis(10) };
        state.begin_family(&first, family(&first), Bound { most: 20, until: 2_000 }).await.unwrap();
        state.close();
        assert_eq!(state.rotate(&first, &successors, at(1_000), |_| true).await, Err(Unavailable));
        drop(state);
        let state = open();
        assert!(matches!(state.rotate(&first, &successors, at(50_000), |_| true).await, Ok(Rotated::Good(_))));
        assert!(matches!(state.rotate(&first, &successors, at(50_009), |_| true).await, Ok(Rotated::Good(_))));
        assert!(matches!(state.rotate(&first, &successors, at(50_010), |_| true).await, Ok(Rotated::Reused(_))));
        std::fs::remove_dir_all(path).unwrap();
    }
}
