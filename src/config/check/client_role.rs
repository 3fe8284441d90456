//! Checks of the roles of trusted issuers, and of the issuers of a route.

use std::collections::BTreeMap;

use super::super::raw::{ClaimRule, ClientRole, CustomerTokenSource, IssuerRole, Requirement, Route, TrustedIssuer};
use super::{Check, shown};

/// Claims that tokens of every kind have: their presence tells nothing.
const OF_ALL_TOKENS: [&str; 8] = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "azp"];

impl Check<'_> {
    /// Whose tokens an issuer issues, and how its system tokens are told from those of customers.
    pub(super) fn roles(&mut self, at: &str, issuer: &TrustedIssuer) {
        let roles = format!("{at}.for");
        self.not_empty(&roles, &issuer.roles, "write [ customer ], [ client ] or both");
        for (index, role) in issuer.roles.iter().enumerate() {
            if issuer.roles[..index].contains(role) {
                self.add(&format!("{roles}[{index}]"), "this role stands here twice", "remove one");
            }
        }
        let role = format!("{at}.client");
        match (&issuer.client, issuer.is_for(IssuerRole::Client)) {
            (Some(client), true) => self.client_role(&role, client),
            (Some(_), false) => {
                let message = "this is about system tokens, and `for` does not have `client`";
                self.add(&role, message, "write for: [ client ] or for: [ customer, client ]");
            }
            (None, true) => {
                let message = "nothing says how the system tokens of this issuer are told from customers' tokens";
                let help = "add client: { id: azp, claims: { idtyp: { equals: app } } }, as this issuer writes them";
                self.add(&roles, message, help);
            }
            (None, false) => {}
        }
    }

    fn client_role(&mut self, at: &str, client: &ClientRole) {
        self.claim_path(&format!("{at}.id"), &client.id);
        self.claim_path(&format!("{at}.scopes"), &client.scopes);
        let tells_nothing = |(claim, rule): (&String, &ClaimRule)| {
            let name = claim.strip_prefix('/').unwrap_or(claim);
            matches!(rule, ClaimRule::Present(_)) && (OF_ALL_TOKENS.contains(&name) || *claim == client.id)
        };
        if client.claims.iter().all(tells_nothing) {
            let message = "customers' tokens name a client too, and nothing tells them from system tokens";
            let help = "add a condition that only system tokens meet to `claims`, such as idtyp: { equals: app } or uid: \
                        { absent: true }";
            self.add(&format!("{at}.claims"), message, help);
        }
        self.claim_rules(&format!("{at}.claims"), &client.claims);
    }

    /// Conditions on claims.
    pub(super) fn claim_rules(&mut self, at: &str, rules: &BTreeMap<String, ClaimRule>) {
        for (claim, rule) in rules {
            let at = format!("{at}.{claim}");
            self.claim_path(&at, claim);
            match rule {
                ClaimRule::OneOf(values) => {
                    self.not_empty(&format!("{at}.one_of"), values, "name the values that are right");
                }
                ClaimRule::Present(false) => {
                    let help = "write present: true, or absent: true";
                    self.add(&format!("{at}.present"), "`false` says nothing", help);
                }
                ClaimRule::Absent(false) => {
                    let help = "write absent: true, or present: true";
                    self.add(&format!("{at}.absent"), "`false` says nothing", help);
                }
                ClaimRule::Equals(_) | ClaimRule::Contains(_) | ClaimRule::Present(true) | ClaimRule::Absent(true) => {}
            }
        }
    }

    /// The issuers that a route accepts.
    pub(super) fn issuers_of(&mut self, at: &str, route: &Route) {
        let raw = self.raw;
        let all = format!("{at}.issuers");
        self.no_empty_list(&all, "name an issuer, or remove `issuers`");
        if route.issuers.is_empty() {
            return;
        }
        let requires = |requirement| route.require.contains(&requirement);
        if !requires(Requirement::Client) && !requires(Requirement::Customer) {
            let message = "issuers are those of tokens, and this route requires neither `client` nor `customer`";
            self.add(&all, message, "add one of them to `require`, or remove `issuers`");
        }
        let named = route.issuers.iter().enumerate();
        self.unique("the issuer", named.map(|(index, name)| (format!("{all}[{index}]"), name.as_str())));
        let sessions = |place: &&CustomerTokenSource| matches!(place, CustomerTokenSource::Session(true));
        if !route.accepts_own(raw) && route.customer_token_sources.iter().flatten().find(sessions).is_some() {
            let own = raw.issuer.as_ref().map_or("issuer.url", |issuer| issuer.url.as_str());
            let message = "a session is a login of this gateway, which is not among `issuers`";
            let help = format!("add {} to `issuers`, or remove {{ session: true }}", shown(own));
            self.add(&format!("{at}.customer_token_sources"), message, help);
        }
    }
}
