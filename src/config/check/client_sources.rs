//! Checks of the places of a client's credential, and of an API key.

use std::collections::HashMap;

use super::super::raw::{ClientSource, CustomerTokenSource, Dpop, Requirement, Route};
use super::{Check, grammar, shown};

impl Check<'_> {
    /// The header of the API key holds nothing else.
    pub(super) fn api_key_header(&mut self, at: &str, route: &Route) {
        let at = format!("{at}.api_key_header");
        let header = &route.api_key_header;
        let allowed: &[&str] = if header.scheme().is_some() { &["api-key", "authorization"] } else { &["api-key"] };
        if let Some((message, help)) = grammar::header_fault(header.name(), allowed) {
            let is_authorization = header.name().eq_ignore_ascii_case("authorization");
            let help = if is_authorization { "write { name: Authorization, scheme: ApiKey }".to_owned() } else { help };
            self.add(&at, message, help);
        }
        if let Some(scheme) = header.scheme()
            && (!grammar::is_token(scheme) || ["bearer", "basic", "dpop"].contains(&&*scheme.to_ascii_lowercase()))
        {
            let message = format!("`{}` is not a scheme of API keys", shown(scheme));
            self.add(&format!("{at}.scheme"), message, "write one word, such as ApiKey");
        }
        let is_authorization = header.name().eq_ignore_ascii_case("authorization");
        let bearer = |place: &CustomerTokenSource| matches!(place, CustomerTokenSource::Bearer(true));
        let by_customer = route.customer_token_sources.iter().flatten().any(bearer);
        if is_authorization
            && route.require.contains(&Requirement::ApiKey)
            && (route.takes_client_in_authorization() || by_customer)
        {
            let message = "`Authorization` cannot hold both the API key and a token or secret";
            let help = "choose another header for the key, or another place for the other credential";
            self.add(&at, message, help);
        }
    }

    /// Where a client shows what proves it.
    pub(super) fn client_sources(&mut self, at: &str, route: &Route) {
        let all = format!("{at}.client_from");
        self.not_empty(&all, &route.client_from, "write [ bearer ], or remove `client_from`");
        let usual = [ClientSource::Scheme(super::super::raw::ClientScheme::Bearer)];
        if route.client_from[..] != usual && !route.require.contains(&Requirement::Client) {
            let message = "`client_from` says where a client proves itself, and this route does not require `client`";
            self.add(&all, message, "add client to `require`, or remove `client_from`");
        }
        if route.client_from[..] != usual && route.dpop == Some(Dpop::Required) {
            let message = "a secret is bound to no key, and `dpop: required` refuses it";
            self.add(&all, message, "write dpop: optional, or remove all but bearer");
        }
        let customers = route.customer_token_sources.iter().flatten().filter_map(|place| match place {
            CustomerTokenSource::Header(header) => Some(header.name.as_str()),
            _ => None,
        });
        let identifier = route.identifier.iter().filter_map(|placement| placement.header.as_deref());
        let others: Vec<&str> = customers.chain(identifier).chain([route.api_key_header.name()]).collect();
        for (index, source) in route.client_from.iter().enumerate() {
            let at = format!("{all}[{index}]");
            if route.client_from[..index].contains(source) {
                self.add(&at, "this place stands here twice", "remove one");
            }
            let ClientSource::Header(place) = source else { continue };
            if let Some((message, help)) = grammar::header_fault(&place.header, &[]) {
                self.add(&format!("{at}.header"), message, help.replace("X-Customer-Id", "X-Client-Secret"));
            } else if others.iter().any(|other| other.eq_ignore_ascii_case(&place.header)) {
                let message = format!("`{}` has another meaning on this route", shown(&place.header));
                self.add(&format!("{at}.header"), message, "choose another header");
            }
        }
    }

    /// Digests of secrets for headers: one belongs to one client.
    pub(super) fn header_secrets(&mut self) {
        let mut first: HashMap<String, String> = HashMap::new();
        for (number, client) in self.raw.clients.iter().enumerate() {
            for (nth, digest) in client.header_secrets.iter().enumerate() {
                let at = format!("clients[{number}].header_secrets[{nth}]");
                let digest = self.dated(&at, digest).to_ascii_lowercase();
                self.not_obvious(&at, &digest, "wicketgate new header-secret");
                if !grammar::is_sha256(&digest) {
                    let message = "this is not a SHA-256 in 64 hex digits; a secret itself must never stand here";
                    let help = "run `wicketgate new header-secret` and put the digest that it prints here";
                    self.add(&at, message, help);
                } else if let Some(earlier) = first.get(&digest) {
                    let (earlier, later) = (self.config.line(earlier), self.config.line(&at));
                    let message = format!("this digest is already used on line {earlier}");
                    self.add(&at, message, format!("change or remove one of lines {earlier} and {later}"));
                } else {
                    first.insert(digest, at);
                }
            }
        }
    }
}
