//! Microsoft Entra ID: tokens of version 2.0 and 1.0. Keys have no `alg`, and their `kid` is `x5t`.

use serde_json::{Value, json};

use super::{Product, SYSTEM};
use crate::harness::keys::{RsaKey, base64};

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";

pub(super) const V2: Product = Product {
    heading: "Entra ID, v2.0 tokens",
    issuer: "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
    jwk,
    header: |_, kid| json!({"typ": "JWT", "alg": "RS256", "kid": kid}),
    metadata: || json!({}),
    customer: || {
        json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "iss": V2.issuer, "aio": "AXQAi/8IAAAA", "azp": "web-shop",
            "azpacr": "0", "name": "Ann Ant", "oid": "o", "preferred_username": "ann@example.com", "rh": "0.AAAAAAAA.",
            "scp": "orders.read orders.write", "sid": "00aa", "sub": "pairwise", "tid": TENANT, "uti": "kPzQ2u", "ver": "2.0",
        })
    },
    subject: "oid",
    system: || {
        json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3", "iss": V2.issuer, "aio": "E2RgYGg", "azp": SYSTEM, "azpacr": "1",
            "idtyp": "app", "oid": "service-principal", "rh": "0.AAAAAAAA.", "roles": ["orders.read"],
            "sub": "service-principal", "tid": TENANT, "uti": "kPzQ2v", "ver": "2.0",
        })
    },
    scopes: "roles",
};

pub(super) const V1: Product = Product {
    heading: "Entra ID, v1.0 tokens",
    issuer: "https://sts.windows.net/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/",
    jwk,
    header: |_, kid| json!({"typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid}),
    metadata: || json!({}),
    customer: || {
        json!({
            "aud": "api://orders", "iss": V1.issuer, "acr": "1", "amr": ["pwd"], "appid": "web-shop", "appidacr": "0",
            "ipaddr": "203.0.113.7", "oid": "o", "scp": "orders.read", "sub": "pairwise", "tid": TENANT,
            "unique_name": "ann@example.com", "upn": "ann@example.com", "uti": "kPzQ2u", "ver": "1.0",
        })
    },
    subject: "oid",
    system: || {
        json!({
            "aud": "api://orders", "iss": V1.issuer, "appid": SYSTEM, "appidacr": "1", "idp": V1.issuer, "idtyp": "app",
            "oid": "service-principal", "roles": ["orders.read"], "sub": "service-principal", "tid": TENANT, "ver": "1.0",
        })
    },
    scopes: "roles",
};

fn jwk(key: &RsaKey, kid: &str) -> Value {
    let mut jwk = key.jwk(kid);
    jwk["use"] = json!("sig");
    jwk["x5t"] = json!(kid);
    jwk["x5c"] = json!([base64(&key.certificate)]);
    jwk["cloud_instance_name"] = json!("microsoftonline.com");
    jwk["issuer"] = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
    jwk
}
