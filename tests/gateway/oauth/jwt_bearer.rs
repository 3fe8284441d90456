//! The JWT bearer grant (RFC 7523): a client hands in a customer's token as an assertion.

use super::revocation_and_introspection::oauth_error;
use super::token_exchange::{ISSUER, routes, with_jwks};
use crate::harness::customer::member;
use crate::harness::identity_provider::{IdentityProvider, token, token_with};
use crate::harness::keys::{TokenKey, decode, now};
use crate::harness::*;

fn ask(gateway: &Gateway, more: &str) -> Request {
    let kind = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let credentials = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    gateway.post("/oauth/access_token").form(&format!("grant_type={kind}&{credentials}{more}"))
}

#[test]
fn an_assertion_of_a_trusted_issuer_gives_a_token_with_the_same_identifier() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|c| routes(c.trust(ISSUER, &key)));
    let theirs = token(&key, "partner-1", ISSUER, "ann");
    gateway.get("/me/x").customer(&theirs).send().ok();
    let identifier = backend.last().header("X-Customer-Id").unwrap().to_owned();
    let answer = ask(&gateway, &format!("&assertion={theirs}&scope=profile")).send().ok();
    let given = answer.json();
    assert_eq!((&given["token_type"], &given["scope"]), (&json!("Bearer"), &json!("profile")));
    assert!(given.get("issued_token_type").is_none());
    let ours = member(&answer, "access_token");
    let claims = decode(&ours).1;
    assert_eq!((&claims["sub"], &claims["act"]), (&json!(identifier), &json!({"sub": CLIENT.name})));
    gateway.get("/both/x").bearer(&gateway.client_token()).customer(&ours).send().ok();
    gateway.get("/both/x").bearer(&gateway.token(OTHER_CLIENT)).customer(&ours).send().expect(401, "401-03");
    gateway.post("/auth/logout").customer(&theirs).send().expect(204, "");
    gateway.get("/me/x").customer(&ours).send().expect(401, "401-03");
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    let kinds = metadata["grant_types_supported"].as_array().unwrap().clone();
    assert!(kinds.contains(&json!("urn:ietf:params:oauth:grant-type:jwt-bearer")), "{metadata}");
}

#[test]
fn a_bad_assertion_is_an_invalid_grant() {
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let (_backend, gateway) = world_with(|c| routes(c.trust(ISSUER, &key)));
    let with = |change: fn(&mut Value)| token_with(&key, "partner-1", ISSUER, "ann", change);
    for assertion in [
        "x",
        &token(&other, "partner-1", ISSUER, "ann"),
        &with(|claims| claims["exp"] = json!(now() - 60)),
        &with(|claims| claims["aud"] = json!("others")),
        &with(|claims| claims["cnf"] = json!({"jkt": keys::base64url(&[7; 32])})),
        &gateway.token(CLIENT),
    ] {
        oauth_error(ask(&gateway, &format!("&assertion={assertion}")).send(), 400, "invalid_grant");
    }
    oauth_error(ask(&gateway, "").send(), 400, "invalid_request");
    let missing = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={}", with(|_| {}));
    oauth_error(gateway.post("/oauth/access_token").form(&missing).send(), 401, "invalid_client");
}

#[test]
fn without_customers_there_is_no_such_grant() {
    let (_backend, gateway) = world_with(|mut c| {
        c.yaml["routes"].as_array_mut().unwrap().retain(|route| !route.to_string().contains("customer"));
        c.yaml["api_keys"] = json!([]);
        c.yaml["routes"].as_array_mut().unwrap().retain(|route| route["name"] != "key");
        c.without("/login").without("/identifier")
    });
    let answer = ask(&gateway, "&assertion=x").send();
    assert!(answer.json()["error_description"].as_str().unwrap().ends_with("accepted: client_credentials."));
    oauth_error(answer, 400, "unsupported_grant_type");
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!(metadata["grant_types_supported"], json!(["client_credentials"]));
}

#[test]
fn keys_that_cannot_be_had_are_no_bad_assertion() {
    let key = TokenKey::generate();
    let address = IdentityProvider::start(&[]).die();
    let (_backend, gateway) = world_with(|c| with_jwks(routes(c), &format!("http://{address}/jwks")));
    let asked = ask(&gateway, &format!("&assertion={}", token(&key, "one", ISSUER, "ann")));
    oauth_error(asked.send(), 503, "temporarily_unavailable");
}
