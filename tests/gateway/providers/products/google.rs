//! Google: ID tokens, whose issuer is written with and without its scheme.

use serde_json::{Value, json};

use super::Product;

pub(super) const GOOGLE: Product = Product {
    heading: "Google",
    issuer: "https://accounts.google.com",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        jwk
    },
    header: |_, kid| json!({"alg": "RS256", "kid": kid, "typ": "JWT"}),
    metadata: || json!({}),
    customer: || {
        json!({
            "iss": "accounts.google.com", "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com", "sub": "10769150350006150715113082367", "hd": "example.com",
            "email": "ann@example.com", "email_verified": true, "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        })
    },
    subject: "sub",
    system: || Value::Null,
    scopes: "scope",
};
