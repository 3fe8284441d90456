//! The gateway's own signing keys: JWKS, algorithms, several processes.

use crate::harness::keys::decode;
use crate::harness::*;

#[test]
fn the_public_keys_are_published_and_nothing_private() {
    let (backend, gateway) = world();
    let answer = gateway.get("/.well-known/jwks.json").send().ok();
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 1);
    let kid = decode(&gateway.customer_token()).0["kid"].clone();
    assert_eq!((&keys[0]["kid"], &keys[0]["kty"], &keys[0]["alg"]), (&kid, &json!("EC"), &json!("ES256")));
    let own = gateway.signing_key.jwk("x");
    assert_eq!((&keys[0]["x"], &keys[0]["y"]), (&own["x"], &own["y"]));
    assert!(keys[0].get("d").is_none() && keys[0].get("k").is_none());
    let pem = gateway.get("/.well-known/jwks.pem").send().ok().text();
    assert!(pem.contains("-----BEGIN ") && !pem.contains("PRIVATE"), "{pem}");
    let text = answer.text();
    let verifier =
        jsonwebtoken::DecodingKey::from_ec_components(keys[0]["x"].as_str().unwrap(), keys[0]["y"].as_str().unwrap())
            .unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.set_audience(&["legacy-api"]);
    let verified = jsonwebtoken::decode::<Value>(gateway.customer_token(), &verifier, &rules);
    assert!(verified.is_ok(), "{text}: {:?}", verified.err());
    backend.assert_untouched();
}

#[test]
fn a_token_is_good_for_another_process_with_the_same_keys() {
    let (_backend, gateway) = world();
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    let gateway = gateway.restart();
    gateway.get("/me/x").customer(&customer).send().ok();
    gateway.get("/system/x").bearer(&client).send().ok();
}

#[test]
fn a_token_of_another_environment_is_401() {
    let (_sandbox_backend, sandbox) = world_with(|c| c.set("/issuer/url", json!("https://sandbox.test")));
    let (backend, production) = world();
    production.get("/me/x").customer(&sandbox.customer_token()).send().expect(401, "401-03");
    production.get("/system/x").bearer(&sandbox.client_token()).send().expect(401, "401-11");
    backend.assert_untouched();
}

#[test]
fn each_algorithm_signs_and_a_new_key_takes_over_without_a_restart() {
    let (_backend, gateway) = world_with(|config| config.set("/issuer/publish_delay", json!("0s")));
    let mut tokens = vec![gateway.login(ALICE)];
    for (algorithm, name) in [("rs256", "RS256"), ("eddsa", "EdDSA")] {
        let (code, said, _) = gateway.files.run(&["new", "signing-key", "--algorithm", algorithm]);
        assert_eq!(code, 0);
        gateway.files.write(&format!("certs/signing/2026020{}T000000Z-{algorithm}.pem", tokens.len()), &said);
        gateway.hup("reloaded");
        let token = gateway.login(ALICE);
        assert_eq!(decode(&token).0["alg"], name);
        tokens.push(token);
        for token in &tokens {
            gateway.get("/me/x").customer(token).send().ok();
        }
    }
    let jwks = gateway.get("/.well-known/jwks.json").send().ok().json();
    let kinds: Vec<&str> = jwks["keys"].as_array().unwrap().iter().map(|key| key["kty"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["EC", "RSA", "OKP"]);
    let pem = gateway.get("/.well-known/jwks.pem").send().ok().text();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 3);
}

#[test]
fn a_key_of_an_issuer_that_cannot_be_used_is_told_at_the_start() {
    let partner = keys::TokenKey::generate();
    let mut weak = keys::TokenKey::generate().jwk("for-encryption");
    weak["use"] = json!("enc");
    let set = json!({"keys": [partner.jwk("partner-1"), weak]});
    let (_backend, gateway) =
        world_with(|c| c.trust("https://partner.test", &partner).file("certs/partner.json", &set.to_string()));
    let told = gateway.stderr.all().into_iter().any(|line| line.contains("for-encryption") && line.contains("WARN"));
    assert!(told, "{:#?}", gateway.stderr.all());
}
