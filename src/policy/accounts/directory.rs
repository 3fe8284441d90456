//! `login.accounts.ldap`, read: the company's directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::Semaphore;

use crate::config::{Config, Problems, raw};
use crate::log_throttle::LogThrottle;
use crate::policy::ca_certificates::Authorities;
use crate::secret::Secret;

/// What the name of the customer stands for.
pub const USERNAME: &str = "{username}";

/// The company's directory.
pub struct Directory {
    /// Its address, such as ldaps://ldap.example.com.
    pub url: String,
    /// TLS begins on the plain connection.
    pub start_tls: bool,
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// Who binds.
    pub binds: Binding,
    /// The attribute that names the customer.
    pub subject: String,
    /// Claims and their attributes.
    pub claims: Vec<(String, String)>,
    /// How long one login may take.
    pub timeout: Duration,
    /// Places for connections.
    pub connections: Semaphore,
    /// Throttles lines about its failures.
    pub failures: LogThrottle,
    /// Microseconds of the slowest refusals. It rises at once and falls slowly.
    slowest: AtomicU64,
}

/// Who binds first.
pub enum Binding {
    /// The customer, by a name with [`USERNAME`] in it.
    Customer(String),
    /// An account that searches the customer.
    Search {
        /// Its name.
        name: String,
        /// Its password.
        password: Secret,
        /// Where it searches.
        base: String,
        /// By what, with [`USERNAME`] in it.
        filter: String,
    },
}

impl Directory {
    /// How long a refusal takes, whoever is named, after one that took so long.
    pub fn refusal_time(&self, took: Duration) -> Duration {
        let took = u64::try_from(took.min(self.timeout).as_micros()).unwrap_or(u64::MAX);
        let slower = |before: u64| Some(took.max(before - before.saturating_sub(took) / 8));
        let before = self.slowest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, slower).unwrap_or_default();
        Duration::from_micros(took.max(before))
    }
}

/// Reads it; what is wrong goes to `problems`.
pub(super) fn read(
    config: &Config,
    ldap: &raw::Ldap,
    authorities: &Authorities<'_>,
    problems: &mut Problems,
) -> Option<Directory> {
    let mut problem = |key: &str, (message, help): (String, String)| {
        problems.push(config.problem(&format!("login.accounts.ldap.{key}"), message, help));
    };
    let authority = authorities.of(ldap.ca.as_deref()).map_err(|fault| problem("ca", fault)).ok();
    let binds = if ldap.bind_dn.contains(USERNAME) {
        Some(Binding::Customer(ldap.bind_dn.clone()))
    } else {
        let password = config.read_secret_line(ldap.bind_password.as_ref()?);
        let password = password.and_then(|password| match password.expose_str() {
            Some(_) => Ok(password),
            None => Err(("this password is not text".to_owned(), "write it in UTF-8".to_owned())),
        });
        let password = password.map_err(|fault| problem("bind_password", fault)).ok();
        let (base, filter) = (ldap.base.clone()?, ldap.filter.clone()?);
        password.map(|password| Binding::Search { name: ldap.bind_dn.clone(), password, base, filter })
    };
    Some(Directory {
        url: ldap.url.clone(),
        start_tls: ldap.start_tls,
        tls: authority?.client,
        binds: binds?,
        subject: ldap.subject.clone(),
        claims: ldap.claims.clone().into_iter().collect(),
        timeout: ldap.timeout.get(),
        connections: Semaphore::new(ldap.connections),
        failures: LogThrottle::default(),
        slowest: AtomicU64::default(),
    })
}
