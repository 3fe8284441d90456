//! Amazon Cognito: access tokens without `aud` and without `typ`; a `kid` that ends with an equals sign.

use serde_json::json;

use super::{Product, SYSTEM};

pub(super) const COGNITO: Product = Product {
    heading: "Amazon Cognito",
    issuer: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE",
    jwk: |key, kid| {
        let mut jwk = key.jwk(&format!("{kid}="));
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        jwk
    },
    header: |_, kid| json!({"kid": format!("{kid}="), "alg": "RS256"}),
    metadata: || json!({"subject_types_supported": ["public"]}),
    customer: || {
        json!({
            "sub": "s", "cognito:groups": ["eu-central-1_EXAMPLE_Google"], "iss": COGNITO.issuer, "version": 2,
            "client_id": "7rfa9gp1example", "origin_jti": "aaaa", "event_id": "bbbb", "token_use": "access",
            "scope": "openid orders/read", "auth_time": 1_676_313_851, "jti": "cccc", "username": "ann",
        })
    },
    subject: "sub",
    system: || {
        json!({
            "sub": SYSTEM, "token_use": "access", "scope": "orders.read", "auth_time": 1_676_313_851, "iss": COGNITO.issuer,
            "version": 2, "jti": "dddd", "client_id": SYSTEM,
        })
    },
    scopes: "scope",
};
