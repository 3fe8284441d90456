//! Proxies that ask before they forward.

use std::net::IpAddr;

use http::HeaderName;
use ipnet::IpNet;

use super::Target;
use super::stripped::identity_fields;
use crate::config::raw::Raw;
use crate::fields::FieldSet;

/// The path that Envoy asks at.
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// A decision endpoint for other proxies.
#[derive(Debug)]
pub struct ForwardAuth {
    path: String,
    grpc: bool,
    allow: Vec<IpNet>,
    /// Fields that carry a credential or an identity.
    identity: FieldSet,
    /// Their names, as configured.
    names: Vec<HeaderName>,
}

impl ForwardAuth {
    /// As configured.
    pub(super) fn read(raw: &Raw) -> Option<Self> {
        let forward_auth = raw.forward_auth.as_ref()?;
        let mut identity = FieldSet::default();
        let mut names = Vec::new();
        for name in identity_fields(raw) {
            identity.insert(&name);
            names.extend(HeaderName::from_bytes(name.as_bytes()));
        }
        let allow = forward_auth.allow.clone();
        Some(Self { path: forward_auth.path.clone(), grpc: forward_auth.grpc, allow, identity, names })
    }

    /// What is asked at this path. It goes before all routes: what answers here is taken for a decision.
    pub fn target(&self, path: &str) -> Option<Target> {
        match path {
            CHECK if self.grpc => Some(Target::ExtAuthz),
            path if path == self.path => Some(Target::ForwardAuth),
            _ => None,
        }
    }

    /// Whether this address may ask.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&address))
    }

    /// Whether a field carries a credential or an identity, in whatever spelling.
    pub fn is_identity(&self, name: &HeaderName) -> bool {
        self.identity.contains(name)
    }

    /// Whether it does so in another spelling than the configured one.
    pub fn is_odd_identity(&self, name: &HeaderName) -> bool {
        self.identity.contains(name) && !self.names.contains(name)
    }
}
