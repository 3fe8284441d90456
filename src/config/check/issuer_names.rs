//! Checks of the names of trusted issuers: spellings and tenants.

use super::super::raw::{Discovery, IssuerNames, TrustedIssuer};
use super::Check;
use crate::customer::LONGEST_ISSUER;

/// Words that stand for many tenants at Microsoft. Tokens name the one that they are of.
const MANY_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

/// Where metadata stand below the name of their issuer (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).
const METADATA: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

impl Check<'_> {
    pub(super) fn issuer_names(&mut self, at: &str, issuer: &TrustedIssuer) {
        let names = issuer.issuer.all();
        self.not_empty(&format!("{at}.issuer"), names, "write the `iss` of its tokens");
        for (index, name) in names.iter().enumerate() {
            let at = issuer_name_at(at, issuer, index);
            self.not_blank(&at, name);
            self.stands_in_tokens(&at, name);
            if !issuer.tenants.is_empty() && !name.contains("{tenant}") {
                let message = "without `{tenant}` this is the name of every tenant";
                self.add(&at, message, "put `{tenant}` where the id of the tenant stands, or remove `tenants`");
            }
        }
        if issuer.spellings().iter().flatten().any(|name| name.len() > LONGEST_ISSUER) {
            let message = format!("an issuer has at most {LONGEST_ISSUER} bytes");
            self.add(&issuer_name_at(at, issuer, 0), message, "write the `iss` of its tokens");
        }
        if issuer.tenants.is_empty() && issuer.issuer.has_tenants() {
            let message = "`{tenant}` stands for nobody";
            self.add(&issuer_name_at(at, issuer, 0), message, "add `tenants` with the ids of those that you trust");
        }
        self.no_empty_list(&format!("{at}.tenants"), "add the ids of those that you trust, or remove `tenants`");
        self.tenants(at, issuer);
    }

    /// Refuses addresses of documentation and portals that no token has in `iss`.
    fn stands_in_tokens(&mut self, at: &str, name: &str) {
        if let Some((issuer, _)) = METADATA.iter().find_map(|place| name.split_once(place)) {
            let help = format!(
                "write what stands in `iss`, such as {issuer}; if the metadata name another issuer, write this address \
                 under `discovery`"
            );
            self.add(at, "this is the address of the metadata, and stands in no `iss`", help);
        } else if name.contains("://login.microsoftonline.")
            && let Some(word) =
                name.split('/').find(|part| MANY_TENANTS.iter().any(|word| part.eq_ignore_ascii_case(word)))
        {
            let message = format!("`{word}` stands for many tenants, and in no `iss`");
            let help = format!(
                "write `{{tenant}}` in the place of `{word}`, and `tenants` with the ids of those that you trust"
            );
            self.add(at, message, help);
        }
    }

    fn tenants(&mut self, at: &str, issuer: &TrustedIssuer) {
        for (index, tenant) in issuer.tenants.iter().enumerate() {
            let at = format!("{at}.tenants[{index}]");
            let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            if tenant.is_empty() || !tenant.bytes().all(is_id) {
                self.add(&at, "this is not the id of a tenant", "write it as it stands in `iss`");
            } else if MANY_TENANTS.iter().any(|word| tenant.eq_ignore_ascii_case(word)) {
                let message = format!("`{tenant}` stands for many tenants, and in no token");
                self.add(&at, message, "write the ids of the tenants, as they stand in `iss`");
            }
        }
        if !issuer.tenants.is_empty() && issuer.tenant.is_some() {
            let message = "customers of different tenants with the same subject would be one customer";
            self.add(&format!("{at}.tenant"), message, "remove `tenant`: each tenant is a namespace of its own");
        }
        if issuer.discovery == Discovery::Flag(true) && issuer.tenants.len() > 1 {
            let message = "each tenant has a discovery document of its own";
            let help = "write `jwks`, the address of the keys that they have in common, instead of `discovery: true`";
            self.add(&format!("{at}.discovery"), message, help);
        }
    }

    /// Whoever writes an `iss` is one issuer, or one tenant.
    pub(super) fn issuers_are_unique(&mut self) {
        let mut names: Vec<(String, String)> = Vec::new();
        names.extend(self.raw.issuer.iter().map(|own| ("issuer.url".to_owned(), own.url.clone())));
        for (number, issuer) in self.raw.trusted_issuers.iter().enumerate() {
            let at = format!("trusted_issuers[{number}]");
            for (tenant, spellings) in issuer.spellings().into_iter().enumerate() {
                names.extend(spellings.into_iter().enumerate().map(|(spelling, name)| {
                    let of_tenant = format!("{at}.tenants[{tenant}]");
                    (if issuer.tenants.is_empty() { issuer_name_at(&at, issuer, spelling) } else { of_tenant }, name)
                }));
            }
        }
        self.unique("the issuer", names.iter().map(|(at, name)| (at.clone(), name.as_str())));
    }
}

/// The key of this name of an issuer.
pub(super) fn issuer_name_at(at: &str, issuer: &TrustedIssuer, index: usize) -> String {
    match &issuer.issuer {
        IssuerNames::One(_) => format!("{at}.issuer"),
        IssuerNames::Several(_) => format!("{at}.issuer[{index}]"),
    }
}
