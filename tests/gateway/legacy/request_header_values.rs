//! Values of `request_headers.set` that are proved.

use crate::harness::identity_provider::token_with;
use crate::harness::keys::TokenKey;
use crate::harness::*;

const PARTNER: &str = "https://login.example.com";

/// Lets backends know these claims of the partner's tokens.
fn forwarding(config: Config, key: &TokenKey, claims: Value) -> Config {
    config.trust(PARTNER, key).set("/trusted_issuers/0/forward_claims", claims)
}

#[test]
fn the_ids_of_client_key_and_request_are_written_whatever_the_caller_says() {
    let (backend, gateway) = world_with(|config| {
        config
            .route("profile", "request_headers", json!({"set": {
                "X-Client": "partner ${client.id}", "X-Key": "${api_key.id}", "X-Trace": "${request.id}/${client.id}",
                "X-Literal": "$${client.id} $$ $5",
            }}))
            .set("/backends/legacy/request_headers", json!({"set": {"X-Key": "none", "X-Zone": "${request.id}"}}))
    });
    let answer = gateway.profile().header("X-Client", "root").header("x_client", "root").header("X.Key", "root").send();
    let id = answer.ok().header("X-Request-Id").unwrap().to_owned();
    let seen = backend.only();
    let own = seen.lines.iter().filter(|(_, value)| value.contains("root")).count();
    assert_eq!(own, 0, "{:?}", seen.lines);
    assert_eq!(seen.all("X-Client"), ["partner asapp"]);
    assert_eq!(seen.all("X-Key"), ["asapp-prod"]);
    assert_eq!(seen.all("X-Trace"), [format!("{id}/asapp")]);
    assert_eq!(seen.all("X-Literal"), ["${client.id} $$ $5"]);
    assert_eq!(seen.all("X-Zone"), [id]);
}

#[test]
fn claims_that_the_issuers_entry_lists_reach_the_backend_and_no_others() {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|config| {
        forwarding(config, &key, json!(["email_verified", "tier", "/realm/level", "roles"])).route(
            "me",
            "request_headers",
            json!({"set": {
                "X-Verified": "${claims.email_verified}", "X-Tier": "${claims.tier}", "X-Roles": "${claims.roles}",
                "X-Level": "level ${claims./realm/level}",
            }}),
        )
    });
    let token = |change: &dyn Fn(&mut Value)| token_with(&key, "partner-1", PARTNER, "4711", change);
    let send = |token: &str| {
        gateway.get("/me/x").customer(token).header("X-Tier", "root").header("x_tier", "root").send().ok();
        backend.last()
    };
    let full = token(&|claims| {
        claims["email_verified"] = json!(true);
        claims["tier"] = json!("gold, silver");
        claims["roles"] = json!(["a", "b"]);
        claims["realm"] = json!({"level": 3});
    });
    // The second time by the cache.
    for _ in 0..2 {
        let seen = send(&full);
        assert_eq!(seen.all("X-Verified"), ["true"]);
        assert_eq!(seen.all("X-Tier"), ["gold, silver"]);
        assert_eq!(seen.all("X-Roles"), [r#"["a","b"]"#]);
        assert_eq!(seen.all("X-Level"), ["level 3"]);
    }
    for bad in
        [json!("x\r\nX-Admin: 1"), json!("J\u{fc}rg"), json!(" x"), json!(""), json!(null), json!("x".repeat(2000))]
    {
        let seen = send(&token(&|claims| claims["tier"] = bad.clone()));
        for name in ["X-Verified", "X-Tier", "x_tier", "X-Admin", "X-Level"] {
            assert!(seen.all(name).is_empty(), "{name} {bad}: {:?}", seen.lines);
        }
        assert!(seen.header("X-Customer-Id").is_some());
    }
    assert!(backend.problems().is_empty());
    // The gateway's own customers have none of these.
    let seen = send(&gateway.customer_token());
    assert!(seen.all("X-Tier").is_empty() && seen.all("X-Verified").is_empty());
}

#[test]
fn claims_of_own_accounts_are_forwarded_where_the_login_lists_them() {
    let accounts = |password: String| {
        json!([{"username": ALICE.name, "password": password, "subject": ALICE.subject,
                "claims": {"tier": "gold", "region": "eu"}}])
    };
    let (backend, gateway) = world_with(|config| {
        config
            .set("/login/claims", json!(["tier", "region"]))
            .set("/login/forward_claims", json!(["tier"]))
            .route("me", "request_headers", json!({"set": {"X-Tier": "${claims.tier}"}}))
            .file("accounts.yaml", &accounts(keys::argon2id(ALICE.secret)).to_string())
    });
    gateway.get("/me/x").customer(&gateway.login(ALICE)).header("X-Tier", "root").send().ok();
    assert_eq!(backend.last().all("X-Tier"), ["gold"]);
}

#[test]
fn a_field_whose_value_is_not_proved_is_removed_and_so_is_the_callers() {
    let fields = json!({"set": {"X-Client": "is ${client.id}", "X-Request": "${request.id}"}});
    let (backend, gateway) = world_with(|config| {
        config.route("system", "request_headers", fields).route("system", "mode", json!("observe"))
    });
    gateway.get("/system/x").header("X-Client", "is root").send().ok();
    assert!(backend.last().all("X-Client").is_empty());
    assert!(backend.last().header("X-Request").is_some());
    gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
    assert_eq!(backend.last().all("X-Client"), ["is asapp"]);
}
