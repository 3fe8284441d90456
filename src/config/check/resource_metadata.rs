//! Checks of `routes[].resource_metadata`.

use super::super::raw::{CustomerTokenSource, Requirement, Route};
use super::{Check, grammar, shown};

impl Check<'_> {
    /// The metadata names an https address of the issuer's host (RFC 9728 section 1.2), at which the route is served.
    pub(super) fn resource_metadata(&mut self, at: &str, route: &Route) {
        let at = format!("{at}.resource_metadata");
        let Some(issuer) = &self.raw.issuer else {
            let message = "the metadata names the issuer that gives tokens, and there is no `issuer`";
            self.add(&at, message, "add `issuer`, or remove `resource_metadata`");
            return;
        };
        let takes_bearer = |sources: &Vec<CustomerTokenSource>| {
            sources.iter().any(|source| matches!(source, CustomerTokenSource::Bearer(true)))
        };
        let by_customer = route.require.contains(&Requirement::Customer)
            && route.customer_token_sources.as_ref().is_some_and(takes_bearer);
        if !route.require.contains(&Requirement::Client) && !by_customer {
            let message = "this route takes no token in `Authorization`, where OAuth clients show theirs";
            let help = "require `client`, or `customer` with `customer_token_sources: [{bearer: true}]`";
            self.add(&at, message, help);
        }
        match grammar::UrlParts::parse(&issuer.url) {
            Ok(address) if address.scheme != "https" => {
                let message = "the metadata names https addresses, and `issuer.url` is none (RFC 9728 section 1.2)";
                self.add(&at, message, "write https:// in `issuer.url`");
            }
            Ok(address) if !route.hosts.is_empty() && !is_among(address.host, &route.hosts) => {
                let message = format!(
                    "the metadata names the host of `issuer.url`, `{}`, which is not one of `hosts`",
                    shown(address.host)
                );
                self.add(&at, message, "add it to `hosts`, or remove `resource_metadata`");
            }
            // What is no address is reported at `issuer.url`.
            _ => {}
        }
    }
}

fn is_among(host: &str, hosts: &[String]) -> bool {
    hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
}
