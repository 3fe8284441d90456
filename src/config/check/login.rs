//! Checks of `login`: accounts, lockout, refresh tokens, the session cookie.

use super::super::raw::{Accounts, Attempts, Cookie, Issue, Login, LoginDenialBody, Refresh};
use super::super::scalar::Duration;
use super::{Check, grammar};

/// Claims that the gateway writes itself.
const OWN_CLAIMS: [&str; 18] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "refresh_family",
    "client_id",
    "scope",
    "act",
    "may_act",
    "cnf",
    "wg_account",
    "wg_ends_with",
    "wg_given_for",
    "wg_rules",
];

impl Check<'_> {
    pub(super) fn login(&mut self, login: &Login) {
        self.path("login.path", &login.path);
        self.some_time("login.lifetime", login.lifetime);
        self.at_most_400_days("login.lifetime", login.lifetime);
        self.rate_limit("login.limits", &login.limits);
        self.attempts("login.attempts", &login.attempts);
        if !(1..=1_000).contains(&login.max_per_customer) {
            let message = "the number of logins of one customer is from 1 to 1000";
            self.add("login.max_per_customer", message, "remove `max_per_customer`: the default is 20");
        }
        if let Some(refresh) = &login.refresh {
            self.refresh(login, refresh);
        }
        self.not_blank("login.page.title", &login.page.title);
        match (&login.accounts, &login.provider) {
            (Some(accounts), None) => self.accounts(accounts, &login.claims),
            (None, Some(provider)) => self.login_provider(provider, &login.claims),
            (Some(_), Some(_)) => {
                let message = "`accounts` and `provider` stand side by side, and a customer logs in at one of them";
                self.add("login.provider", message, "keep one of them");
            }
            (None, None) => self.add("login", "nothing says who may log in", "add `accounts`, or `provider`"),
        }
        if self.raw.identifier.is_none() {
            self.add(
                "login",
                "a login names a customer by an identifier, and there is no `identifier`",
                "add `identifier`",
            );
        }
        let tenant = self.raw.identifier.as_ref().and_then(|identifier| identifier.tenant.as_ref());
        if self.raw.issuer.is_none() && self.raw.identifier.is_some() && tenant.is_none() {
            self.add(
                "identifier",
                "the customers of `login` are told apart within `tenant` or `issuer.url`, and there is neither",
                "add `tenant`: any name that will never change",
            );
        }
        if login.issue != Issue::Cookie && self.raw.issuer.is_none() {
            self.add(
                "login",
                "this login gives a signed JWT, and there is no `issuer`",
                "add `issuer`, or write issue: cookie",
            );
        }
        if login.issue != Issue::Jwt && login.cookie.is_none() {
            self.add(
                "login.issue",
                "this login gives a cookie, and `login.cookie` is missing",
                "add `cookie` with its `keys`",
            );
        }
        if let Some(cookie) = &login.cookie {
            self.cookie(cookie);
        }
        for (index, claim) in login.claims.iter().enumerate() {
            self.further_claim(&format!("login.claims[{index}]"), claim);
        }
        for (index, claim) in login.forward_claims.iter().enumerate() {
            let at = format!("login.forward_claims[{index}]");
            let claims: Vec<&str> = login.claims.iter().map(String::as_str).collect();
            self.known(&at, "claim in `login.claims`", claim, &claims);
            if login.issue == Issue::Cookie {
                self.add(&at, "a session cookie has no claims", "write issue: jwt or both, or remove `forward_claims`");
            }
        }
        let claims = login.claims.iter().enumerate();
        self.unique("the claim", claims.map(|(index, claim)| (format!("login.claims[{index}]"), claim.as_str())));
    }

    /// A claim that somebody else than the gateway chooses.
    pub(super) fn further_claim(&mut self, at: &str, claim: &str) {
        if grammar::is_personal(claim) {
            self.add(
                at,
                "an identity claim that would carry personal data",
                "remove it: backends get the opaque identifier",
            );
        } else if OWN_CLAIMS.contains(&claim) {
            self.add(at, "the gateway writes this claim itself", "remove it");
        } else {
            self.not_blank(at, claim);
        }
    }

    fn accounts(&mut self, accounts: &Accounts, claims: &[String]) {
        let at = "login.accounts";
        let known: Vec<&str> = claims.iter().map(String::as_str).collect();
        if let Some(ldap) = &accounts.ldap {
            self.beside_ldap(accounts);
            return self.ldap(ldap, &known);
        }
        match (&accounts.file, &accounts.backend) {
            (Some(_), Some(_)) => self.add(at, "`file` and `backend` stand side by side", "keep one of them"),
            (None, None) => self.add(
                at,
                "nothing says who may log in",
                "add `file`, `ldap`, or `backend` with `path` and `subject`",
            ),
            (Some(_), None) => {
                for (key, is_written) in [
                    ("path", accounts.path.is_some()),
                    ("subject", accounts.subject.is_some()),
                    ("fields", accounts.fields.is_some()),
                    ("encoding", accounts.encoding.is_some()),
                    ("claims", !accounts.claims.is_empty()),
                    ("no", accounts.no.is_some()),
                ] {
                    if is_written {
                        let message = format!("`{key}` belongs to `backend`; accounts from a file have none");
                        self.add(&format!("{at}.{key}"), message, "remove it");
                    }
                }
            }
            (None, Some(backend)) => {
                if accounts.fold {
                    let message = "`fold` belongs to `file`: the backend decides itself which names are one";
                    self.add(&format!("{at}.fold"), message, "remove it");
                }
                self.known_backend(&format!("{at}.backend"), backend);
                for (key, value) in [("path", &accounts.path), ("subject", &accounts.subject)] {
                    if value.is_none() {
                        self.add(at, format!("`{key}` is missing beside `backend`"), format!("add `{key}`"));
                    }
                }
            }
        }
        if let Some(path) = &accounts.path {
            self.path(&format!("{at}.path"), path);
        }
        if let Some(subject) = &accounts.subject {
            self.pointer(&format!("{at}.subject"), subject);
        }
        if let Some(no) = &accounts.no {
            self.denying_statuses(&format!("{at}.no.status"), &no.status);
            if let Some(body) = &no.body {
                self.denying_body(&format!("{at}.no.body"), body);
            }
        }
        if let Some(fields) = &accounts.fields {
            self.not_blank(&format!("{at}.fields.username"), &fields.username);
            self.not_blank(&format!("{at}.fields.password"), &fields.password);
            if fields.username == fields.password {
                self.add(&format!("{at}.fields"), "both fields have one name", "give each its own");
            }
        }
        let claims: Vec<&str> = claims.iter().map(String::as_str).collect();
        for (claim, pointer) in &accounts.claims {
            let at = format!("{at}.claims.{claim}");
            self.known(&at, "claim in `login.claims`", claim, &claims);
            self.pointer(&at, pointer);
        }
    }

    fn denying_body(&mut self, at: &str, body: &LoginDenialBody) {
        self.pointer(&format!("{at}.pointer"), &body.pointer);
        if let Some(values) = &body.one_of {
            self.not_empty(&format!("{at}.one_of"), values, "name a value, or write `equals`");
        } else if body.equals.is_none() {
            self.add(at, "nothing says which value means a wrong password", "add `equals` or `one_of`");
        }
    }

    fn denying_statuses(&mut self, at: &str, statuses: &[u16]) {
        self.not_empty(at, statuses, "name a status, such as 401, or remove `no`");
        for (index, status) in statuses.iter().copied().enumerate() {
            let says_nothing = matches!(status, 407 | 408 | 429);
            if says_nothing || !(400..500).contains(&status) {
                let message = format!("{status} says nothing about a user name and a password");
                self.add(&format!("{at}[{index}]"), message, "name statuses from 400 to 499 without 407, 408 and 429");
            }
        }
    }

    pub(super) fn attempts(&mut self, at: &str, attempts: &Attempts) {
        self.more_than_zero(&format!("{at}.free"), attempts.free as usize);
        self.more_than_zero(&format!("{at}.free_per_address"), attempts.free_per_address as usize);
        self.some_time(&format!("{at}.delay"), attempts.delay);
        if attempts.longest < attempts.delay {
            self.add(&format!("{at}.longest"), "the longest wait is shorter than the first", "make it longer");
        }
        if attempts.longest > Duration::seconds(24 * 3600) {
            let message = "whoever fails on purpose could lock a customer out for longer than a day";
            self.add(&format!("{at}.longest"), message, "write at most 24h");
        }
    }

    fn refresh(&mut self, login: &Login, refresh: &Refresh) {
        self.some_time("login.refresh.lifetime", refresh.lifetime);
        self.at_most_400_days("login.refresh.lifetime", refresh.lifetime);
        if refresh.grace > Duration::seconds(60) {
            let message = "a thief could use a refresh token for as long after its owner";
            self.add("login.refresh.grace", message, "write at most 60s");
        }
        if login.issue == Issue::Cookie {
            let message = "a refresh token is for another JWT, and this login gives none";
            self.add("login.refresh", message, "write issue: jwt or both, or remove `refresh`");
        }
        if self.raw.access_token.is_none() {
            let message = "refresh tokens are handed in at the token endpoint, and there is no `access_token`";
            self.add("login.refresh", message, "add `access_token`, or remove `refresh`");
        }
    }

    fn cookie(&mut self, cookie: &Cookie) {
        self.not_empty("login.cookie.keys", &cookie.keys, "add { file: PATH } or { env: NAME }");
        self.some_time("login.cookie.idle", cookie.idle);
        if !grammar::is_token(&cookie.name) {
            self.add("login.cookie.name", "this is not the name of a cookie", "write it like __Host-session");
        }
        for (index, origin) in cookie.origins.iter().enumerate() {
            let is_origin = grammar::UrlParts::parse(origin).is_ok_and(|address| address.rest.is_empty());
            if !is_origin {
                let at = format!("login.cookie.origins[{index}]");
                self.add(&at, "this is not an origin", "write it like https://www.example.com, without a path");
            }
        }
        if let Some(header) = &cookie.csrf_header
            && let Some((message, help)) = grammar::header_fault(header, &[])
        {
            self.add("login.cookie.csrf_header", message, help);
        }
    }
}
