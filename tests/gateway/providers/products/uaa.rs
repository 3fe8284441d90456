//! UAA and SAP's XSUAA: `jku` in each header, the key as PEM beside its numbers, `scope` as a list.

use serde_json::json;

use super::{Product, SYSTEM};

pub(super) const UAA: Product = Product {
    heading: "UAA and XSUAA",
    issuer: "https://example.authentication.eu10.hana.ondemand.com/oauth/token",
    jwk: |key, kid| {
        let mut jwk = key.jwk(kid);
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        jwk["value"] = json!("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----");
        jwk
    },
    header: |_, kid| {
        json!({
            "alg": "RS256", "jku": "https://example.authentication.eu10.hana.ondemand.com/token_keys", "kid": kid,
            "typ": "JWT", "jid": "JcX",
        })
    },
    metadata: || json!({}),
    customer: || {
        json!({
            "jti": "6ab4", "ext_attr": {"enhancer": "XSUAA", "zdn": "example"}, "xs.system.attributes": {}, "sub": "s",
            "user_id": "u", "user_name": "ann@example.com", "email": "ann@example.com", "origin": "sap.default",
            "scope": ["openid", "orders!t1234.read"], "client_id": "sb-web!t1", "cid": "sb-web!t1", "azp": "sb-web!t1",
            "grant_type": "authorization_code", "rev_sig": "2a1f", "iss": UAA.issuer, "zid": "z1",
            "aud": ["orders!t1234", "sb-web!t1", "openid"],
        })
    },
    subject: "user_id",
    system: || {
        json!({
            "jti": "6ab5", "ext_attr": {"enhancer": "XSUAA"}, "sub": SYSTEM, "authorities": ["orders.read"],
            "scope": ["orders.read"], "client_id": SYSTEM, "cid": SYSTEM, "azp": SYSTEM, "grant_type": "client_credentials",
            "rev_sig": "2a1f", "iss": UAA.issuer, "zid": "z1", "aud": ["orders!t1234", SYSTEM],
        })
    },
    scopes: "scope",
};
