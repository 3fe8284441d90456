//! A TLS scanner, OAuth and JWT libraries as clients.

use crate::harness::python::python;
use crate::harness::*;

fn scan(gateway: &Gateway) -> String {
    let ca = gateway.files.path.join("certs/ca.pem");
    python("tls_scan.py", &["localhost", &gateway.address.port().to_string(), ca.to_str().unwrap()])
}

#[test]
fn sslyze_finds_tls_1_3_only_and_mozillas_intermediate_profile() {
    let (_backend, gateway) = world();
    let said = scan(&gateway);
    assert!(said.contains("'tls_1_2': 0, 'tls_1_3': 3"), "{said}");
}

#[test]
fn sslyze_finds_the_same_profile_where_tls_1_2_is_let_in() {
    let (_backend, gateway) = world_with(|c| c.set("/listen/0/tls/min_version", json!("1.2")));
    let said = scan(&gateway);
    assert!(said.contains("'tls_1_1': 0, 'tls_1_2': 2, 'tls_1_3': 3"), "{said}");
}

/// Secrets with the characters that Basic and forms treat in their own ways (RFC 6749 section 2.3.1).
const AWKWARD: [&str; 2] = [CLIENT.secret, "a%2Bb+c:d&e=f \u{e9}"];

#[test]
fn an_oauth_library_gets_tokens_in_both_number_styles_with_any_secret() {
    for (style, secret) in [("string", AWKWARD[0]), ("number", AWKWARD[1])] {
        let (_backend, gateway) = world_with(|c| {
            c.set("/access_token/number_style", json!(style)).set("/clients/0/secrets", json!([keys::argon2id(secret)]))
        });
        let base = format!("https://localhost:{}", gateway.address.port());
        let ca = gateway.files.path.join("certs/ca.pem");
        python("oauth_client.py", &[&base, ca.to_str().unwrap(), CLIENT.name, secret, "/system/x"]);
    }
}

#[test]
fn an_oauth_library_gets_looks_at_and_revokes_tokens_with_a_key_of_its_own() {
    let ec = keys::TokenKey::generate();
    let (rsa, public) = keys::rsa("one");
    let signers = [("ES256", &ec.pem, ec.jwk("one")), ("RS256", &rsa, public)];
    let (_backend, gateway) = world_with(|mut config| {
        for (algorithm, pem, jwk) in &signers {
            let file = format!("certs/{algorithm}.json");
            // Authlib's assertions are good for an hour.
            let client = json!({
                "id": algorithm, "jwks": {"file": file}, "scopes": ["profile"], "assertion_lifetime": "1h",
            });
            config.yaml["clients"].as_array_mut().unwrap().push(client);
            let jwks = json!({"keys": [jwk]}).to_string();
            config = config.file(&file, &jwks).file(&format!("certs/{algorithm}.pem"), pem);
        }
        config
    });
    let base = format!("https://localhost:{}", gateway.address.port());
    let path = |name: &str| gateway.files.path.join("certs").join(name).to_str().unwrap().to_owned();
    for (algorithm, ..) in &signers {
        let (ca, key) = (path("ca.pem"), path(&format!("{algorithm}.pem")));
        python("oauth_key_client.py", &[&base, &ca, algorithm, &key, algorithm, "https://gateway.test", "/system/x"]);
    }
}

#[test]
fn pyjwt_makes_proofs_of_possession_that_are_taken_once() {
    let (_backend, gateway) = world_with(|c| c.route("system", "dpop", json!("required")));
    let ca = gateway.files.path.join("certs/ca.pem");
    let base = format!("https://localhost:{}", gateway.address.port());
    let args = [&base, ca.to_str().unwrap(), CLIENT.name, CLIENT.secret, "/system/x"];
    assert_eq!(python("dpop_client.py", &args).trim(), "ok");
}
