//! Requirements of a route on its callers.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{API_KEY, CUSTOMER_AUTH};
use crate::explanation::trace::StepDetail;
use crate::json_body::Pointer;

/// Number of an issuer: 0 is this gateway, then `trusted_issuers` in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerNumber(pub u32);

impl IssuerNumber {
    /// This gateway.
    pub const OWN: Self = Self(0);

    /// The issuer at this place in `trusted_issuers`.
    pub fn at_place(place: usize) -> Self {
        Self(u32::try_from(place + 1).unwrap_or(u32::MAX))
    }
}

/// Requirements of a route on its callers.
#[derive(Debug, Default)]
pub struct Requirements {
    /// The route's number, which API keys name.
    pub route: u32,
    /// Requires an access token.
    pub client: bool,
    /// Requires a customer's token or session.
    pub customer: bool,
    /// Requires an API key.
    pub api_key: bool,
    /// The header of the API key.
    pub api_key_header: ApiKeyHeader,
    /// Places of the client's credential, where they are others than `Authorization: Bearer`.
    pub client_sources: Option<Box<ClientSources>>,
    /// The audience that the access token must have, and the token by which a client acts for a customer.
    pub audience: String,
    /// The audience is set for the route or its listener, so that tokens of trusted issuers must have it too.
    pub is_audience_set: bool,
    /// The issuers whose tokens it accepts; `None`: all.
    pub issuers: Option<Box<[IssuerNumber]>>,
    /// Requirement of a DPoP proof.
    pub proof: DpopRequirement,
    /// Whom the customer's token must be for, where that is an audience set apart; else it must be for none of those.
    pub isolated_audience: Option<Arc<str>>,
    /// Scopes that the access token must have.
    pub scopes: Vec<String>,
    /// Places of the customer's token.
    pub customer_token_sources: Vec<CustomerTokenSource>,
}

impl Requirements {
    /// What the route wants of the issuer of a token, for explanations.
    pub(super) fn explain_issuer(&self, issuer: IssuerNumber) -> StepDetail {
        let name = |number: &IssuerNumber| match number.0 {
            0 => "this gateway".to_owned(),
            place => format!("trusted_issuers[{}]", place - 1),
        };
        let wanted = match &self.issuers {
            None => "any issuer of gateway.yaml".to_owned(),
            Some(issuers) => issuers.iter().map(name).collect::<Vec<_>>().join(" or "),
        };
        StepDetail::new(wanted, name(&issuer)).at(format!("/routes/{}/issuers", self.route))
    }

    /// Returns whether tokens of this issuer are accepted.
    pub(super) fn accepts(&self, issuer: IssuerNumber) -> bool {
        self.issuers.as_ref().is_none_or(|issuers| issuers.contains(&issuer))
    }
}

/// Requirement of a DPoP proof (RFC 9449).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DpopRequirement {
    /// Not supported: tokens that are bound to a DPoP key are refused.
    #[default]
    None,
    /// Required where the token is bound to a DPoP key.
    Optional,
    /// Always required.
    Required,
}

/// The challenge of `Basic` (RFC 7617 section 2).
const BASIC: HeaderValue = HeaderValue::from_static(r#"Basic realm="client", charset="UTF-8""#);

/// Places of a client's credential on routes that take others than an access token.
#[derive(Debug)]
pub struct ClientSources {
    /// An access token.
    pub bearer: bool,
    /// An id and a secret by `Basic`.
    pub basic: bool,
    /// Headers that hold a secret.
    pub headers: Box<[HeaderName]>,
    /// The challenges of a 401 beside `Bearer` (RFC 9110 section 11.6.1).
    pub challenges: Arc<[HeaderValue]>,
}

impl ClientSources {
    /// These places.
    pub fn new(bearer: bool, basic: bool, headers: Vec<HeaderName>) -> Self {
        let of_header =
            |name: &HeaderName| HeaderValue::from_str(&format!(r#"Secret realm="client", header="{name}""#)).ok();
        let challenges = basic.then_some(BASIC).into_iter().chain(headers.iter().filter_map(of_header));
        Self { bearer, basic, challenges: challenges.collect(), headers: headers.into() }
    }

    /// Returns whether a client shows itself by `Basic`. Browsers send that along like a cookie, once they have it.
    pub fn is_by_basic(&self, headers: &HeaderMap) -> bool {
        let is_basic = |value: &HeaderValue| {
            let scheme = value.as_bytes().split(|byte| *byte == b' ').next();
            scheme.is_some_and(|word| word.eq_ignore_ascii_case(b"Basic"))
        };
        self.basic && headers.get(AUTHORIZATION).is_some_and(is_basic)
    }

    /// Returns whether a client shows a secret, and no token.
    pub fn is_by_secret(&self, headers: &HeaderMap) -> bool {
        self.is_by_basic(headers) || (self.has_header(headers) && !headers.contains_key(AUTHORIZATION))
    }

    /// Returns whether one of its headers is there.
    pub(super) fn has_header(&self, headers: &HeaderMap) -> bool {
        self.headers.iter().any(|name| headers.contains_key(name))
    }
}

/// A place where the customer's token may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CustomerTokenSource {
    /// A header, after a scheme word if there is one.
    Header(HeaderName, Option<String>),
    /// The session cookie.
    Session,
    /// A cookie that holds a JWT.
    Cookie(String),
    /// A member of the JSON body.
    Body(Pointer),
    /// `Authorization: Bearer`.
    Bearer,
}

impl CustomerTokenSource {
    /// `customer-auth: JWT TOKEN`.
    pub fn usual() -> Self {
        Self::Header(CUSTOMER_AUTH, Some("JWT".to_owned()))
    }

    /// Returns whether it is this header, with any scheme.
    pub fn is_header(&self, name: &HeaderName) -> bool {
        matches!(self, Self::Header(known, _) if known == name)
    }
}

/// The header of the API key.
#[derive(Debug, Clone)]
pub struct ApiKeyHeader {
    /// Its name.
    pub name: HeaderName,
    /// The word before the key.
    pub scheme: Option<String>,
}

impl Default for ApiKeyHeader {
    fn default() -> Self {
        Self { name: API_KEY, scheme: None }
    }
}
