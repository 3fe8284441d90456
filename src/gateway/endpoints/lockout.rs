//! Login attempts and client authentications: failures lock out the name and the network that failed, and nobody else.
//!
//! Failures count by network, and by name within a network ([`crate::state::login_lockout`]). The limit by name alone
//! protects the queue of hashes: it is charged only where a hash is really going to be verified for an unknown caller,
//! and refunded where that was no failure.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::fair_queue::{AttemptOrigin, FairQueue, Full, HashPermit, Lane, NameHeld};
use crate::config::raw::RateLimit;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::rate_limit::RateLimits;
use crate::gateway::rate_limit::gcra::Spent;
use crate::gateway::rate_limit::keys::{key, network, retry_later};
use crate::hex::hex;
use crate::normalization::folded_name;
use crate::policy::Policy;
use crate::refusal::{Refusal, TokenFault};
use crate::state::State;
use crate::state::login_lockout::{AttemptKey, AttemptKeys, Cost, Costs, Spelling};

/// Longest delay of a network with more attempts than may wait, in milliseconds.
const LONGEST_OF_CROWD: u64 = 10_000;

/// Time after which a caller who gives up on an unresponsive login backend is not counted as failed.
const IN_VAIN: Duration = Duration::from_secs(1);

/// True if whoever is asked has answered nobody since this time.
type IsSilentSince = Box<dyn Fn(Instant) -> bool + Send + Sync>;

/// The kind of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Login,
    AccessToken,
    /// A refresh token, without client authentication.
    Refresh,
}

/// The keys of an attempt: its name within a network, and the name alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who {
    what: Attempt,
    network: IpAddr,
    keys: AttemptKeys,
    /// The key of attempts for which its network has no place in a queue.
    crowd: AttemptKey,
}

/// An attempt that may be made. It counts as failed if it has begun and its caller does not wait for the result, unless
/// there would have been none.
pub(crate) struct CountedAttempt<'a> {
    limits: &'a RateLimits,
    state: &'a State,
    who: Who,
    costs: Costs,
    /// Its charge against the limit of its name.
    spent: Option<Spent<'a, AttemptKey>>,
    /// While held, nothing else is tried under this name from this network.
    held: Option<NameHeld>,
    /// True if it has begun and has no result yet.
    is_open: bool,
    /// The start of asking somebody about it, and whether that has answered nobody since a time.
    asked: Option<(Instant, IsSilentSince)>,
}

impl Who {
    /// The keys of an attempt under this name. Where several spellings of a name count as one and may be the names of
    /// several people, `spelling` is the one that is tried: a success in it is none in another.
    pub(crate) fn new(what: Attempt, name: &str, spelling: Option<&str>, address: IpAddr) -> Self {
        let network = network(address);
        let (word, address) = (what.as_str(), network.to_string());
        let keys = AttemptKeys {
            name: key(&[word, &address, name]),
            network: key(&[word, &address]),
            right: match spelling {
                Some(spelling) => key(&["right", word, &address, name, spelling]),
                None => key(&["right", word, &address, name]),
            },
            spelling: spelling_of(spelling.unwrap_or(name)),
            who: name_key(word, name),
        };
        Self { what, network, keys, crowd: key(&["crowd", word, &address]) }
    }

    /// The pseudonym of the name in the log.
    pub(crate) fn shown(&self, policy: &Policy) -> Box<str> {
        shown(policy, &self.keys.who).into()
    }

    /// The key of the name in this network.
    pub(crate) fn key(&self) -> AttemptKey {
        self.keys.name
    }
}

impl Gateway {
    /// Begins an attempt. Too many failures before are the refusal, whatever is presented now.
    pub(super) async fn try_as(&self, who: Who, costs: Costs) -> Result<CountedAttempt<'_>, Refused> {
        let (limits, state) = (&self.shared.limits, &self.shared.state);
        match state.wait(&who.keys, unix_millis()).await {
            0 => Ok(CountedAttempt { limits, state, who, costs, spent: None, held: None, is_open: false, asked: None }),
            wait => Err(who.locked(wait)),
        }
    }

    /// Counts the outcome of a proof that is cheap and that nobody can guess, such as a signature. A success passes
    /// whatever failed before, and lifts no lock, as somebody may be guessing at a secret of the same name.
    ///
    /// # Errors
    /// That of the proof; or, where that is a failure, the lock-out after too many.
    pub(crate) async fn judged<T>(
        &self,
        who: Who,
        costs: Costs,
        proof: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refused> {
        let outcome = proof.await;
        if outcome.as_ref().err().is_none_or(|refusal| is_failure(*refusal)) {
            match self.try_as(who, costs).await {
                Ok(tried) => drop(tried.judge(&outcome).await),
                Err(locked) if outcome.is_err() => return Err(locked),
                Err(_) => {}
            }
        }
        Ok(outcome?)
    }

    /// The lock-out of an attempt as known to this process, without asking a shared store.
    pub(super) fn refusal_here(&self, who: &Who) -> Option<Refused> {
        match self.shared.state.wait_here(&who.keys, unix_millis()) {
            0 => None,
            wait => Some(who.locked(wait)),
        }
    }
}

impl CountedAttempt<'_> {
    /// Waits for a turn at the scarce resource. From here on the attempt has begun. One attempt runs at a time under a
    /// name from its network; and one in all of a network that has used up its free failures: its next failure locks
    /// it.
    ///
    /// # Errors
    /// The queue is full, the name is tried too often from everywhere, or too many attempts have failed in the
    /// meantime.
    pub(crate) async fn turn(&mut self, queue: &FairQueue, limit: &RateLimit) -> Result<HashPermit, Refused> {
        let (limits, state, who) = (self.limits, self.state, self.who);
        let spent_for = limits.name_wait(&who.keys.who, limit);
        let crowd_wait = state.crowd_wait(&who.crowd, unix_millis());
        let is_contended = spent_for.is_some() || crowd_wait > 0 || queue.is_contended();
        let is_known = is_contended && state.was_right(&who.keys, unix_millis()).await;
        if let Some(wait) = spent_for.filter(|_| !is_known) {
            return Err(retry_later(who.what.too_often(), wait));
        }
        if crowd_wait > 0 && !is_known {
            return Err(retry_later(Refusal::HashQueue, Duration::from_millis(crowd_wait)));
        }
        let lane = if is_known { Lane::Known } else { Lane::Unknown };
        let turn = loop {
            let is_alone = state.has_used_up(&who.keys, self.costs, unix_millis());
            let name = if is_alone { who.keys.network } else { who.keys.name };
            let turn = queue.turn(AttemptOrigin { network: who.network, name, lane }).await;
            if !is_known && turn.as_ref().is_err_and(|full| *full == Full::Network) {
                // Strangers who go on coming where the share of their network is full are told to come later. That is no
                // failure: whoever waits has his turn.
                state.crowd(who.crowd, crowd_cost(self.costs), unix_millis());
            }
            let turn = turn.map_err(|_| Refusal::HashQueue)?;
            if let wait @ 1.. = state.wait_here(&who.keys, unix_millis()) {
                return Err(who.locked(wait));
            }
            // Failures may have been used up while it waited.
            if is_alone || !state.has_used_up(&who.keys, self.costs, unix_millis()) {
                break turn;
            }
        };
        if !is_known {
            let spent = limits.spend_name(who.keys.who, limit);
            self.spent = Some(spent.map_err(|wait| retry_later(who.what.too_often(), wait))?);
        }
        self.held = Some(turn.name);
        self.is_open = true;
        Ok(turn.permit)
    }

    /// Counts the outcome. Only a clear no is a failure. The name is held for as long as the returned guard, until the
    /// caller learns the outcome, so that nobody learns from the next attempt how long this one took.
    pub(crate) async fn judge<T>(mut self, outcome: &Result<T, Refusal>) -> Option<NameHeld> {
        self.is_open = false;
        let (state, keys, now) = (self.state, self.who.keys, unix_millis());
        match outcome {
            Ok(_) => {
                state.note_right(&keys, now);
                state.forgive(&keys, now).await;
            }
            Err(refusal) if is_failure(*refusal) => {
                self.keep_spent();
                state.fail(&keys, self.costs, now).await;
            }
            Err(_) => {}
        }
        self.held.take()
    }

    /// Notes that somebody else is asked from here on, and what tells whether it has answered nobody since a time.
    pub(crate) fn asks(&mut self, is_silent_since: impl Fn(Instant) -> bool + Send + Sync + 'static) {
        self.asked = Some((Instant::now(), Box::new(is_silent_since)));
    }

    /// True if its caller has waited in vain on an unresponsive login backend: that is no guesser.
    fn is_outage(&self) -> bool {
        let waited =
            |(since, is_silent_since): &(Instant, IsSilentSince)| since.elapsed() >= IN_VAIN && is_silent_since(*since);
        self.asked.as_ref().is_some_and(waited)
    }

    /// Ends the attempt without counting it, as it was judged before.
    pub(super) fn retract(mut self) {
        self.is_open = false;
    }

    fn keep_spent(&mut self) {
        if let Some(spent) = self.spent.take() {
            spent.keep();
        }
    }
}

impl Drop for CountedAttempt<'_> {
    fn drop(&mut self) {
        if self.is_open && !self.is_outage() {
            self.keep_spent();
            self.state.fail_later(&self.who.keys, self.costs, unix_millis());
        }
    }
}

impl Who {
    fn locked(&self, wait: u64) -> Refused {
        let refusal = match self.what {
            Attempt::Login => Refusal::LoginLocked,
            Attempt::AccessToken | Attempt::Refresh => Refusal::TokenLocked,
        };
        retry_later(refusal, Duration::from_millis(wait))
    }
}

/// True for a clear no. A replayed assertion is none: its client has signed it.
fn is_failure(refusal: Refusal) -> bool {
    use Refusal as R;
    match refusal {
        R::ClientAssertion(fault) => !matches!(fault, TokenFault::NoKeys | TokenFault::Used),
        R::LoginUnknownUser
        | R::LoginWrongPassword
        | R::UnknownClient
        | R::WrongClientSecret
        | R::RefreshToken
        | R::RefreshTokenReused => true,
        _ => false,
    }
}

/// The key of a name, whatever the network; `kind` is `login`, with a typed user name, or `client`, with a client id.
/// `None` for another kind.
pub fn attempts_of(kind: &str, name: &str) -> Option<AttemptKey> {
    match kind {
        "login" => Some(name_key(Attempt::Login.as_str(), &folded_name(name))),
        "client" => Some(name_key(Attempt::AccessToken.as_str(), name)),
        _ => None,
    }
}

/// The key of the network of an address, for attempts of the same kinds.
pub fn attempts_from(kind: &str, address: IpAddr) -> Option<AttemptKey> {
    let word = match kind {
        "login" => Attempt::Login.as_str(),
        "client" => Attempt::AccessToken.as_str(),
        _ => return None,
    };
    Some(key(&[word, &network(address).to_string()]))
}

/// The pseudonym of a name in logs and lists. Names can be guessed, so nobody can try them without the key of
/// identifiers.
pub fn shown(policy: &Policy, who: &AttemptKey) -> String {
    match &policy.auth.deriver {
        Some(deriver) => hex(&deriver.pseudonym(who)),
        // Where nobody logs in: ids of clients are no secret.
        None => hex(who.first_chunk::<8>().unwrap_or(&[0; 8])),
    }
}

fn name_key(word: &str, name: &str) -> AttemptKey {
    key(&["name", word, name])
}

fn spelling_of(name: &str) -> Spelling {
    let digest = key(&["spelling", name]);
    let (spelling, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    Spelling::from_be_bytes(*spelling)
}

impl Attempt {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::AccessToken => "access_token",
            Self::Refresh => "refresh",
        }
    }

    fn too_often(self) -> Refusal {
        match self {
            Self::Login => Refusal::LoginRate,
            Self::AccessToken | Self::Refresh => Refusal::TokenRate,
        }
    }
}

/// The cost of more attempts than may wait, for their network: that of a failure, but with a short delay.
fn crowd_cost(costs: Costs) -> Cost {
    let longest = costs.network.longest.min(LONGEST_OF_CROWD);
    Cost { delay: costs.network.delay.min(longest), longest, ..costs.network }
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::config::raw::Attempts;
    use crate::state::login_lockout::{Cost, Failures};

    const DAY: u64 = 24 * 3600 * 1_000;

    /// Number of guesses on the first day of an attacker who waits until all is forgotten after so many.
    fn guesses(cost: Cost, at_once: usize) -> usize {
        let (mut now, mut failures, mut made) = (0, Failures::default(), 0);
        while now < DAY {
            made += 1;
            failures = failures.and_another(1, cost, now).unwrap();
            now = if made % at_once == 0 { failures.forgotten_at } else { now.max(failures.locked_until) };
        }
        made
    }

    #[test]
    fn the_documentation_says_how_often_somebody_can_guess_with_the_defaults() {
        let text = include_str!("../../../docs/operations.md");
        let raw = Attempts::default();
        let millis = |duration: crate::config::scalar::Duration| u64::try_from(duration.get().as_millis()).unwrap();
        let cost = Cost { free: raw.free.into(), delay: millis(raw.delay), longest: millis(raw.longest) };
        let (most, stubborn) =
            ((1..100).map(|at_once| guesses(cost, at_once)).max().unwrap(), guesses(cost, usize::MAX));
        let network = Cost { free: raw.free_per_address.into(), ..cost };
        let sprayed = (1..300).map(|at_once| guesses(network, at_once)).max().unwrap();
        let config = serde_json::from_str::<crate::config::raw::AccessToken>("{}").unwrap();
        let of_name = u64::from(config.limits.burst.unwrap()) + 24 * 3600 * u64::from(config.limits.rate.count());
        let networks = of_name.div_ceil(u64::try_from(most).unwrap());
        let looks = crate::gateway::rate_limit::looks_in(24 * 3600);
        for said in [
            format!("{most} guesses a day"),
            format!("{stubborn} who never"),
            format!("{} guesses a day at all names together", thousands(sprayed as u64)),
            format!("{} wrong ones a day", thousands(of_name)),
            format!("{} addresses", thousands(networks)),
            format!("{} secrets a day", thousands(looks)),
        ] {
            assert!(text.contains(&said), "docs/operations.md does not say: {said}");
        }
    }

    /// The number with a comma before each group of three digits.
    fn thousands(number: u64) -> String {
        let text = number.to_string();
        let comma = |at: usize| if at > 0 && (text.len() - at).is_multiple_of(3) { "," } else { "" };
        text.char_indices().map(|(at, digit)| format!("{}{digit}", comma(at))).collect()
    }
}
