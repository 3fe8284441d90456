//! Who may log in: a file of accounts, or the company's own login.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::auth::credentials::password::{self, Decoy, PasswordHash};
use crate::auth::jwt::ACCOUNT;
use crate::backend::Backend;
use crate::config::{Config, Problems, raw};
use crate::customer::{Deriver, Identifier};
use crate::json_body::Pointer;
use crate::normalization::{composed, folded_name};
use crate::state::account_stamp::{AccountStamp, AccountStamps};

/// Who may log in.
pub enum Accounts {
    /// Those in the file.
    File(Box<AccountFile>),
    /// Those whom the company's own login lets in.
    Backend(LoginBackend),
}

impl Accounts {
    /// Whether all spellings of a name are one account; what a login of the company's own does, nobody knows.
    pub fn folds(&self) -> bool {
        match self {
            Self::File(accounts) => accounts.folds,
            Self::Backend(_) => false,
        }
    }

    /// The accounts in force; nobody knows those of the company's own login.
    pub fn stamps(&self) -> AccountStamps {
        match self {
            Self::File(accounts) => AccountStamps::new(accounts.by_stamp.keys().copied()),
            Self::Backend(_) => AccountStamps::default(),
        }
    }
}

/// The accounts of the file.
#[derive(Debug)]
pub struct AccountFile {
    by_name: HashMap<String, Arc<Account>>,
    /// Whether names are folded.
    folds: bool,
    by_stamp: HashMap<AccountStamp, Arc<Account>>,
    /// The only account of a customer; `None` where there are several.
    by_customer: HashMap<Identifier, Option<Arc<Account>>>,
    /// For names that are not there.
    decoy: Decoy,
    /// What each hash costs, in the order of the file.
    pub(super) costs: Vec<u64>,
}

impl AccountFile {
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

    /// What to verify a password against where there is no account, and what every refusal costs.
    pub fn decoy(&self) -> &Decoy {
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
    /// What its JWT also says; its stamp is there too.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// What its logins are known by.
    pub stamp: AccountStamp,
}

/// The company's own login.
#[derive(Debug)]
pub struct LoginBackend {
    /// Who is asked.
    pub backend: Arc<Backend>,
    /// At which path.
    pub path: String,
    /// Where the answer names the customer.
    pub subject: Pointer,
    /// The statuses that say no.
    pub denials: Vec<u16>,
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

/// Reads who may log in; what is wrong goes to `problems`.
pub(super) fn read(
    config: &Config,
    login: &raw::Login,
    tenant: &str,
    deriver: Option<&Deriver>,
    backends: Option<&HashMap<String, Arc<Backend>>>,
    problems: &mut Problems,
) -> Option<Accounts> {
    let raw = &login.accounts;
    if let Some(name) = &raw.backend {
        let path = raw.path.clone()?;
        let subject = match Pointer::parse(raw.subject.as_deref()?) {
            Ok(subject) => subject,
            Err(fault) => {
                problems.push(config.problem("login.accounts.subject", fault, "write it like /customer/id"));
                return None;
            }
        };
        let backend = Arc::clone(backends?.get(name)?);
        let denials = raw.no.clone().unwrap_or_default().status;
        return Some(Accounts::Backend(LoginBackend { backend, path, subject, denials }));
    }
    if tenant.is_empty() {
        // There is neither `identifier.tenant` nor `issuer`, which has been told.
        return None;
    }
    let file = raw.file.as_deref()?;
    let at = "login.accounts.file";
    let text = match config.read_file(file).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.push(config.problem(
                at,
                format!("{} is not UTF-8", config.resolve(file).display()),
                "save it as UTF-8",
            ));
            return None;
        }
        Err((message, help)) => {
            problems.push(config.problem(at, message, help));
            return None;
        }
    };
    let shown = config.resolve(file).display().to_string();
    let entries: Vec<RawAccount> = match serde_saphyr::from_str(&text) {
        Ok(Some(entries)) => entries,
        // As of a file that somebody is about to fill: nobody means to lock all customers out by it.
        Ok(None) => {
            let message = format!("{shown} has no accounts");
            let help = "add {username, password, subject}, with the hash of `wicketgate hash-password`, or write [] to let nobody log in";
            problems.push(config.problem(at, message, help));
            return None;
        }
        Err(fault) => {
            let place = fault.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
            let message = format!("{shown}{place} is not a list of accounts");
            problems.push(config.problem(
                at,
                message,
                "each entry is {username, password: \"$argon2id$...\", subject}; hash with `wicketgate hash-password`",
            ));
            return None;
        }
    };
    read_entries(config, entries, &shown, login, tenant, deriver?, problems)
}

fn read_entries(
    config: &Config,
    entries: Vec<RawAccount>,
    file: &str,
    login: &raw::Login,
    tenant: &str,
    deriver: &Deriver,
    problems: &mut Problems,
) -> Option<Accounts> {
    let count = problems.len();
    let folds = login.accounts.fold;
    let mut costs = Vec::new();
    let (mut accounts, mut written) = (HashMap::new(), HashMap::new());
    for (number, entry) in entries.into_iter().enumerate() {
        let mut problem = |message: String, help: &str| {
            let message = format!("{file}, entry {}: {message}", number + 1);
            problems.push(config.problem("login.accounts.file", message, help));
        };
        let password = match password::parse(&entry.password) {
            Ok(password) => password,
            Err(fault) => {
                problem(fault, "make the hash with `wicketgate hash-password`");
                continue;
            }
        };
        let customer = match deriver.derive(tenant, &entry.subject) {
            Ok(customer) => customer,
            Err(fault) => {
                problem(fault.to_string(), "give the company's own key of this customer");
                continue;
            }
        };
        costs.push(password.cost());
        let stamp = AccountStamp::of(&entry.username, &entry.subject, &password.text());
        let claims = entry.claims.into_iter().filter(|(name, _)| login.claims.contains(name));
        let claims = claims.chain([(ACCOUNT.to_owned(), stamp.to_string().into())]).collect();
        let name = if folds { folded_name(&entry.username) } else { entry.username.clone() };
        match written.insert(name.clone(), entry.username.clone()) {
            Some(other) if other != entry.username => {
                let message = format!("`{}` is found as `{other}` is: `fold` makes one name of both", entry.username);
                problem(message, "remove one of the two, or `login.accounts.fold`");
            }
            Some(_) => problem("this username stands in the file twice".to_owned(), "remove one of the two"),
            None => {}
        }
        accounts.insert(name, Arc::new(Account { password, customer, claims, stamp }));
    }
    let mut by_customer = HashMap::new();
    for account in accounts.values() {
        let only = by_customer.entry(account.customer.clone());
        only.and_modify(|only| *only = None).or_insert_with(|| Some(Arc::clone(account)));
    }
    let by_stamp = accounts.values().map(|account| (account.stamp, Arc::clone(account))).collect();
    let decoy = Decoy::of(accounts.values().map(|account| [&account.password]));
    (problems.len() == count).then_some(Accounts::File(Box::new(AccountFile {
        by_customer,
        by_stamp,
        by_name: accounts,
        folds,
        decoy,
        costs,
    })))
}
