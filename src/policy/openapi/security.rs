//! Security schemes of the document: the credentials that routes demand, as callers show them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::config::raw::{self, ClientCertificate, CustomerTokenSource, Dpop, Issue, IssuerRole, Raw, Requirement};

/// One way to meet a demand: a scheme with its scopes; several schemes count together.
type Way = Vec<(String, Vec<String>)>;

/// The schemes that routes have used.
#[derive(Default)]
pub(super) struct SecuritySchemes {
    schemes: Map<String, Value>,
    scopes: BTreeSet<String>,
}

impl SecuritySchemes {
    /// The demands of a route on these listeners: each member is one way to meet them all.
    pub(super) fn demands(&mut self, raw: &Raw, route: &raw::Route, listeners: &[&raw::Listen]) -> Value {
        let requires = |requirement| route.require.contains(&requirement);
        let mut ways: Vec<Way> = vec![Vec::new()];
        let all_ask = |listen: &&raw::Listen| {
            let asked = listen.tls.as_ref().filter(|tls| tls.client_ca.is_some());
            asked.is_some_and(|tls| tls.client_certificate != Some(ClientCertificate::Optional))
        };
        if !listeners.is_empty() && listeners.iter().all(all_ask) {
            let scheme =
                json!({"type": "mutualTLS", "description": "A client certificate that the operator has agreed on."});
            ways = joined(&ways, &[self.way("clientCertificate", scheme, &[])]);
        }
        if requires(Requirement::ApiKey) {
            let place = &route.api_key_header;
            let scheme = match place.scheme() {
                Some(word) => {
                    json!({"type": "apiKey", "in": "header", "name": place.name(), "description": format!("The word `{word}`, a space and the API key.")})
                }
                None => json!({"type": "apiKey", "in": "header", "name": place.name()}),
            };
            let way = self.way(&named("apiKey", place.name(), "api-key"), scheme, &[]);
            ways = joined(&ways, &[way]);
        }
        if requires(Requirement::Client) {
            let clients = self.clients(raw, route);
            ways = joined(&ways, &clients);
        }
        if requires(Requirement::Customer) {
            let customers = self.customers(raw, route);
            ways = joined(&ways, &customers);
        }
        let is_open = ways.iter().all(Vec::is_empty);
        let shown =
            |way: &Way| Value::Object(way.iter().map(|(name, scopes)| (name.clone(), scopes.clone().into())).collect());
        if is_open { json!([]) } else { ways.iter().map(shown).collect() }
    }

    /// The credentials by which customers end their logins.
    pub(super) fn own_customers(&mut self, raw: &Raw, login: &raw::Login) {
        self.header("customer-auth", Some("JWT"));
        if login.issue != Issue::Jwt {
            self.session(raw);
        }
    }

    /// The schemes, once all routes have been read.
    pub(super) fn finish(mut self, raw: &Raw) -> Map<String, Value> {
        if let Some(scheme) = self.schemes.get_mut("clientToken") {
            let scopes: Map<String, Value> = self.scopes.into_iter().map(|scope| (scope, "".into())).collect();
            scheme["flows"]["clientCredentials"]["scopes"] = scopes.into();
            let url = token_url(raw).unwrap_or_default();
            scheme["flows"]["clientCredentials"]["tokenUrl"] = url.into();
        }
        self.schemes
    }

    fn way(&mut self, name: &str, scheme: Value, scopes: &[String]) -> Way {
        self.schemes.entry(name).or_insert(scheme);
        vec![(name.to_owned(), scopes.to_vec())]
    }

    fn clients(&mut self, raw: &Raw, route: &raw::Route) -> Vec<Way> {
        let scopes = &route.scopes;
        let mut ways = Vec::new();
        if route.takes_client_by(raw::ClientScheme::Bearer) {
            let is_own = route.accepts_own(raw) && token_url(raw).is_some();
            let is_accepted =
                |issuer: &&raw::TrustedIssuer| issuer.is_for(IssuerRole::Client) && accepts(route, issuer);
            let is_others = raw.trusted_issuers.iter().any(|issuer| is_accepted(&issuer));
            if is_own && route.dpop != Some(Dpop::Required) {
                self.scopes.extend(scopes.iter().cloned());
                let scheme = json!({"type": "oauth2", "flows": {"clientCredentials": {}}, "description": "The access token of the client, as Bearer."});
                ways.push(self.way("clientToken", scheme, scopes));
            }
            if (is_others || !is_own) && route.dpop != Some(Dpop::Required) {
                let scheme = json!({"type": "http", "scheme": "bearer", "description": "An access token of a client, from an issuer that the operator trusts."});
                ways.push(self.way("clientBearer", scheme, scopes));
            }
            if route.dpop.is_some() {
                let scheme = json!({"type": "http", "scheme": "DPoP", "description": "An access token that is bound to a key, and with each call a proof in the field DPoP (RFC 9449)."});
                ways.push(self.way("clientDpop", scheme, scopes));
            }
        }
        if route.takes_client_by(raw::ClientScheme::Basic) {
            let scheme = json!({"type": "http", "scheme": "basic", "description": "The id and secret of the client."});
            ways.push(self.way("clientBasic", scheme, &[]));
        }
        let headers: Vec<String> = route.client_headers().map(str::to_owned).collect();
        for header in headers {
            let scheme =
                json!({"type": "apiKey", "in": "header", "name": header, "description": "The secret of the client."});
            ways.push(self.way(&named("clientSecret", &header, ""), scheme, &[]));
        }
        ways
    }

    fn customers(&mut self, raw: &Raw, route: &raw::Route) -> Vec<Way> {
        let usual = [
            CustomerTokenSource::Header(raw::HeaderPlace {
                name: "customer-auth".to_owned(),
                scheme: Some("JWT".to_owned()),
            }),
            CustomerTokenSource::Session(route.accepts_own(raw)),
        ];
        let mut ways = Vec::new();
        for place in route.customer_token_sources.as_deref().unwrap_or(&usual) {
            match place {
                CustomerTokenSource::Header(place) => {
                    ways.push(self.header(&place.name, place.scheme.as_deref()));
                }
                CustomerTokenSource::Session(true) => ways.extend(self.session(raw)),
                CustomerTokenSource::Cookie(name) => {
                    let scheme = json!({"type": "apiKey", "in": "cookie", "name": name, "description": "The token of the customer, a JWT."});
                    ways.push(self.way(&named("customerCookie", name, ""), scheme, &[]));
                }
                CustomerTokenSource::Bearer(true) => {
                    let scheme = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of the customer."});
                    ways.push(self.way("customerBearer", scheme, &[]));
                }
                // A scheme cannot stand in the body.
                CustomerTokenSource::Body(_) => ways.push(Vec::new()),
                CustomerTokenSource::Session(false) | CustomerTokenSource::Bearer(false) => {}
            }
        }
        ways
    }
}

impl SecuritySchemes {
    fn header(&mut self, name: &str, word: Option<&str>) -> Way {
        let word = word.map_or(String::new(), |word| format!("the word `{word}`, a space and "));
        let told = format!("The token of the customer: {word}a JWT.");
        let scheme = json!({"type": "apiKey", "in": "header", "name": name, "description": told});
        self.way(&named("customerToken", name, "customer-auth"), scheme, &[])
    }

    fn session(&mut self, raw: &Raw) -> Option<Way> {
        let login = raw.login.as_ref().filter(|login| login.issue != Issue::Jwt)?;
        let name = &login.cookie.as_ref()?.name;
        let told = "The session of the customer.";
        let scheme = json!({"type": "apiKey", "in": "cookie", "name": name, "description": told});
        Some(self.way("customerSession", scheme, &[]))
    }
}

/// The address of the token endpoint; without an issuer, its path.
fn token_url(raw: &Raw) -> Option<String> {
    let path = &raw.access_token.as_ref()?.path;
    Some(raw.issuer.as_ref().map_or_else(|| path.clone(), |issuer| issuer.at_root(path)))
}

fn accepts(route: &raw::Route, issuer: &raw::TrustedIssuer) -> bool {
    route.issuers.is_empty() || route.issuers.iter().any(|name| issuer.issuer.all().contains(name))
}

/// Each way of one with each of the other.
fn joined(ways: &[Way], others: &[Way]) -> Vec<Way> {
    if others.is_empty() {
        return ways.to_vec();
    }
    ways.iter().flat_map(|way| others.iter().map(|other| [way.clone(), other.clone()].concat())).collect()
}

/// The name of a scheme: alone for the usual field, else with that of the field.
fn named(kind: &str, field: &str, usual: &str) -> String {
    if field.eq_ignore_ascii_case(usual) {
        return kind.to_owned();
    }
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    format!("{kind}-{}", field.chars().map(plain).collect::<String>())
}
