//! Refusals of DPoP proofs.

use super::Provoked;
use crate::auth::dpop::Proof;
use crate::harness::keys::{TokenKey, base64url, now};
use crate::harness::*;
use crate::oauth::private_key_jwt::{ask, assertion, in_file};

pub(super) const WORDS: &[&[&str]] = &[PROOFS, SHARE];

const PROOFS: &[&str] = &[
    "dpop_missing",
    "dpop_malformed",
    "dpop_type",
    "dpop_algorithm",
    "dpop_signature",
    "dpop_method",
    "dpop_target",
    "dpop_time",
    "dpop_token",
    "dpop_key",
    "dpop_used",
    "dpop_scheme",
    "dpop_unbound",
];

const SHARE: &[&str] = &["replay_share"];

#[test]
fn words_of_dpop_proofs() {
    let (_backend, gateway) = world_with(|c| c.route("system", "dpop", json!("required")));
    let provoked = Provoked::at(&gateway);
    let (key, other) = (TokenKey::generate(), TokenKey::generate());
    let proof = Proof::new(&key, "POST", "/oauth/access_token").text();
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", &proof).send().ok();
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    let call = || gateway.get("/system/x").header("Authorization", &format!("DPoP {token}"));
    let good = || Proof::new(&key, "GET", "/system/x").with(&token);
    let with = |change: &dyn Fn(&mut Proof<'_>)| {
        let mut proof = good();
        change(&mut proof);
        call().header("DPoP", &proof.text())
    };
    provoked.sent("dpop_missing", &call());
    provoked.sent("dpop_malformed", &call().header("DPoP", "abc"));
    provoked.sent("dpop_type", &with(&|proof| proof.header["typ"] = json!("JWT")));
    provoked.sent("dpop_algorithm", &with(&|proof| proof.header["alg"] = json!("HS256")));
    let text = good().text();
    provoked.sent("dpop_signature", &call().header("DPoP", &format!("{}AAAA", &text[..text.len() - 4])));
    provoked.sent("dpop_method", &with(&|proof| proof.claims["htm"] = json!("POST")));
    provoked.sent("dpop_target", &with(&|proof| proof.claims["htu"] = json!("https://localhost/accounts")));
    provoked.sent("dpop_time", &with(&|proof| proof.claims["iat"] = json!(now() - 600)));
    provoked.sent("dpop_token", &with(&|proof| proof.claims["ath"] = json!(base64url(&[0; 32]))));
    let stolen = Proof::new(&other, "GET", "/system/x").with(&token).text();
    provoked.sent("dpop_key", &call().header("DPoP", &stolen));
    let once = call().header("DPoP", &good().text());
    once.send().ok();
    provoked.sent("dpop_used", &once);
    provoked.sent("dpop_scheme", &gateway.get("/system/x").bearer(&token).header("DPoP", &good().text()));
    provoked.sent("dpop_unbound", &gateway.get("/system/x").bearer(&gateway.client_token()));
    provoked.are(PROOFS);
}

#[test]
fn the_word_of_a_client_that_fills_the_ids_that_are_good_once() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|config| {
        in_file(config, &[key.jwk("one")]).set("/state/embedded", json!({"path": "data/", "max_replay_ids": 20}))
    });
    let provoked = Provoked::at(&gateway);
    let mut answer = ask(&gateway, &assertion(&key, |_| {}));
    for _ in 0..20 {
        if answer.status != 200 {
            break;
        }
        answer = ask(&gateway, &assertion(&key, |_| {}));
    }
    provoked.answered("replay_share", &answer);
    provoked.are(SHARE);
}
