//! Refusals of the token endpoint and its neighbours.

use super::Provoked;
use crate::harness::gateway::form_encode;
use crate::harness::login_page::{CALLBACK, code, query, redeem, redeem_as, with_codes};
use crate::harness::*;
use crate::login::lockout::from;

pub(super) const WORDS: &[&[&str]] = &[REQUESTS, GUESSES, CODES];

const REQUESTS: &[&str] = &[
    "parameter_missing",
    "parameter_repeated",
    "parameter_not_supported",
    "secret_in_query",
    "grant_type",
    "unknown_client",
    "wrong_client_secret",
    "client_authentication",
    "client_authentication_missing",
    "client_authentication_malformed",
    "unauthorized_client",
    "scope_not_allowed",
    "resource_not_allowed",
];

const GUESSES: &[&str] = &["token_rate", "token_locked"];

const CODES: &[&str] =
    &["refresh_token", "refresh_token_reused", "authorization_code", "authorization_code_reused", "code_verifier"];

const TOKEN: &str = "/oauth/access_token";

#[test]
fn words_of_token_requests() {
    let (_backend, gateway) = world_with(|c| c.set("/clients/1/grant_types", json!(["client_credentials"])));
    let provoked = Provoked::at(&gateway);
    let id = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let grant = "grant_type=client_credentials";
    let form = |form: &str| gateway.post(TOKEN).form(form);
    let exchange = form_encode("urn:ietf:params:oauth:grant-type:token-exchange");
    let saml = form_encode("urn:ietf:params:oauth:token-type:saml2");
    provoked.sent("parameter_missing", &form(&id));
    provoked.sent("parameter_repeated", &form(&format!("{grant}&{grant}&{id}")));
    let token = gateway.customer_token();
    let of_saml = format!("grant_type={exchange}&{id}&subject_token={token}&subject_token_type={saml}");
    provoked.sent("parameter_not_supported", &form(&of_saml));
    provoked.sent("secret_in_query", &gateway.post(&format!("{TOKEN}?client_secret={}", CLIENT.secret)).form(grant));
    provoked.sent("grant_type", &form(&format!("grant_type=password&{id}")));
    provoked.sent("unknown_client", &gateway.token_request("nobody", "secret"));
    provoked.sent("wrong_client_secret", &gateway.token_request(CLIENT.name, "wrong"));
    let basic = keys::base64(format!("{}:{}", CLIENT.name, CLIENT.secret).as_bytes());
    let twice = form(&format!("{grant}&{id}")).header("Authorization", &format!("Basic {basic}"));
    provoked.sent("client_authentication", &twice);
    provoked.sent("client_authentication_missing", &form(&format!("{grant}&client_id={}", CLIENT.name)));
    provoked.sent("client_authentication_malformed", &form(grant).header("Authorization", "Bearer abc"));
    let jwt = form_encode("urn:ietf:params:oauth:token-type:jwt");
    let of_other = format!("client_id={}&client_secret={}", OTHER_CLIENT.name, OTHER_CLIENT.secret);
    let not_its = format!("grant_type={exchange}&{of_other}&subject_token={token}&subject_token_type={jwt}");
    provoked.sent("unauthorized_client", &form(&not_its));
    provoked.sent("scope_not_allowed", &form(&format!("{grant}&{id}&scope=admin")));
    let resource = form_encode("https://other.example.com");
    provoked.sent("resource_not_allowed", &form(&format!("{grant}&{id}&resource={resource}")));
    provoked.are(REQUESTS);
}

#[test]
fn words_of_guesses_at_secrets() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
            .set("/access_token/limits", json!({"rate": "1/m", "burst": 3}))
            .set("/access_token/attempts", json!({"free": 1, "free_per_address": 50, "delay": "5m"}))
    });
    let provoked = Provoked::at(&gateway);
    // The same wrong secret is counted once.
    let guess = |address: &str, client: Account| {
        let wrong = keys::base64url(&keys::random::<12>());
        from(address, gateway.token_request(client.name, &wrong)).send()
    };
    let mut answer = guess("203.0.113.1", CLIENT);
    for _ in 0..3 {
        if answer.status != 429 {
            answer = guess("203.0.113.1", CLIENT);
        }
    }
    provoked.answered("token_locked", &answer);
    for address in ["203.0.113.1", "198.51.100.2", "192.0.2.3", "203.0.113.129", "198.51.100.130"] {
        answer = guess(address, OTHER_CLIENT);
        if answer.status == 429 {
            break;
        }
    }
    provoked.answered("token_rate", &answer);
    provoked.are(GUESSES);
}

#[test]
fn words_of_codes_and_refresh_tokens() {
    let (_backend, gateway) =
        world_with(|c| with_codes(c).set("/login/refresh", json!({"lifetime": "1h", "grace": "0s"})));
    let provoked = Provoked::at(&gateway);
    let id = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let refresh = |token: &str| gateway.post(TOKEN).form(&format!("grant_type=refresh_token&refresh_token={token}"));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok().json();
    let first = login["refresh_token"].as_str().unwrap().to_owned();
    let second = refresh(&first).send().ok().json()["refresh_token"].as_str().unwrap().to_owned();
    provoked.sent("refresh_token_reused", &refresh(&first));
    provoked.sent("refresh_token", &refresh(&second));
    let elsewhere = "https://app.test/other?tenant=a";
    let one = code(&gateway, &query(), ALICE);
    provoked.sent("authorization_code", &redeem_as(&gateway, &id, elsewhere, &one, login_page::VERIFIER));
    let two = code(&gateway, &query(), ALICE);
    provoked.sent("code_verifier", &redeem_as(&gateway, &id, CALLBACK, &two, &"x".repeat(43)));
    let three = redeem(&gateway, &code(&gateway, &query(), ALICE));
    three.send().ok();
    provoked.sent("authorization_code_reused", &three);
    provoked.are(CODES);
}
