//! `login.accounts.ldap`, read.

use crate::config::{Config, Problems, raw};
use crate::directory::{BindAs, Directory, Seen};
use crate::policy::ca_certificates::Authorities;

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
    let binding = match (&ldap.bind_dn, &ldap.search) {
        (Some(name), _) => Some(BindAs::Customer(name.clone())),
        (None, None) => None,
        (None, Some(raw::LdapSearch { base, filter, bind_dn, bind_password })) => {
            let password = config.read_secret_line(bind_password).and_then(|password| match password.expose_str() {
                Some("") => Err(("this password is empty".to_owned(), "write it there".to_owned())),
                Some(_) => Ok(password),
                None => Err(("this password is not text".to_owned(), "write it in UTF-8".to_owned())),
            });
            let password = password.map_err(|fault| problem("search.bind_password", fault)).ok();
            let (name, base, filter) = (bind_dn.clone(), base.clone(), filter.clone());
            password.map(|password| BindAs::Search { name, password, base, filter })
        }
    };
    Some(Directory {
        url: ldap.url.clone(),
        start_tls: ldap.start_tls,
        tls: authority?.client,
        binding: binding?,
        subject: ldap.subject.clone(),
        claims: ldap.claims.clone().into_iter().collect(),
        timeout: ldap.timeout.get(),
        seen: Seen::default(),
    })
}
