//! Checks of `login.accounts.ldap`.

use super::super::raw::{Accounts, Ldap, LdapSearch};
use super::Check;
use super::grammar::UrlParts;
use crate::directory::{USERNAME, is_filter};

const AT: &str = "login.accounts.ldap";

impl Check<'_> {
    pub(super) fn ldap(&mut self, ldap: &Ldap, claims: &[&str]) {
        self.ldap_url(&format!("{AT}.url"), ldap);
        match (&ldap.bind_dn, &ldap.search) {
            (Some(_), Some(_)) => self.add(AT, "`bind_dn` and `search` stand side by side", "keep one of them"),
            (None, None) => {
                let help = format!("add `bind_dn` with {USERNAME} in it, or `search`");
                self.add(AT, "nothing says as whom to bind", help);
            }
            (Some(name), None) if !name.contains(USERNAME) => {
                let help = format!("write it like uid={USERNAME},ou=people,dc=example,dc=com, or write `search`");
                self.add(&format!("{AT}.bind_dn"), format!("{USERNAME} is missing: all would be one entry"), help);
            }
            (Some(_), None) => {}
            (None, Some(search)) => self.ldap_search(search),
        }
        self.not_blank(&format!("{AT}.subject"), &ldap.subject);
        for (claim, attribute) in &ldap.claims {
            let at = format!("{AT}.claims.{claim}");
            self.known(&at, "claim in `login.claims`", claim, claims);
            self.not_blank(&at, attribute);
        }
        self.some_time(&format!("{AT}.timeout"), ldap.timeout);
    }

    fn ldap_search(&mut self, search: &LdapSearch) {
        let LdapSearch { base, filter, bind_dn, bind_password: _ } = search;
        self.not_blank(&format!("{AT}.search.bind_dn"), bind_dn);
        for (key, value) in [("base", base), ("bind_dn", bind_dn)] {
            if value.contains(USERNAME) {
                let message = format!("{USERNAME} stands for nothing here");
                self.add(&format!("{AT}.search.{key}"), message, "write it in `filter`");
            }
        }
        let at = format!("{AT}.search.filter");
        if !filter.contains(USERNAME) {
            let message = format!("{USERNAME} is missing: it would find everybody");
            self.add(&at, message, "write it like (uid={username})");
        } else if !is_filter(&filter.replace(USERNAME, "x")) {
            let help = "write it like (&(objectClass=person)(uid={username}))";
            self.add(&at, "this is not a filter (RFC 4515)", help);
        }
    }

    fn ldap_url(&mut self, at: &str, ldap: &Ldap) {
        const HOW: &str = "write it like ldaps://ldap.example.com";
        // The form is that of http and https.
        let like = match ldap.url.split_once("://") {
            Some(("ldaps", rest)) => format!("https://{rest}"),
            Some(("ldap", rest)) => format!("http://{rest}"),
            _ => return self.add(at, "the address of a directory starts with ldaps:// or ldap://", HOW),
        };
        let is_tls = like.starts_with("https") || ldap.start_tls;
        match UrlParts::parse(&like) {
            Ok(address) if !address.rest.is_empty() => self.add(at, "something stands behind the host", "remove it"),
            Ok(_) if like.starts_with("https") && ldap.start_tls => {
                self.add(at, "ldaps:// is TLS from the beginning", "write ldap://, or remove `start_tls`");
            }
            Ok(address) if is_tls && address.host.contains(':') => {
                self.add(at, "TLS needs the name of the host, or its IPv4 address", HOW);
            }
            Ok(address) if !is_tls && !address.is_loopback() && !ldap.danger_plaintext => {
                let help = "write ldaps://, or start_tls: true, or danger_plaintext: true";
                self.add(at, "passwords would pass the network in plain text", help);
            }
            Ok(_) if !is_tls && ldap.ca.is_some() => {
                self.add(
                    &format!("{AT}.ca"),
                    "there is no TLS that `ca` could verify",
                    "write ldaps://, or start_tls: true",
                );
            }
            Ok(_) => {}
            Err((message, _)) => self.add(at, message, HOW),
        }
    }

    /// Whatever else says who may log in.
    pub(super) fn beside_ldap(&mut self, accounts: &Accounts) {
        let Accounts { file, fold, backend, fields, encoding, path, subject, claims, no, ldap: _ } = accounts;
        for (key, is_written) in [
            ("file", file.is_some()),
            ("fold", *fold),
            ("backend", backend.is_some()),
            ("fields", fields.is_some()),
            ("encoding", encoding.is_some()),
            ("path", path.is_some()),
            ("subject", subject.is_some()),
            ("claims", !claims.is_empty()),
            ("no", no.is_some()),
        ] {
            if is_written {
                let at = format!("login.accounts.{key}");
                self.add(&at, format!("`{key}` and `ldap` stand side by side"), "keep one of them");
            }
        }
    }
}
