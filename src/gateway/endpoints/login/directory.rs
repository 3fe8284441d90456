//! The company's directory: a simple bind (RFC 4513 section 5.1) says whether a password is right. Each login has a
//! connection of its own, which ends with it.

use std::sync::Arc;
use std::time::Instant;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry, SearchOptions, dn_escape, ldap_escape};
use serde_json::Value;

use super::super::customer_token::CustomerClaims;
use super::backend::MAX_CLAIMS;
use super::{LoginForm, ProvedLogin};
use crate::gateway::Gateway;
use crate::gateway::request::call::Call;
use crate::hex::hex;
use crate::policy::Login;
use crate::policy::accounts::directory::{Binding, Directory, USERNAME};
use crate::refusal::Refusal;
use crate::secret::random_bytes;

/// Result codes (RFC 4511 appendix A).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;

/// Why a login has no entry.
enum Denial {
    /// The directory knows nobody of this name.
    Unknown,
    /// The password is wrong, or the account locked or expired.
    Wrong,
    /// It did not say.
    Outage(String),
}

impl From<ldap3::LdapError> for Denial {
    fn from(error: ldap3::LdapError) -> Self {
        Self::Outage(error.to_string())
    }
}

impl Gateway {
    /// Asks the directory. Only its clear no is a no, and takes as long whoever is named; any other failure is an outage.
    pub(super) async fn by_directory(
        &self,
        call: &Call<'_>,
        login: &Login,
        directory: &Directory,
        typed: LoginForm<'_>,
    ) -> Result<ProvedLogin, Refusal> {
        let begun = Instant::now();
        let asked = async {
            let _place = directory.connections.acquire().await.map_err(|_| Denial::Outage("closed".to_owned()))?;
            ask(directory, typed).await
        };
        let late = |_| Denial::Outage("it did not answer within `timeout`".to_owned());
        let outcome = match tokio::time::timeout(directory.timeout, asked).await.map_err(late) {
            Ok(Ok(entry)) => customer(directory, &entry).map_err(Denial::Outage),
            Ok(Err(denial)) | Err(denial) => Err(denial),
        };
        let (subject, claims) = match outcome {
            Ok(customer) => customer,
            Err(Denial::Outage(reason)) => {
                if let Some(left_out) = directory.failures.allow() {
                    tracing::warn!(directory = directory.url, reason, left_out, "the directory did not answer a login");
                }
                return Err(Refusal::LoginBackend);
            }
            Err(denial) => {
                let end = begun + directory.refusal_time(begun.elapsed());
                tokio::time::sleep_until(end.into()).await;
                let is_unknown = matches!(denial, Denial::Unknown);
                return Err(if is_unknown { Refusal::LoginUnknownUser } else { Refusal::LoginWrongPassword });
            }
        };
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let customer = deriver.derive(&login.tenant, &subject).map_err(|_| Refusal::LoginBackend)?;
        Ok((customer, claims, None))
    }
}

/// The entry of the customer, whose password is right.
async fn ask(directory: &Directory, typed: LoginForm<'_>) -> Result<SearchEntry, Denial> {
    // A bind without a password is nobody's, and succeeds (RFC 4513 section 5.1.2).
    if typed.password.is_empty() {
        return Err(Denial::Wrong);
    }
    let settings = LdapConnSettings::new()
        .set_conn_timeout(directory.timeout)
        .set_config(Arc::clone(&directory.tls))
        .set_starttls(directory.start_tls);
    let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &directory.url).await?;
    tokio::select! {
        entry = walk(directory, &mut ldap, typed) => entry,
        _ = connection.drive() => Err(Denial::Outage("it closed the connection".to_owned())),
    }
}

async fn walk(
    directory: &Directory,
    ldap: &mut Ldap,
    LoginForm { username, password }: LoginForm<'_>,
) -> Result<SearchEntry, Denial> {
    let wanted: Vec<&str> = [directory.subject.as_str()]
        .into_iter()
        .chain(directory.claims.iter().map(|(_, name)| name.as_str()))
        .collect();
    let entry = match &directory.binds {
        Binding::Customer(name) => {
            let name = name.replace(USERNAME, &dn_escape(username));
            bind(ldap, &name, password).await?;
            let own = Search { base: &name, scope: Scope::Base, filter: "(objectClass=*)", wanted: &wanted };
            own.only(ldap)
                .await?
                .ok_or_else(|| Denial::Outage("it does not show the entry of a customer".to_owned()))?
        }
        Binding::Search { name, password: secret, base, filter } => {
            let secret = secret.expose_str().unwrap_or_default();
            let bound = ldap.simple_bind(name, secret).await?;
            if bound.rc != SUCCESS {
                return Err(Denial::Outage(format!(
                    "the account that searches may not bind: result code {}",
                    bound.rc
                )));
            }
            let filter = filter.replace(USERNAME, &ldap_escape(username));
            let search = Search { base, scope: Scope::Subtree, filter: &filter, wanted: &wanted };
            let Some(entry) = search.only(ldap).await? else {
                // As long as with a name that it knows, as far as that is up to here.
                let nobody = format!("cn={},{base}", hex(&random_bytes::<16>()));
                return match bind(ldap, &nobody, password).await {
                    Err(Denial::Outage(reason)) => Err(Denial::Outage(reason)),
                    _ => Err(Denial::Unknown),
                };
            };
            bind(ldap, &entry.dn, password).await?;
            entry
        }
    };
    let _ = ldap.unbind().await;
    Ok(entry)
}

/// Binds as a customer.
async fn bind(ldap: &mut Ldap, name: &str, password: &str) -> Result<(), Denial> {
    // Without a name it would be nobody's, whatever the password.
    if name.trim().is_empty() || password.is_empty() {
        return Err(Denial::Wrong);
    }
    match ldap.simple_bind(name, password).await?.rc {
        SUCCESS => Ok(()),
        INVALID_CREDENTIALS | NO_SUCH_OBJECT => Err(Denial::Wrong),
        other => Err(Denial::Outage(format!("result code {other} of a bind"))),
    }
}

/// A search for one entry.
struct Search<'s> {
    base: &'s str,
    scope: Scope,
    filter: &'s str,
    wanted: &'s [&'s str],
}

impl Search<'_> {
    /// The only entry; `None` where there is none. References to other directories are not followed.
    async fn only(&self, ldap: &mut Ldap) -> Result<Option<SearchEntry>, Denial> {
        let several = || Denial::Outage("several entries fit one name: make `filter` narrower".to_owned());
        let options = SearchOptions::new().sizelimit(2);
        let found = ldap.with_search_options(options).search(self.base, self.scope, self.filter, self.wanted).await?;
        let (entries, result) = (found.0, found.1);
        match result.rc {
            SUCCESS => {}
            SIZE_LIMIT_EXCEEDED => return Err(several()),
            other => return Err(Denial::Outage(format!("result code {other} of a search"))),
        }
        let mut entries = entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        let first = entries.next().map(SearchEntry::construct);
        if entries.next().is_some() { Err(several()) } else { Ok(first) }
    }
}

/// The subject and the claims that an entry has, or what is wrong with it.
fn customer(directory: &Directory, entry: &SearchEntry) -> Result<(String, CustomerClaims), String> {
    let subject = match &values(entry, &directory.subject)?[..] {
        [subject] if !subject.trim().is_empty() => subject.clone(),
        _ => return Err(format!("an entry has no one value of {}", directory.subject)),
    };
    let mut claims = CustomerClaims::new();
    for (claim, attribute) in &directory.claims {
        let mut values = values(entry, attribute)?;
        match values.len() {
            0 => continue,
            1 => claims.insert(claim.clone(), values.remove(0).into()),
            _ => claims.insert(claim.clone(), values.into()),
        };
    }
    let length: usize = claims.values().map(|value: &Value| value.to_string().len()).sum();
    if length > MAX_CLAIMS { Err("the claims of an entry are too long".to_owned()) } else { Ok((subject, claims)) }
}

/// The values of an attribute, whose name is in any letter case; those of objectGUID as text.
fn values(entry: &SearchEntry, name: &str) -> Result<Vec<String>, String> {
    let is_it = |known: &String| known.eq_ignore_ascii_case(name);
    let text = entry.attrs.iter().find(|(known, _)| is_it(known)).map(|(_, values)| values.clone()).unwrap_or_default();
    let binary =
        entry.bin_attrs.iter().find(|(known, _)| is_it(known)).map(|(_, values)| values.clone()).unwrap_or_default();
    if !name.eq_ignore_ascii_case("objectGUID") {
        return if binary.is_empty() { Ok(text) } else { Err(format!("the values of {name} are not text")) };
    }
    let bytes = binary.into_iter().chain(text.into_iter().map(String::into_bytes));
    bytes.map(|bytes| guid(&bytes).ok_or_else(|| format!("a value of {name} has not 16 bytes"))).collect()
}

/// A GUID of Active Directory, whose first three parts are little-endian, as text.
fn guid(bytes: &[u8]) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let digits = hex(&order.map(|at| bytes[at]));
    Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_guid_of_active_directory_is_written_as_its_tools_write_it() {
        let bytes = [0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0x78, 0x56, 0x9a, 0xbc, 1, 2, 3, 4, 5, 6];
        assert_eq!(guid(&bytes).unwrap(), "12345678-1234-5678-9abc-010203040506");
        assert_eq!(guid(&bytes[1..]), None);
    }

    #[test]
    fn a_name_stays_one_value_of_a_filter_and_of_a_distinguished_name() {
        for name in ["*", "*)(uid=*", "a)(|(uid=*", "x\\2a", "a\0b"] {
            let filter = format!("(uid={})", ldap_escape(name));
            assert!(!filter[1..filter.len() - 1].contains(['*', '(', ')', '\0']), "{filter}");
        }
        for name in ["a,ou=admins", "a+cn=b", " a ", "#a", "a=b", "a\\,b", "a\0"] {
            let escaped = dn_escape(name);
            assert!(!escaped.contains([',', '+', '=', '\0', '#']) || escaped.contains('\\'), "{escaped}");
        }
    }
}
