//! Auth0: an issuer with a slash at its end, several audiences, keys with a certificate.

use serde_json::json;

use super::{Product, SYSTEM};
use crate::harness::keys::base64;

pub(super) const AUTH0: Product = Product {
    heading: "Auth0",
    issuer: "https://example.eu.auth0.com/",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        (jwk["x5t"], jwk["x5c"]) = (json!(key.x5t()), json!([base64(&key.certificate)]));
        jwk
    },
    header: |_, kid| json!({"alg": "RS256", "typ": "JWT", "kid": kid}),
    metadata: || json!({"device_authorization_endpoint": "https://example.eu.auth0.com/oauth/device/code"}),
    customer: || {
        json!({
            "iss": AUTH0.issuer, "sub": "auth0|x", "aud": ["https://api.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "web-shop", "scope": "openid profile orders.read", "https://example.com/tier": "gold",
        })
    },
    subject: "sub",
    system: || {
        json!({
            "iss": AUTH0.issuer, "sub": format!("{SYSTEM}@clients"), "aud": "https://api.example.com", "azp": SYSTEM,
            "gty": "client-credentials", "scope": "orders.read",
        })
    },
    scopes: "scope",
};
