//! Checks of `login.accounts.ldap`.

use super::super::raw::Ldap;
use super::Check;
use super::grammar::UrlParts;

/// What the name of the customer stands for.
const USERNAME: &str = "{username}";
/// The most connections.
const MOST: usize = 128;

impl Check<'_> {
    pub(super) fn ldap(&mut self, ldap: &Ldap, claims: &[&str]) {
        let at = "login.accounts.ldap";
        self.ldap_address(&format!("{at}.url"), ldap);
        self.not_blank(&format!("{at}.bind_dn"), &ldap.bind_dn);
        let searching = [
            ("bind_password", ldap.bind_password.is_some()),
            ("base", ldap.base.is_some()),
            ("filter", ldap.filter.is_some()),
        ];
        let is_direct = ldap.bind_dn.contains(USERNAME);
        for (key, is_written) in searching {
            if is_direct && is_written {
                let message = format!("`{key}` is of a search, and `bind_dn` with {USERNAME} needs none");
                self.add(&format!("{at}.{key}"), message, "remove it, or name the account that searches in `bind_dn`");
            } else if !is_direct && !is_written {
                let help = format!("add `{key}`, or write {USERNAME} into `bind_dn`");
                self.add(at, format!("`{key}` is missing: `bind_dn` is the account that searches"), help);
            }
        }
        if let Some(filter) = &ldap.filter {
            let at = format!("{at}.filter");
            if !filter.contains(USERNAME) {
                self.add(
                    &at,
                    format!("{USERNAME} does not stand in it: it would find everybody"),
                    "write it like (uid={username})",
                );
            } else if ldap3::parse_filter(filter.replace(USERNAME, "x")).is_err() {
                self.add(
                    &at,
                    "this is not a filter (RFC 4515)",
                    "write it like (&(objectClass=person)(uid={username}))",
                );
            }
        }
        self.not_blank(&format!("{at}.subject"), &ldap.subject);
        for (claim, attribute) in &ldap.claims {
            let at = format!("{at}.claims.{claim}");
            self.known(&at, "claim in `login.claims`", claim, claims);
            self.not_blank(&at, attribute);
        }
        self.some_time(&format!("{at}.timeout"), ldap.timeout);
        if !(1..=MOST).contains(&ldap.connections) {
            self.add(
                &format!("{at}.connections"),
                format!("the number of connections is from 1 to {MOST}"),
                "remove it: the default is 16",
            );
        }
    }

    fn ldap_address(&mut self, at: &str, ldap: &Ldap) {
        // Of the same form.
        let scheme = if ldap.url.starts_with("ldaps://") { "ldaps" } else { "ldap" };
        let like = ldap.url.replacen(scheme, if scheme == "ldaps" { "https" } else { "http" }, 1);
        match UrlParts::parse(&like) {
            Ok(address) if !address.rest.is_empty() => self.add(at, "a path stands behind the host", "remove it"),
            Ok(_) if scheme == "ldaps" && ldap.start_tls => {
                self.add(at, "ldaps:// is TLS from the beginning", "write ldap://, or remove `start_tls`");
            }
            Ok(_) if scheme == "ldaps" => {}
            Ok(address) if ldap.url.starts_with("ldap://") => {
                if !ldap.start_tls && !address.is_loopback() && !ldap.danger_plaintext {
                    let message = "passwords would pass the network in plain text";
                    self.add(at, message, "write ldaps://, or add `start_tls: true`, or danger_plaintext: true");
                }
            }
            _ => self.add(at, "this is not the address of a directory", "write it like ldaps://ldap.example.com"),
        }
    }
}
