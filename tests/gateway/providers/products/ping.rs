//! PingFederate: JSON web tokens of an access token manager, with a header parameter of its own.

use serde_json::json;

use super::{Product, SYSTEM};

pub(super) const PING_FEDERATE: Product = Product {
    heading: "PingFederate",
    issuer: "https://sso.example.com",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        jwk["use"] = json!("sig");
        jwk
    },
    header: |_, kid| json!({"alg": "RS256", "kid": kid, "pi.atm": "2"}),
    metadata: || json!({}),
    customer: || {
        json!({
            "scope": ["openid", "orders.read"], "client_id": "web-shop", "iss": PING_FEDERATE.issuer, "aud": "orders-api",
            "sub": "s", "jti": "x1",
        })
    },
    subject: "sub",
    system: || {
        json!({
            "scope": ["orders.read"], "client_id": SYSTEM, "iss": PING_FEDERATE.issuer, "aud": "orders-api", "jti": "x2",
        })
    },
    scopes: "scope",
};
