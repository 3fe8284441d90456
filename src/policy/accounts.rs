//! Accounts for logins: a file, or the company's own login.

mod htpasswd;
mod ldap;
mod login_backend;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::ca_certificates::Authorities;
use crate::auth::credentials::password::{self, Decoy, PasswordHash};
use crate::auth::jwt::ACCOUNT;
use crate::backend::Backend;
use crate::config::{Config, Problem, Problems, raw};
use crate::customer::{Deriver, Identifier};
use crate::directory::Directory;
use crate::normalization::{composed, folded_name};
use crate::state::account_stamp::{AccountStamp, AccountStamps};

pub use login_backend::LoginBackend;

/// Source of accounts.
pub enum Accounts {
    /// Accounts of a file.
    File(Box<AccountFile>),
    /// The company's own login.
    Backend(LoginBackend),
    /// The company's directory.
    Directory(Arc<Directory>),
    /// Those of the company's provider: no password is shown here.
    Provider,
}

impl Accounts {
    /// Returns whether all spellings of a name are one account; unknown for the company's own login.
    pub fn folds(&self) -> bool {
        match self {
            Self::File(accounts) => accounts.folds,
            Self::Backend(_) | Self::Directory(_) | Self::Provider => false,
        }
    }

    /// The accounts in force; nobody knows those of the company's own login.
    pub fn stamps(&self) -> AccountStamps {
        match self {
            Self::File(accounts) => AccountStamps::new(accounts.by_stamp.keys().copied()),
            Self::Backend(_) | Self::Directory(_) | Self::Provider => AccountStamps::default(),
        }
    }
}

/// A hash and its place, such as `/etc/wicketgate/accounts.yaml, entry 3`.
#[derive(Debug)]
pub(super) struct PlacedHash {
    pub(super) place: String,
    pub(super) hash: PasswordHash,
}

/// The accounts of the file.
#[derive(Debug)]
pub struct AccountFile {
    by_name: HashMap<String, Arc<Account>>,
    /// Names are case-folded.
    folds: bool,
    by_stamp: HashMap<AccountStamp, Arc<Account>>,
    /// The only account of a customer; `None` where there are several.
    by_customer: HashMap<Identifier, Option<Arc<Account>>>,
    /// For names that are not there.
    decoy: Arc<Decoy>,
    /// Each hash, in the order of the file.
    pub(super) hashes: Vec<PlacedHash>,
}

impl AccountFile {
    fn new(by_name: HashMap<String, Arc<Account>>, folds: bool, hashes: Vec<PlacedHash>) -> Self {
        let mut by_customer = HashMap::new();
        for account in by_name.values() {
            let only = by_customer.entry(account.customer.clone());
            only.and_modify(|only| *only = None).or_insert_with(|| Some(Arc::clone(account)));
        }
        let by_stamp = by_name.values().map(|account| (account.stamp, Arc::clone(account))).collect();
        let decoy = Arc::new(Decoy::of(by_name.values().map(|account| [&account.password])));
        Self { by_customer, by_stamp, by_name, folds, decoy, hashes }
    }

    /// The account of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Account>> {
        let found = match self.folds {
            true => self.by_name.get(&folded_name(name)),
            // Some keyboards take letters apart that the file has composed.
            false => self.by_name.get(name).or_else(|| self.by_name.get(&*composed(name))),
        };
        found.cloned()
    }

    /// The account that a login is of. One that does not say which is of the only account of its customer, where there is
    /// one.
    pub fn of_login(&self, account: Option<AccountStamp>, customer: &Identifier) -> Option<&Arc<Account>> {
        match account {
            Some(account) => self.by_stamp.get(&account),
            None => self.by_customer.get(customer)?.as_ref(),
        }
    }

    /// All names, each with its customer.
    pub fn customers(&self) -> impl Iterator<Item = (&str, &Identifier)> {
        self.by_name.iter().map(|(name, account)| (name.as_str(), &account.customer))
    }

    /// The decoy hash for unknown names, with the cost of a refusal.
    pub fn decoy(&self) -> &Arc<Decoy> {
        &self.decoy
    }
}

/// An account of the file.
#[derive(Debug)]
pub struct Account {
    /// The hash of its password.
    pub password: PasswordHash,
    /// The customer.
    pub customer: Identifier,
    /// Additional claims of its JWT, its stamp among them.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// The stamp that ties its logins to it.
    pub stamp: AccountStamp,
}

/// One entry of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAccount {
    username: String,
    password: String,
    subject: String,
    #[serde(default)]
    claims: BTreeMap<String, serde_json::Value>,
}

/// Reads the accounts; what is wrong goes to `problems`.
pub(super) struct AccountsReader<'a> {
    pub(super) config: &'a Config,
    pub(super) login: &'a raw::Login,
    /// The tenant of our own accounts; empty where neither `identifier.tenant` nor `issuer` is configured.
    pub(super) tenant: &'a str,
    pub(super) deriver: Option<&'a Deriver>,
    pub(super) authorities: &'a Authorities<'a>,
}

/// An account by the name that it is found by.
type NamedAccount = (String, Arc<Account>);

impl AccountsReader<'_> {
    pub(super) fn read(
        &self,
        backends: Option<&HashMap<String, Arc<Backend>>>,
        problems: &mut Problems,
    ) -> Option<Accounts> {
        let Some(written) = &self.login.accounts else {
            return self.login.provider.as_ref().map(|_| Accounts::Provider);
        };
        if let Some(ldap) = &written.ldap {
            let directory = ldap::read(self.config, ldap, self.authorities, problems);
            return directory.map(|directory| Accounts::Directory(Arc::new(directory)));
        }
        if let Some(name) = &written.backend {
            let backend = backends.and_then(|backends| backends.get(name));
            return login_backend::read(self.config, written, backend, problems).map(Accounts::Backend);
        }
        if self.tenant.is_empty() {
            // There is neither `identifier.tenant` nor `issuer`, which has been told.
            return None;
        }
        let file = written.file.as_deref()?;
        let entries = match self.entries(file) {
            Ok(entries) => entries,
            Err((message, help)) => {
                problems.push(self.problem(message, help));
                return None;
            }
        };
        self.accounts(entries, problems).map(|accounts| Accounts::File(Box::new(accounts)))
    }

    fn folds(&self) -> bool {
        self.login.accounts.as_ref().is_some_and(|written| written.fold)
    }

    fn problem(&self, message: String, help: String) -> Problem {
        self.config.problem("login.accounts.file", message, help)
    }

    fn shown(&self, file: &Path) -> String {
        self.config.resolve(file).display().to_string()
    }

    /// The entries of the file with their places, or what is wrong with it and the help.
    fn entries(&self, file: &Path) -> Result<Vec<(String, RawAccount)>, (String, String)> {
        let shown = self.shown(file);
        let text = String::from_utf8(self.config.read_file(file)?)
            .map_err(|_| (format!("{shown} is not UTF-8"), "save it as UTF-8".to_owned()))?;
        if let Some(lines) = htpasswd::lines(&text) {
            let account = |(number, line): (usize, htpasswd::Line<'_>)| {
                let (username, password) = (line.name.to_owned(), line.hash.to_owned());
                let subject = username.clone();
                (format!("{shown}:{number}"), RawAccount { username, password, subject, claims: BTreeMap::new() })
            };
            return Ok(lines.map(account).collect());
        }
        let listed = |entries: Vec<RawAccount>| {
            entries.into_iter().zip(1..).map(|(entry, number)| (format!("{shown}, entry {number}"), entry)).collect()
        };
        match serde_saphyr::from_str(&text) {
            Ok(Some(entries)) => Ok(listed(entries)),
            // As of a file that somebody is about to fill: nobody means to lock all customers out by it.
            Ok(None) => Err((
                format!("{shown} has no accounts"),
                "add {username, password, subject}, with the hash of `wicketgate hash-password`, or write [] to let nobody \
                 log in"
                    .to_owned(),
            )),
            Err(fault) => {
                let place = fault.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
                Err((
                    format!("{shown}{place} is not a list of accounts"),
                    "each entry is {username, password: \"$argon2id$...\", subject}, or each line is name:hash as in \
                     htpasswd files; hash with `wicketgate hash-password`"
                        .to_owned(),
                ))
            }
        }
    }

    fn accounts(&self, entries: Vec<(String, RawAccount)>, problems: &mut Problems) -> Option<AccountFile> {
        let deriver = self.deriver?;
        let count = problems.len();
        let mut hashes = Vec::new();
        let (mut by_name, mut written) = (HashMap::new(), HashMap::new());
        for (place, entry) in entries {
            let mut problem = |message: String, help: &str| {
                problems.push(self.problem(format!("{place}: {message}"), help.to_owned()));
            };
            let username = entry.username.clone();
            let (name, account) = match self.account(entry, deriver) {
                Ok(account) => account,
                Err((fault, help)) => {
                    problem(fault, help);
                    continue;
                }
            };
            let hash = account.password.clone();
            match written.insert(name.clone(), username.clone()) {
                Some(other) if other != username => {
                    let message = format!("`{username}` is found as `{other}` is: `fold` makes one name of both");
                    problem(message, "remove one of the two, or `login.accounts.fold`");
                }
                Some(_) => problem("this username stands in the file twice".to_owned(), "remove one of the two"),
                None => {}
            }
            by_name.insert(name, account);
            hashes.push(PlacedHash { place, hash });
        }
        let file = AccountFile::new(by_name, self.folds(), hashes);
        (problems.len() == count).then_some(file)
    }

    /// The account of an entry, or what is wrong with it and the help.
    fn account(&self, entry: RawAccount, deriver: &Deriver) -> Result<NamedAccount, (String, &'static str)> {
        let password = password::parse(&entry.password)
            .map_err(|fault| (fault, "make the hash with `wicketgate hash-password`"))?;
        let customer = deriver
            .derive(self.tenant, &entry.subject)
            .map_err(|fault| (fault.to_string(), "give the company's own key of this customer"))?;
        let stamp = AccountStamp::of(&entry.username, &entry.subject, password.text());
        let claims = entry.claims.into_iter().filter(|(name, _)| self.login.claims.contains(name));
        let claims = claims.chain([(ACCOUNT.to_owned(), stamp.to_string().into())]).collect();
        let name = if self.folds() { folded_name(&entry.username) } else { entry.username };
        Ok((name, Arc::new(Account { password, customer, claims, stamp })))
    }
}
