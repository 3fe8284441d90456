//! Keycloak: a set with a key for encryption, the claim `typ`, service accounts that look like users.

use serde_json::json;

use super::{Product, SYSTEM};
use crate::harness::keys::base64;

pub(super) const KEYCLOAK: Product = Product {
    heading: "Keycloak",
    issuer: "https://sso.example.com/realms/customers",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        (jwk["x5t"], jwk["x5c"]) = (json!(key.x5t()), json!([base64(&key.certificate)]));
        jwk["x5t#S256"] = json!("not-looked-at-beside-a-kid");
        jwk
    },
    header: |_, kid| json!({"alg": "RS256", "typ": "JWT", "kid": kid}),
    metadata: || json!({"backchannel_logout_supported": true, "backchannel_logout_session_supported": true}),
    customer: || {
        json!({
            "jti": "onrtac:1", "iss": KEYCLOAK.issuer, "aud": ["orders-api", "account"], "sub": "s", "typ": "Bearer",
            "azp": "web-shop", "sid": "0fd1", "acr": "1", "allowed-origins": ["https://shop.example.com"],
            "realm_access": {"roles": ["offline_access"]}, "resource_access": {"account": {"roles": ["view-profile"]}},
            "scope": "openid email", "email_verified": true, "preferred_username": "ann", "email": "ann@example.com",
        })
    },
    subject: "sub",
    system: || {
        json!({
            "jti": "trrtcc:1", "iss": KEYCLOAK.issuer, "aud": "orders-api", "sub": "5b1a", "typ": "Bearer", "azp": SYSTEM,
            "acr": "1", "scope": "profile orders.read", "clientHost": "192.0.2.7", "client_id": SYSTEM,
            "clientAddress": "192.0.2.7", "preferred_username": "service-account-reporting-job",
        })
    },
    scopes: "scope",
};
