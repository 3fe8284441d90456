//! Forward auth, compiled: the proxies that may ask, and the fields that they send.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use super::Target;
use super::stripped_headers::{credential_fields, own_fields};
use crate::config::raw::Raw;
use crate::fields::FieldSet;

/// The path that Envoy asks at.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Fields of claims that Envoy writes itself, with those of [`OF_ENVOY`]: what callers send of them it has taken away.
const BY_ENVOY: [&str; 5] =
    ["x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-request-id"];

/// Prefix of Envoy's own fields; those of the original request do not have it.
const OF_ENVOY: &str = "x-envoy-";
const ASKED_OF_ENVOY: &str = "x-envoy-original-";

/// A decision endpoint for other proxies.
#[derive(Debug)]
pub struct ForwardAuth {
    path: String,
    grpc: bool,
    allow: Vec<IpNet>,
    /// It has a listener of its own.
    is_apart: bool,
    /// Fields that carry a credential, as configured.
    credentials: Vec<HeaderName>,
    /// Fields that carry a credential or that only the gateway may write, in any spelling.
    withheld: FieldSet,
    /// Fields by which a caller says something of itself or of its request.
    claims: FieldSet,
}

impl ForwardAuth {
    /// As configured.
    pub(super) fn read(raw: &Raw) -> Option<Self> {
        let forward_auth = raw.forward_auth.as_ref()?;
        let (credentials, own) = (credential_fields(raw), own_fields(raw));
        let mut withheld = FieldSet::default();
        credentials.iter().chain(&own).for_each(|name| withheld.insert(name));
        let credentials = credentials.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
        Some(Self {
            path: forward_auth.path.clone(),
            grpc: forward_auth.grpc,
            allow: forward_auth.allow.clone(),
            is_apart: raw.listen.iter().any(|listen| listen.forward_auth),
            credentials,
            withheld,
            claims: FieldSet::of_claims(),
        })
    }

    /// The target at this path. It goes before all routes: a response here is taken for a decision.
    pub fn target(&self, path: &str) -> Option<Target> {
        match path {
            CHECK if self.grpc => Some(Target::ExtAuthz),
            path if path == self.path => Some(Target::ForwardAuth),
            _ => None,
        }
    }

    /// Returns whether this address may ask.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&address))
    }

    /// Returns whether it answers on a listener of its own, and nowhere else.
    pub fn is_apart(&self) -> bool {
        self.is_apart
    }

    /// Returns whether a field is not forwarded: a credential, or one that only the gateway may write, in any spelling.
    pub fn withholds(&self, name: &HeaderName) -> bool {
        self.withheld.contains(name)
    }

    /// Returns whether a field, in any spelling, claims an identity, an address or a target of the caller, and Envoy
    /// does not write it itself.
    pub fn is_claim_behind_envoy(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let is_envoys = BY_ENVOY.contains(&text) || (text.starts_with(OF_ENVOY) && !text.starts_with(ASKED_OF_ENVOY));
        !is_envoys && self.claims.contains(name)
    }

    /// Returns whether no caller may send this field: only the gateway may write it, or it is a credential misspelt.
    pub fn forbids(&self, name: &HeaderName) -> bool {
        self.withheld.contains(name) && !self.credentials.contains(name)
    }
}
