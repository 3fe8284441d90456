//! A connection to the directory: binds and searches on it, and what their result codes mean.

use std::sync::Arc;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, SearchOptions};

use super::{Denial, Directory};

/// Result codes (RFC 4511 appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_DN_SYNTAX: u32 = 34;
const INAPPROPRIATE_AUTHENTICATION: u32 = 48;
const INVALID_CREDENTIALS: u32 = 49;

/// Longest text of the directory in a log line, in letters.
const MAX_SHOWN: usize = 200;

/// A connection to the directory.
pub(super) struct Conversation(Ldap);

impl From<LdapError> for Denial {
    fn from(error: LdapError) -> Self {
        Self::Outage(match error {
            LdapError::OpSend { .. } | LdapError::ResultRecv { .. } | LdapError::EndOfStream => {
                "it ended the connection, or its answer cannot be read".to_owned()
            }
            other => other.to_string(),
        })
    }
}

impl Conversation {
    /// Connects, with TLS where it is configured. The connection must be driven beside whatever is said on it.
    pub(super) async fn open(directory: &Directory) -> Result<(LdapConnAsync, Self), Denial> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(directory.timeout)
            .set_config(Arc::clone(&directory.tls))
            .set_starttls(directory.start_tls);
        let (connection, ldap) = LdapConnAsync::with_settings(settings, &directory.url).await?;
        Ok((connection, Self(ldap)))
    }

    /// Binds as a customer. The name was typed: one that cannot be a name is nobody's.
    pub(super) async fn bind(&mut self, name: &str, password: &str) -> Result<(), Denial> {
        // Without either it would be nobody's, and succeed.
        if name.trim().is_empty() || password.is_empty() {
            return Err(Denial::Wrong);
        }
        let result = self.0.simple_bind(name, password).await?;
        match result.rc {
            SUCCESS => Ok(()),
            INVALID_CREDENTIALS | NO_SUCH_OBJECT | INVALID_DN_SYNTAX | INAPPROPRIATE_AUTHENTICATION => {
                Err(Denial::Wrong)
            }
            _ => Err(outage("the bind of a customer", &result)),
        }
    }

    /// Binds as the account that searches.
    pub(super) async fn bind_to_search(&mut self, name: &str, password: &str) -> Result<(), Denial> {
        let result = self.0.simple_bind(name, password).await?;
        if result.rc == SUCCESS { Ok(()) } else { Err(outage("the bind of `search.bind_dn`", &result)) }
    }

    /// The entry of this name, if it may be read.
    pub(super) async fn entry(&mut self, name: &str, wanted: &[&str]) -> Result<Option<SearchEntry>, Denial> {
        self.only(name, Scope::Base, "(objectClass=*)", wanted).await
    }

    /// The only entry below `base` that fits; `None` where there is none.
    pub(super) async fn search(
        &mut self,
        base: &str,
        filter: &str,
        wanted: &[&str],
    ) -> Result<Option<SearchEntry>, Denial> {
        self.only(base, Scope::Subtree, filter, wanted).await
    }

    /// References to other directories are not followed.
    async fn only(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        wanted: &[&str],
    ) -> Result<Option<SearchEntry>, Denial> {
        let several = || Denial::Outage("several entries fit one username: make `filter` narrower".to_owned());
        let options = SearchOptions::new().sizelimit(2);
        let found = self.0.with_search_options(options).search(base, scope, filter, wanted).await?;
        let (entries, result) = (found.0, found.1);
        match result.rc {
            SUCCESS => {}
            SIZE_LIMIT_EXCEEDED => return Err(several()),
            _ => return Err(outage("a search", &result)),
        }
        let mut entries = entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        let first = entries.next().map(SearchEntry::construct);
        if entries.next().is_some() { Err(several()) } else { Ok(first) }
    }

    /// Says goodbye.
    pub(super) async fn end(&mut self) {
        let _ = self.0.unbind().await;
    }
}

fn outage(what: &str, result: &LdapResult) -> Denial {
    let text: String = result.text.chars().take(MAX_SHOWN).collect();
    Denial::Outage(format!("result code {} of {what}: {text}", result.rc))
}
