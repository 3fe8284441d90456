//! Okta: `cid` is the client, `uid` the user, `scp` a list. Headers have no `typ`.

use serde_json::json;

use super::{Product, SYSTEM};

pub(super) const OKTA: Product = Product {
    heading: "Okta",
    issuer: "https://example.okta.com/oauth2/default",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        jwk
    },
    header: |_, kid| json!({"kid": kid, "alg": "RS256"}),
    metadata: || json!({"request_parameter_supported": true}),
    customer: || {
        json!({
            "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": OKTA.issuer, "aud": "api://default",
            "cid": "0oahdke5q7hRYkVbH0h7", "uid": "u", "scp": ["openid", "orders.read"], "auth_time": 1,
            "sub": "ann@example.com", "groups": ["Everyone"],
        })
    },
    subject: "uid",
    system: || {
        json!({
            "ver": 1, "jti": "AT.RaT2", "iss": OKTA.issuer, "aud": "api://default", "cid": SYSTEM, "scp": ["orders.read"],
            "sub": SYSTEM,
        })
    },
    scopes: "scp",
};
