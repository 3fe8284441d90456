//! What outlives a request: customers' logins, what has been revoked, refresh tokens, failed attempts, ids that are good
//! once.
//!
//! The request path reads memory. Everything that must not be lost is in a store before anybody is told that it
//! happened: one file of this process, or a Redis that several replicas share.

pub mod account_stamp;
pub mod archive;
mod codec;
mod customer_logins;
mod embedded;
mod expiry;
pub mod login_lockout;
pub mod quota;
pub mod redis;
pub mod refresh_token;
pub mod replay;
pub mod revocation;
pub mod session;
mod sharded_map;
mod unwritten_rules;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::customer::Identifier;
use crate::metrics::StateMetrics;
use account_stamp::AccountStamps;
use codec::Kept;
use customer_logins::{LoginKind, Registry};
pub use embedded::OpenFault;
use embedded::{Change, Embedded, Fate, Place, Released};
use login_lockout::Attempts;
use quota::Quotas;
pub use quota::{Quota, Taken};
pub use redis::Among;
use redis::Redis;
use refresh_token::{Answered, Family};
use replay::UsedIds;
use revocation::{Revocations, Rule};
use session::{Found, LoginId, Session, SessionDigest, Sessions, Trust};
use sharded_map::Shards;
use unwritten_rules::Owed;

/// How long a rule about a customer or client is kept: no token lives longer (RFC 6265bis caps cookies at 400 days).
pub const LONGEST: u64 = 400 * 24 * 3600;

/// For how many seconds a token may still be good after its end: the most that `issuer.clock_skew` can be. A rule about it
/// must not be forgotten before.
pub const LONGEST_SKEW: u64 = 60;

/// For how long this process may still decide after another one has taken the state: what comes later may miss a
/// revocation.
const AFTER_HANDOVER: Duration = Duration::from_secs(2);

/// The store could not be asked, or could not write. Never taken for a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state store is not available")]
pub struct Unavailable;

/// Where state is kept.
#[derive(Debug)]
pub enum Settings {
    /// In a file in this directory.
    Embedded(PathBuf, Most),
    /// In a store that several replicas share.
    Redis(Box<redis::Settings>, Outage),
    /// In memory only. For tests and measurements: it ends with the process.
    Memory,
}

impl Settings {
    /// The directory of the file that only one process can have.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Embedded(directory, _) => Some(directory),
            Self::Redis(..) | Self::Memory => None,
        }
    }
}

/// How much the state of one process may hold.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// Sessions and families of refresh tokens.
    pub sessions: usize,
    /// Ids that are good once.
    pub replay_ids: usize,
}

/// What passes while a shared store is away.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// How long cached sessions are accepted while the store is unavailable, from when its end was last sure to be heard
    /// of.
    pub sessions: Duration,
    /// For how long credentials pass though a revocation of them may have been missed.
    pub revocations: Duration,
}

/// All state of the process.
pub struct State {
    sessions: Sessions,
    revocations: Arc<Revocations>,
    families: Shards<SessionDigest, Family>,
    answered: Answered,
    /// What each customer has of both. A shared store knows that itself.
    session_registry: Registry,
    family_registry: Registry,
    attempts: Arc<Attempts>,
    quotas: Quotas,
    used: UsedIds,
    owed: Owed,
    store: Store,
    max_sessions: usize,
    metrics: Arc<StateMetrics>,
    started: Instant,
}

/// A store that another process may open.
pub struct Release<'a>(Option<(&'a Embedded, Released)>);

impl Release<'_> {
    /// It is the other process's. From here nothing is written any more, and soon nothing is decided.
    pub fn give(self) {
        if let Some((store, _)) = self.0 {
            store.give();
        }
    }

    /// The other process does not want it.
    pub fn take_back(self) {
        if let Some((_, released)) = self.0 {
            released.take_back();
        }
    }
}

/// How many logins of one kind a customer has.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The newest so many stay.
    pub most: usize,
    /// When the last token of those that end will have ended, in seconds since 1970.
    pub until: u64,
}

/// What becomes of a change whose caller has left, or was told that nobody knows, before it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UnlessLeft {
    /// It is written all the same: it makes something stricter, or is in force here already.
    Write,
    /// Nothing is written: what nobody was told of is not.
    Drop,
}

/// Gives up what was begun, unless it is disarmed: also where the caller has left in the middle.
struct Abandon<F: FnMut()> {
    give_up: F,
    is_armed: bool,
}

impl<F: FnMut()> Abandon<F> {
    fn new(give_up: F) -> Self {
        Self { give_up, is_armed: true }
    }

    fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl<F: FnMut()> Drop for Abandon<F> {
    fn drop(&mut self) {
        if self.is_armed {
            (self.give_up)();
        }
    }
}

enum Store {
    Memory,
    Embedded(Embedded),
    Redis(Redis, Outage),
}

impl State {
    /// Looks whether the file could be opened, and changes nothing.
    ///
    /// # Errors
    /// Why it could not.
    pub fn examine(settings: &Settings) -> Result<(), OpenFault> {
        settings.directory().map_or(Ok(()), embedded::examine)
    }

    /// Tries the connection to a shared store once.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn try_connect(settings: &Settings) -> Result<(), String> {
        match settings {
            Settings::Redis(settings, _) => redis::try_connect(settings).await,
            Settings::Embedded(..) | Settings::Memory => Ok(()),
        }
    }

    /// Opens the store and reads what it holds. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why the store cannot be used.
    pub fn open(settings: Settings, metrics: Arc<StateMetrics>, control: &Handle, now: u64) -> Result<Self, OpenFault> {
        let mut state = Self { metrics, ..Self::in_memory() };
        match settings {
            Settings::Memory => {}
            Settings::Embedded(directory, most) => {
                state.max_sessions = most.sessions;
                state.used = UsedIds::of(most.replay_ids);
                let (mut sessions, mut families) = (Vec::new(), Vec::new());
                let embedded = Embedded::open(&directory, |key, value| {
                    let kept = codec::read(key, value)?;
                    // Also of what is over: what bears a lower number may not be.
                    state.revocations.see(kept.number());
                    if kept.is_over(now) {
                        return Ok(Fate::Dead);
                    }
                    match kept {
                        Kept::Session(digest, session) => {
                            sessions.push((session.customer.clone(), session.issued_at, session.login, digest));
                            state.sessions.insert(digest, session, Trust::Complete, 0);
                        }
                        Kept::Rule(rule) => state.revocations.restore(rule),
                        Kept::Family(digest, family) => {
                            families.push((family.customer.clone(), family.issued_at, LoginId::of(&digest), digest));
                            state.families.insert(digest, family);
                        }
                        Kept::Failures(key, failures) => state.attempts.set(key, failures),
                        Kept::Right(key, until) => state.attempts.set_right(key, until),
                        Kept::Count(key, period, count) => state.quotas.set(&key, period, count),
                        Kept::Used(id, until) => state.used.set(id, until),
                        Kept::Highest(_) => {}
                    }
                    Ok(Fate::Live)
                })?;
                state.session_registry.fill(sessions);
                state.family_registry.fill(families);
                state.store = Store::Embedded(embedded);
            }
            Settings::Redis(settings, outage) => {
                state.revocations = Arc::new(Revocations::shared());
                let redis = Redis::start(
                    *settings,
                    Arc::clone(&state.revocations),
                    Arc::clone(&state.attempts),
                    control.clone(),
                );
                state.store = Store::Redis(redis, outage);
            }
        }
        Ok(state)
    }

    /// State that ends with the process.
    pub fn in_memory() -> Self {
        Self {
            sessions: Sessions::default(),
            revocations: Arc::default(),
            families: Shards::in_order(),
            answered: Answered::default(),
            session_registry: Registry::default(),
            family_registry: Registry::default(),
            attempts: Arc::default(),
            quotas: Quotas::default(),
            used: UsedIds::default(),
            owed: Owed::default(),
            store: Store::Memory,
            max_sessions: usize::MAX,
            metrics: Arc::default(),
            started: Instant::now(),
        }
    }

    /// Takes what can be replaced while the process runs: the credentials of a shared store.
    pub fn renew(&self, settings: &Settings) {
        if let (Store::Redis(store, _), Settings::Redis(settings, _)) = (&self.store, settings) {
            store.renew(settings.access.load_full());
        }
    }

    /// What has been revoked.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// What a session id is worth, as far as this process can tell. `idle` is how many seconds it may go unused.
    pub fn session(&self, digest: &SessionDigest, now: u64, idle: u64, accounts: &AccountStamps) -> Found {
        let (found, touch) = self.sessions.find(digest, now, idle, self.trust(), &self.revocations, accounts);
        if touch && let Some((session, ..)) = self.sessions.copy(digest) {
            match &self.store {
                Store::Memory => {}
                Store::Embedded(store) => store.write_later(vec![codec::put_session(digest, &session)]),
                Store::Redis(store, _) => store.touch(*digest, session),
            }
        }
        found
    }

    /// What the store says of a session that this process cannot tell about. While the store is away, what it said a
    /// short while ago counts.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn fetch(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let Store::Redis(store, outage) = &self.store else { return self.find(digest).await };
        // What is heard from here on is about what the store will say.
        let trust = self.trust();
        let begun = Instant::now();
        let found = store.find(digest).await;
        self.note("find", begun.elapsed(), found.is_ok());
        match found {
            Ok(Some(session)) => {
                // What was used here and not told yet is later than what the store has.
                let seen = self.sessions.copy(digest).map_or(0, |(known, ..)| known.last_seen);
                let session = Session { last_seen: session.last_seen.max(seen), ..session };
                self.sessions.insert(*digest, session.clone(), trust, self.millis());
                Ok(Some(session))
            }
            Ok(None) => {
                self.sessions.remove(digest);
                Ok(None)
            }
            Err(Unavailable) => {
                let (session, vouched, listening) = self.sessions.copy(digest).ok_or(Unavailable)?;
                let asked = Duration::from_millis(self.millis().saturating_sub(vouched));
                // For as long as its end would have been heard of it was as good as asked about.
                let age = store.heard_ago(listening).map_or(asked, |heard| heard.min(asked));
                if age > outage.sessions {
                    return Err(Unavailable);
                }
                self.metrics.session_served_stale();
                Ok(Some(session))
            }
        }
    }

    /// Whether a session that the store told of is live.
    pub fn judge(
        &self,
        digest: &SessionDigest,
        session: Option<&Session>,
        now: u64,
        idle: u64,
        accounts: &AccountStamps,
    ) -> Found {
        match session {
            None => Found::Unknown,
            Some(session) if self.is_session_revoked(digest, session) => Found::Unknown,
            Some(session) if !accounts.admit(session.account) => Found::NoAccount,
            Some(session) if session.is_over(now, idle) => Found::Expired,
            Some(session) => {
                // It is used now: the copy notes that.
                self.session(digest, now, idle, accounts);
                Found::Live(session.customer.clone())
            }
        }
    }

    /// Whether the file is another process's for good.
    pub fn is_given(&self) -> bool {
        matches!(&self.store, Store::Embedded(store) if store.given_for().is_some())
    }

    /// Whether revocations may have been missed for longer than is allowed.
    pub fn is_stale(&self) -> bool {
        match &self.store {
            Store::Memory => false,
            Store::Embedded(store) => store.given_for().is_some_and(|time| time > AFTER_HANDOVER),
            Store::Redis(store, outage) => !store.has_synced() || store.staleness() > outage.revocations,
        }
    }

    /// Whether all revocations have been known at any time.
    pub fn has_been_heard(&self) -> bool {
        match &self.store {
            Store::Memory | Store::Embedded(_) => true,
            Store::Redis(store, _) => store.has_synced(),
        }
    }

    /// Waits until a shared store has been heard, but not longer than `longest`.
    pub async fn is_ready(&self, longest: Duration) {
        let until = Instant::now() + longest;
        while self.is_stale() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Keeps a new session; returns once the store has it. Of its customer's others the oldest end where there are too
    /// many.
    ///
    /// # Errors
    /// [`Unavailable`]: then nobody may be told of it.
    pub async fn begin(&self, digest: SessionDigest, session: Session, bound: Bound) -> Result<(), Unavailable> {
        self.has_room()?;
        let (customer, ends) = (session.customer.clone(), session.expires_at);
        self.begin_all(vec![(digest, session)]).await?;
        self.bound_sessions(&customer, &digest, bound, ends).await
    }

    /// Whether another session, or family of refresh tokens, may begin.
    fn has_room(&self) -> Result<(), Unavailable> {
        if self.sessions.len() + self.families.len() < self.max_sessions {
            return Ok(());
        }
        tracing::warn!(sessions = self.max_sessions, "no room for another login: raise `max_sessions`");
        self.metrics.failed("begin");
        Err(Unavailable)
    }

    /// Ends the oldest sessions of a customer where there are too many, each with its whole login.
    async fn bound_sessions(
        &self,
        customer: &Identifier,
        new: &SessionDigest,
        bound: Bound,
        ends: u64,
    ) -> Result<(), Unavailable> {
        if let Store::Redis(store, _) = &self.store {
            for digest in store.join(LoginKind::Session, customer, new, bound.most, ends).await? {
                match store.find(&digest).await? {
                    Some(session) => self.end_login(&digest, &session, bound.until).await?,
                    None => self.end(&digest, bound.until).await?,
                }
            }
            return Ok(());
        }
        for digest in self.session_registry.beyond(customer, bound.most) {
            let known = self.sessions.copy(&digest).map(|(session, ..)| session);
            if let Some(session) = known.filter(|session| session.customer == *customer) {
                self.end_login(&digest, &session, bound.until).await?;
            }
        }
        Ok(())
    }

    /// The same for many.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn begin_all(&self, sessions: Vec<(SessionDigest, Session)>) -> Result<(), Unavailable> {
        let trust = self.trust();
        let is_here = matches!(trust, Trust::Complete);
        // Nobody knows their ids yet. Where nobody ever will, the sweep finds them.
        let mut begun = Abandon::new(|| sessions.iter().for_each(|(digest, _)| self.sessions.abandon(digest)));
        if is_here {
            sessions.iter().for_each(|(digest, session)| self.sessions.insert(*digest, session.clone(), trust, 0));
        }
        let changes = || sessions.iter().map(|(digest, session)| codec::put_session(digest, session)).collect();
        self.keep("begin", UnlessLeft::Drop, changes, async |store| store.begin(&sessions).await).await?;
        begun.disarm();
        drop(begun);
        let now = self.millis();
        for (digest, session) in sessions {
            if is_here {
                self.session_registry.add(&session.customer, session.issued_at, digest);
            } else {
                self.sessions.insert(digest, session, trust, now);
            }
        }
        Ok(())
    }

    /// Ends a session, and nothing else of its login; returns once the store knows. The rule is for copies of it elsewhere.
    ///
    /// # Errors
    /// [`Unavailable`]: it is over here, and may not be elsewhere or after a restart.
    pub async fn end(&self, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        self.end_by(LoginId::of(digest), digest, until).await
    }

    /// Ends the login that a session is of, and with it the session, its JWTs and its refresh tokens; returns once the store
    /// knows. `until`: from then on nothing of it can be left.
    ///
    /// # Errors
    /// [`Unavailable`]: it is over here, and may not be elsewhere or after a restart.
    pub async fn end_login(&self, digest: &SessionDigest, session: &Session, until: u64) -> Result<(), Unavailable> {
        self.end_by(session.login, digest, until).await
    }

    async fn end_by(&self, id: LoginId, digest: &SessionDigest, until: u64) -> Result<(), Unavailable> {
        let known = self.sessions.copy(digest);
        let its_end = known.map_or(0, |(session, ..)| session.expires_at.saturating_add(LONGEST_SKEW));
        let until = its_end.max(until);
        let rule = Rule::forever(id.subject(), until);
        self.revocations.apply(rule.clone());
        // As it is in force: with its number, and not looser than before.
        let rule = self.revocations.rule(&rule.subject).unwrap_or(rule);
        let changes = || vec![codec::delete_session(digest), codec::put_rule(&rule)];
        let kept = self.keep("end", UnlessLeft::Write, changes, async |store| store.end(digest, &rule).await).await;
        kept.inspect_err(|_| self.owed.add(&rule.subject))?;
        // Not before: whoever was told that it failed tries again, and must find it.
        if let Some(session) = self.sessions.remove(digest) {
            self.session_registry.remove(&session.customer, session.issued_at, digest);
        }
        Ok(())
    }

    /// Puts rules in force; returns once the store has them. Here they are in force at once.
    ///
    /// # Errors
    /// [`Unavailable`]: they are in force here only, until the store has taken something again.
    pub async fn revoke(&self, rules: Vec<Rule>) -> Result<(), Unavailable> {
        for rule in &rules {
            self.revocations.apply(rule.clone());
        }
        // What has become stricter before must not become looser in the store.
        let stored: Vec<Rule> = rules.iter().filter_map(|rule| self.revocations.rule(&rule.subject)).collect();
        let changes = || stored.iter().map(codec::put_rule).collect();
        let kept = self.keep("revoke", UnlessLeft::Write, changes, async |store| store.revoke(&stored).await).await;
        kept.inspect_err(|_| stored.iter().for_each(|rule| self.owed.add(&rule.subject)))
    }

    /// The session of this digest, over or not.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn find(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        match &self.store {
            Store::Redis(store, _) => store.find(digest).await,
            Store::Memory | Store::Embedded(_) => Ok(self.sessions.copy(digest).map(|(session, ..)| session)),
        }
    }

    /// The same, or what is known here of one that the store has lost: it passes here until it is ended.
    ///
    /// # Errors
    /// [`Unavailable`]: nobody knows.
    pub async fn find_or_copy(&self, digest: &SessionDigest) -> Result<Option<Session>, Unavailable> {
        let found = self.find(digest).await?;
        Ok(found.or_else(|| self.sessions.copy(digest).map(|(session, ..)| session)))
    }

    /// Whose session this is or was, where this process knows.
    pub fn customer_of(&self, digest: &SessionDigest) -> Option<Identifier> {
        self.sessions.copy(digest).map(|(session, ..)| session.customer)
    }

    /// Whether a rule has ended a session.
    pub fn is_session_revoked(&self, digest: &SessionDigest, session: &Session) -> bool {
        session::is_revoked(&self.revocations, digest, session.login, &session.customer, session.issued())
    }

    /// Writes what has not been written yet, and closes the store.
    pub fn close(&self) {
        if let Store::Embedded(store) = &self.store {
            self.write_uses(store);
            store.close();
        }
    }

    /// Lets go of what only one process can have, with everything written. Until it is known whose it is, what is to be
    /// written waits.
    pub fn release(&self) -> Release<'_> {
        let Store::Embedded(store) = &self.store else { return Release(None) };
        self.write_uses(store);
        Release(store.release().map(|released| (store, released)))
    }

    /// For how long this process goes on deciding after another one has taken over; `None`: for as long as it runs.
    pub fn decides_after_handover(&self) -> Option<Duration> {
        matches!(self.store, Store::Embedded(_)).then_some(AFTER_HANDOVER)
    }

    /// Some records of this process's file, as lines of a backup, and where the next ones are: all of one moment. Without a
    /// place the first ones.
    ///
    /// # Errors
    /// In a sentence, why there are none.
    pub async fn records(&self, place: Option<&str>) -> Result<(Vec<String>, Option<String>), &'static str> {
        let Store::Embedded(store) = &self.store else {
            return Err("the state is not in a file of this gateway: back it up where it is");
        };
        let place = match place {
            None => {
                self.write_uses(store);
                None
            }
            Some(text) => {
                let place = text.split_once('-').and_then(|(snapshot, after)| {
                    let digits = (0..after.len() / 2).map(|at| after.get(2 * at..2 * at + 2));
                    let after = digits.map(|byte| u8::from_str_radix(byte?, 16).ok()).collect::<Option<_>>()?;
                    Some(Place { snapshot: snapshot.parse().ok()?, after })
                });
                Some(place.ok_or("there is no such place")?)
            }
        };
        let gone = "the state cannot be read any more, or another backup has begun, or another process has taken over: \
                    begin again";
        let page = store.read(place).await.ok_or(gone)?;
        let lines = page.records.iter().map(|(key, value)| archive::line(key, value)).collect::<Option<_>>();
        let next = page.next.map(|next| format!("{}-{}", next.snapshot, session::hex(&next.after)));
        Ok((lines.ok_or("a record of the state is no text")?, next))
    }

    fn write_uses(&self, store: &Embedded) {
        self.note_counts();
        self.note_answers();
        let used = self.sessions.unstored();
        store.write_later(used.iter().map(|(digest, session)| codec::put_session(digest, session)).collect());
    }

    /// The sessions that are live and `wanted`; of a shared store not more than 10,000, and only those among these.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn sessions(
        &self,
        now: u64,
        idle: u64,
        among: Among<'_>,
        wanted: impl Fn(&Session) -> bool,
    ) -> Result<Vec<(SessionDigest, Session)>, Unavailable> {
        let is_live = |digest: &SessionDigest, session: &Session| {
            !session.is_over(now, idle) && wanted(session) && !self.is_session_revoked(digest, session)
        };
        match &self.store {
            Store::Redis(store, _) => store.sessions(10_000, among, is_live).await,
            Store::Memory | Store::Embedded(_) => {
                let mut all = self.sessions.all();
                all.retain(|(digest, session)| is_live(digest, session));
                Ok(all)
            }
        }
    }

    /// How many sessions are known.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many writes wait.
    pub fn waiting(&self) -> usize {
        match &self.store {
            Store::Memory => 0,
            Store::Embedded(store) => store.waiting(),
            Store::Redis(..) => 0,
        }
    }

    /// Whether the last exchange with the store worked.
    pub fn is_up(&self) -> bool {
        match &self.store {
            Store::Memory => true,
            Store::Embedded(store) => store.works(),
            Store::Redis(store, _) => store.is_up(),
        }
    }

    /// For how long revocations may have been missed, and how long news take to other replicas.
    pub fn lag(&self) -> Option<(Duration, Duration)> {
        match &self.store {
            Store::Memory | Store::Embedded(_) => None,
            Store::Redis(store, _) => Some((store.staleness(), store.propagation())),
        }
    }

    fn trust(&self) -> Trust {
        match &self.store {
            Store::Memory | Store::Embedded(_) => Trust::Complete,
            Store::Redis(store, _) => store.listening().map_or(Trust::Deaf, Trust::Listening),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Has the store keep something: as changes of the file, or by what a shared one is asked to do.
    async fn keep(
        &self,
        operation: &'static str,
        unless_left: UnlessLeft,
        changes: impl FnOnce() -> Vec<Change>,
        shared: impl AsyncFnOnce(&Redis) -> Result<(), Unavailable>,
    ) -> Result<(), Unavailable> {
        let begun = Instant::now();
        let outcome = match &self.store {
            Store::Memory => Ok(()),
            Store::Embedded(store) => {
                let owed = self.owed.rules(&self.revocations);
                let mut changes = changes();
                changes.extend(owed.iter().map(codec::put_rule));
                if changes.iter().any(codec::is_rule) {
                    changes.push(codec::put_highest(self.revocations.seen()));
                }
                let written = store.write(changes, unless_left == UnlessLeft::Drop).await;
                written.inspect(|()| self.owed.settle(&owed))
            }
            // It gets all that it lacks once it is there.
            Store::Redis(store, _) => shared(store).await,
        };
        self.note(operation, begun.elapsed(), outcome.is_ok());
        outcome
    }

    fn note(&self, operation: &'static str, took: Duration, worked: bool) {
        self.metrics.took(operation, took);
        if !worked {
            self.metrics.failed(operation);
        }
    }
}
