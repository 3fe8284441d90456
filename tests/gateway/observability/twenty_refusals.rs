//! Twenty refusals as they happen to a company, and what the status page shows of each: docs/status-page.md, "Twenty
//! refusals".

use std::collections::BTreeSet;

use crate::harness::config::NARROW_API_KEY;
use crate::harness::identity_provider::{IdentityProvider, token_with};
use crate::harness::keys::TokenKey;
use crate::harness::*;

const PAGE: &str = include_str!("../../../docs/status-page.md");

const PARTNER: &str = "https://login.partner.test";
const SILENT: &str = "https://silent.partner.test";

/// A gateway with whatever can go wrong, its backend and what a partner signs with.
struct Company {
    backend: Backend,
    gateway: Gateway,
    partner: TokenKey,
    _provider: IdentityProvider,
}

fn company() -> Company {
    let partner = TokenKey::generate();
    let provider = IdentityProvider::start(&[partner.jwk("p1")]);
    let nobody = IdentityProvider::start(&[]);
    let silent = nobody.jwks_url();
    nobody.die();
    let issuer = |name: &str, url: &str| json!({"issuer": name, "jwks": url, "audiences": ["legacy-api"], "algorithms": ["ES256"]});
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/trusted_issuers", json!([issuer(PARTNER, &provider.jwks_url()), issuer(SILENT, &silent)]))
        .set("/backends/gone", json!({"servers": ["http://127.0.0.1:1"]}))
        .set("/backends/slow", json!({"servers": [backend.url()], "timeout": "200ms"}))
        .set("/listen/0/hosts", json!(["localhost", "127.0.0.1"]))
        .add_route(json!({"name": "gone", "path": "/gone/", "methods": ["GET"], "public": true, "backend": "gone"}))
        .add_route(json!({"name": "slow", "path": "/slow/", "methods": ["GET"], "public": true, "backend": "slow"}))
        .add_route(json!({"name": "often", "path": "/often/", "methods": ["GET"], "public": true, "backend": "legacy",
            "limits": {"rate": "1/m", "burst": 1}}))
        .add_route(json!({"name": "json", "path": "/json/", "methods": ["POST"], "public": true, "backend": "legacy",
            "content_types": ["application/json"], "limits": {"body": "1KiB"}}));
    let gateway = Gateway::start(&config);
    backend.on("/slow/x", Behaviour::Silent);
    backend.on("/public/denied", Behaviour::status(401));
    Company { backend, gateway, partner, _provider: provider }
}

impl Company {
    /// A token of this partner.
    fn partners(&self, issuer: &str, change: Value) -> String {
        token_with(&self.partner, "p1", issuer, "p-1", |claims| {
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        })
    }

    /// The request of each refusal, by its word.
    fn requests(&self) -> Vec<(&'static str, Request)> {
        let gateway = &self.gateway;
        let me = || gateway.get("/me/x");
        let mut other = gateway.profile();
        other = other.replace("Authorization", &format!("Bearer {}", gateway.token(OTHER_CLIENT)));
        let stranger = TokenKey::generate();
        let claims = keys::decode(&gateway.customer_token()).1;
        let foreign = stranger.sign(&json!({"alg": "ES256", "kid": "p9", "typ": "JWT"}), &{
            let mut foreign = claims.clone();
            foreign["iss"] = json!(PARTNER);
            foreign
        });
        vec![
            ("wrong_client_secret", gateway.token_request(CLIENT.name, "the-secret-of-last-year")),
            ("scope", other.replace("api-key", crate::harness::config::FREE_API_KEY)),
            ("api_key_route", gateway.profile().replace("api-key", NARROW_API_KEY)),
            ("api_key_missing", gateway.profile().drop_header("api-key")),
            ("client_token_missing", gateway.profile().drop_header("Authorization")),
            ("customer_token_missing", gateway.profile().drop_header("customer-auth")),
            (
                "customer_token_expired",
                me().customer(&self.partners(PARTNER, json!({"exp": keys::now() - 3_600, "iat": keys::now() - 7_200}))),
            ),
            ("customer_token_audience", me().customer(&self.partners(PARTNER, json!({"aud": "another-api"})))),
            ("customer_token_issuer", me().customer(&self.partners("https://login.partner.test/", json!({})))),
            ("customer_token_no_keys", me().customer(&self.partners(SILENT, json!({})))),
            ("customer_token_unknown_key", me().customer(&foreign)),
            ("customer_token_type", me().customer(&gateway.client_token())),
            ("no_route", gateway.post("/acount/getprofile")),
            ("method", gateway.get("/account/getprofile")),
            ("content_type", gateway.post("/json/x").header("Content-Type", "text/plain").body("a")),
            ("body_too_large", gateway.post("/json/x").json(&format!("{{\"a\":\"{}\"}}", "x".repeat(2_000)))),
            ("identifier_mismatch", gateway.profile().header("X-Customer-Id", "another")),
            ("backend_connect", gateway.get("/gone/x")),
            ("backend_timeout", gateway.get("/slow/x")),
            ("backend_credential", gateway.get("/public/denied")),
        ]
    }
}

/// The cells of the table in the documentation: word to what the page shows.
fn documented() -> Vec<(String, String)> {
    let rows = PAGE.lines().skip_while(|line| !line.contains("## Twenty refusals"));
    let rows = rows.filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (cells[0].trim().trim_end_matches('`').to_owned(), cells[2].trim().to_owned())
    })
    .collect()
}

#[test]
fn the_status_page_shows_the_cause_of_each_of_twenty_refusals() {
    let company = company();
    let (gateway, documented) = (&company.gateway, documented());
    let requests = company.requests();
    let words: BTreeSet<&str> = requests.iter().map(|(word, _)| *word).collect();
    assert_eq!(words, documented.iter().map(|(word, _)| word.as_str()).collect());
    assert_eq!(words.len(), 20);
    for (word, request) in requests {
        let answer = request.send();
        let id = answer.header("X-Request-Id").unwrap_or_else(|| panic!("{word}: {}", answer.everything())).to_owned();
        assert_eq!(gateway.access_line(&id)["refusal"], word, "{word}");
        let shown = gateway.admin(&format!("/refusals/{id}"));
        assert_eq!(shown.status, 200, "{word}: {}", shown.text());
        let text = shown.text();
        eventually(&format!("{word} on the page"), || {
            let page = gateway.admin("/").text();
            page.contains(&id) && page.contains(word)
        });
        let (_, seen) = documented.iter().find(|(known, _)| known == word).unwrap();
        for quoted in seen.split('`').skip(1).step_by(2) {
            assert!(text.contains(quoted), "{word}: {quoted:?} is not in {text}");
        }
    }
    drop(company.backend);
}
