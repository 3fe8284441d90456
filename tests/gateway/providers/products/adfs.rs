//! ADFS: keys found by the thumbprint of their certificate, an issuer beside that of the metadata.

use serde_json::json;

use super::{Product, SYSTEM};
use crate::harness::keys::base64;

pub(super) const ADFS: Product = Product {
    heading: "ADFS",
    issuer: "http://adfs.example.com/adfs/services/trust",
    jwk: |key, _| {
        let mut jwk = key.jwk(&key.x5t());
        (jwk["alg"], jwk["use"]) = (json!("RS256"), json!("sig"));
        (jwk["x5t"], jwk["x5c"]) = (json!(key.x5t()), json!([base64(&key.certificate)]));
        jwk
    },
    header: |key, _| json!({"typ": "JWT", "alg": "RS256", "x5t": key.x5t()}),
    metadata: || {
        json!({
            "issuer": "https://adfs.example.com/adfs", "access_token_issuer": "http://adfs.example.com/adfs/services/trust",
            "microsoft_multi_refresh_token": true,
        })
    },
    customer: || {
        json!({
            "aud": "microsoft:identityserver:orders", "iss": ADFS.issuer, "apptype": "Public", "appid": "web-shop",
            "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport", "ver": "1.0",
            "scp": "openid orders.read", "sub": "s", "auth_time": "2026-11-27T08:12:13.402Z",
        })
    },
    subject: "sub",
    system: || {
        json!({
            "aud": "microsoft:identityserver:orders", "iss": ADFS.issuer, "apptype": "Confidential", "appid": SYSTEM,
            "authmethod": "http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password", "ver": "1.0",
            "scp": "orders.read",
        })
    },
    scopes: "scp",
};
