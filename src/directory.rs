//! A directory that verifies passwords by LDAP: a simple bind (RFC 4513 section 5.1) says whether one is right. Each login
//! has a connection of its own, which ends with it.

mod conversation;
mod entry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::hex::hex;
use crate::log_throttle::LogThrottle;
use crate::secret::{Secret, random_bytes};

use conversation::Conversation;

/// What the username stands for in a distinguished name or a filter.
pub const USERNAME: &str = "{username}";
/// Most bytes of all claims of an entry together, as JSON: each request of the customer carries them.
const MAX_CLAIMS: usize = 2 * 1024;

/// A directory.
pub struct Directory {
    /// Its address, such as ldaps://ldap.example.com.
    pub url: String,
    /// TLS begins on the plain connection.
    pub start_tls: bool,
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// Who binds.
    pub binding: BindAs,
    /// The attribute that names the customer.
    pub subject: String,
    /// Claims and their attributes.
    pub claims: Vec<(String, String)>,
    /// How long one login may take.
    pub timeout: Duration,
    /// What has been seen of it.
    pub seen: Seen,
}

/// Who binds first.
pub enum BindAs {
    /// The customer, by a name with [`USERNAME`] in it.
    Customer(String),
    /// An account that searches the customer.
    Search {
        /// Its name.
        name: String,
        /// Its password, in UTF-8.
        password: Secret,
        /// Where it searches.
        base: String,
        /// By what, with [`USERNAME`] in it.
        filter: String,
    },
}

/// What has been seen of a directory.
#[derive(Debug)]
pub struct Seen {
    /// Throttles lines about its failures.
    pub failures: LogThrottle,
    /// Microseconds of the slowest refusals. It rises at once and falls slowly.
    slowest: AtomicU64,
    /// Milliseconds from `since` to the last verdict.
    answered: AtomicU64,
    since: Instant,
}

/// A customer whose password is right.
#[derive(Debug)]
pub struct DirectoryCustomer {
    /// The value of [`Directory::subject`].
    pub subject: String,
    /// Claims that are there.
    pub claims: BTreeMap<String, Value>,
}

/// Why a password is not right.
#[derive(Debug)]
pub enum Denial {
    /// The directory has no entry for this username.
    Unknown,
    /// The password is wrong, or the account locked or expired.
    Wrong,
    /// The directory did not say, and why.
    Outage(String),
}

impl Directory {
    /// The customer, if the password is right. A denial takes as long whoever is named.
    ///
    /// # Errors
    /// Only a clear no is a no; anything else is an outage.
    pub async fn verify(self: &Arc<Self>, username: &str, password: &str) -> Result<DirectoryCustomer, Denial> {
        // A bind without a password is nobody's, and succeeds (RFC 4513 section 5.1.2).
        if password.is_empty() || username.trim().is_empty() {
            return Err(Denial::Wrong);
        }
        let begun = Instant::now();
        let directory = Arc::clone(self);
        let (username, password) = (username.to_owned(), Zeroizing::new(password.to_owned()));
        let outcome = self.in_time(async move { directory.ask(&username, &password).await }).await;
        if !matches!(outcome, Err(Denial::Outage(_))) {
            self.seen.answered.fetch_max(self.seen.millis(Instant::now()), Ordering::Relaxed);
        }
        if matches!(outcome, Err(Denial::Unknown | Denial::Wrong)) {
            let end = begun + self.seen.refusal_time(begun.elapsed().min(self.timeout));
            tokio::time::sleep_until(end.into()).await;
        }
        outcome
    }

    /// Tries whether logins are possible.
    ///
    /// # Errors
    /// Why not.
    pub async fn try_connect(self: &Arc<Self>) -> Result<(), String> {
        let directory = Arc::clone(self);
        let asked = async move {
            let nobody = hex(&random_bytes::<16>());
            directory.ask(&nobody, &nobody).await.map(drop)
        };
        match self.in_time(asked).await {
            Err(Denial::Outage(reason)) => Err(reason),
            _ => Ok(()),
        }
    }

    /// True if there was no verdict since `time`.
    pub fn is_silent_since(&self, time: Instant) -> bool {
        self.seen.answered.load(Ordering::Relaxed) < self.seen.millis(time)
    }

    /// Runs in a task of its own, so that an answer that the reader of LDAP cannot read ends nothing else.
    async fn in_time<T: Send + 'static>(
        &self,
        asked: impl Future<Output = Result<T, Denial>> + Send + 'static,
    ) -> Result<T, Denial> {
        let mut task = JoinSet::new();
        task.spawn(asked);
        match tokio::time::timeout(self.timeout, task.join_next()).await {
            Ok(Some(Ok(outcome))) => outcome,
            Ok(_) => Err(Denial::Outage("its answer cannot be read".to_owned())),
            Err(_) => Err(Denial::Outage("timed out (login.accounts.ldap.timeout)".to_owned())),
        }
    }

    async fn ask(&self, username: &str, password: &str) -> Result<DirectoryCustomer, Denial> {
        let (connection, mut conversation) = Conversation::open(self).await?;
        // Where it ends, an answer that has come is still read, and one that has not is an error there.
        let driven = async {
            drop(connection.drive().await);
            std::future::pending::<Denial>().await
        };
        let entry = tokio::select! {
            entry = self.bound_entry(&mut conversation, username, password) => entry?,
            never = driven => return Err(never),
        };
        entry::customer(self, &entry).map_err(Denial::Outage)
    }

    /// The entry of the customer, who is bound.
    async fn bound_entry(
        &self,
        conversation: &mut Conversation,
        username: &str,
        password: &str,
    ) -> Result<ldap3::SearchEntry, Denial> {
        let wanted: Vec<&str> =
            [&self.subject].into_iter().chain(self.claims.iter().map(|(_, name)| name)).map(String::as_str).collect();
        let entry = match &self.binding {
            BindAs::Customer(name) => {
                let name = name.replace(USERNAME, &ldap3::dn_escape(username));
                conversation.bind(&name, password).await?;
                let own = conversation.entry(&name, &wanted).await?;
                own.ok_or_else(|| Denial::Outage("a customer may not read the own entry".to_owned()))?
            }
            BindAs::Search { name, password: secret, base, filter } => {
                conversation.bind_to_search(name, secret.expose_str().unwrap_or_default()).await?;
                let filter = filter.replace(USERNAME, &ldap3::ldap_escape(username));
                let Some(entry) = conversation.search(base, &filter, &wanted).await? else {
                    // As much work as with a name that it knows.
                    let nobody = format!("cn={},{base}", hex(&random_bytes::<16>()));
                    return Err(match conversation.bind(&nobody, password).await {
                        Err(Denial::Outage(reason)) => Denial::Outage(reason),
                        _ => Denial::Unknown,
                    });
                };
                conversation.bind(&entry.dn, password).await?;
                entry
            }
        };
        conversation.end().await;
        Ok(entry)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            failures: LogThrottle::default(),
            slowest: AtomicU64::default(),
            answered: AtomicU64::default(),
            since: Instant::now(),
        }
    }
}

impl Seen {
    /// How long a refusal takes, whoever is named, after one that took so long.
    fn refusal_time(&self, took: Duration) -> Duration {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let slower = |before: u64| Some(took.max(before - before.saturating_sub(took) / 8));
        let before = self.slowest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower).unwrap_or_default();
        Duration::from_micros(took.max(before))
    }

    fn millis(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

/// True for a filter (RFC 4515).
pub fn is_filter(text: &str) -> bool {
    ldap3::parse_filter(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_takes_as_long_as_the_slowest_of_late() {
        let seen = Seen::default();
        let millis = |millis| seen.refusal_time(Duration::from_millis(millis)).as_millis();
        assert_eq!((millis(80), millis(10), millis(200)), (80, 80, 200));
        let later = (0..40).fold(200, |_, _| millis(10));
        assert!(later < 15, "{later}");
    }

    #[test]
    fn a_username_stays_one_value_of_a_filter_and_of_a_distinguished_name() {
        for name in ["*", "*)(uid=*", "a)(|(uid=*", "x\\2a", "a\0b"] {
            let escaped = ldap3::ldap_escape(name);
            assert!(!escaped.contains(['*', '(', ')', '\0']), "{escaped}");
            assert!(is_filter(&format!("(uid={escaped})")));
        }
        for (name, escaped) in
            [("a,ou=admins", "a\\2cou\\3dadmins"), ("a+cn=b", "a\\2bcn\\3db"), (" a ", "\\20a\\20"), ("#a", "\\23a")]
        {
            assert_eq!(ldap3::dn_escape(name), escaped);
        }
    }
}
