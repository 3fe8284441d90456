//! `login`, read: accounts, lockout, refresh tokens, and the pages that may use its cookie.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::accounts::{Accounts, AccountsReader};
use super::ca_certificates::Authorities;
use super::cors::Cors;
use super::identifiers::tenant;
use super::lockout::costs;
use super::login_page::LoginPage;
use super::login_provider::{self, LoginProvider};
use crate::backend::Backend;
use crate::config::raw::{self, Issue, NumberStyle};
use crate::config::{Config, Problems};
use crate::customer::Deriver;
use crate::state::login_lockout::Costs;

/// The login endpoint.
pub struct Login {
    /// The accounts.
    pub accounts: Accounts,
    /// The provider at which customers log in instead.
    pub provider: Option<Box<LoginProvider>>,
    /// Credentials that a login gives.
    pub issue: Issue,
    /// Lifetime of a login, in seconds.
    pub lifetime: u64,
    /// JSON type of numbers in responses.
    pub number_style: NumberStyle,
    /// Takes JSON beside a form.
    pub json: bool,
    /// The issuer that identifiers of our own accounts are derived with.
    pub tenant: String,
    /// The SameSite word of the cookie.
    pub same_site: &'static str,
    /// Rate limit of failed verifications of one name, from all addresses together.
    pub limit: raw::RateLimit,
    /// Delays after wrong passwords.
    pub attempts: Costs,
    /// Limit of sessions, and of refresh token families, of one customer.
    pub max_per_customer: usize,
    /// Refresh tokens, where they are given.
    pub refresh: Option<Refresh>,
    /// CORS rules of login and logout.
    pub cors: Option<Arc<Cors>>,
    /// The login page.
    pub page: LoginPage,
}

/// Refresh tokens of a login.
#[derive(Debug, Clone, Copy)]
pub struct Refresh {
    /// Lifetime, in seconds after the login.
    pub lifetime: u64,
    /// Time after the use of a refresh token in which it gives the same next one again.
    pub grace: Duration,
}

/// Origins that may use the session cookie.
#[derive(Debug, Default)]
pub struct OwnSite {
    /// Origins beside that of the call itself.
    pub origins: Vec<String>,
    /// A header that a strange page cannot send.
    pub header: Option<HeaderName>,
}

impl OwnSite {
    pub(super) fn read(cookie: &raw::Cookie) -> Self {
        let header = cookie.csrf_header.as_ref().and_then(|header| HeaderName::from_bytes(header.as_bytes()).ok());
        Self { origins: cookie.origins.clone(), header }
    }
}

/// Reads the login; what is wrong goes to `problems`.
pub(super) fn read(
    config: &Config,
    login: &raw::Login,
    authorities: &Authorities<'_>,
    deriver: Option<&Deriver>,
    backends: Option<&HashMap<String, Arc<Backend>>>,
    problems: &mut Problems,
) -> Option<Login> {
    let tenant = tenant(config.raw());
    let accounts = AccountsReader { config, login, tenant: &tenant, deriver, authorities }.read(backends, problems)?;
    let provider = match &login.provider {
        Some(provider) => Some(Box::new(login_provider::read(config, authorities, provider, problems)?)),
        None => None,
    };
    let page = LoginPage::read(config, &login.page, problems)?;
    let same_site = match login.cookie.as_ref().map(|cookie| cookie.same_site).unwrap_or_default() {
        raw::SameSite::Lax => "Lax",
        raw::SameSite::Strict => "Strict",
        raw::SameSite::None => "None",
    };
    Some(Login {
        accounts,
        provider,
        issue: login.issue,
        lifetime: login.lifetime.as_secs(),
        number_style: login.number_style,
        json: login.json,
        tenant,
        same_site,
        limit: login.limits,
        attempts: costs(&login.attempts),
        max_per_customer: login.max_per_customer,
        page,
        refresh: login
            .refresh
            .as_ref()
            .map(|refresh| Refresh { lifetime: refresh.lifetime.as_secs(), grace: refresh.grace.get() }),
        cors: login.cors.as_ref().map(|cors| Arc::new(Cors::read(cors, &[Method::POST]))),
    })
}
