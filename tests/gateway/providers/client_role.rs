//! System tokens of the company's provider: `trusted_issuers[].for`.

use crate::auth::dpop::Proof;
use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::client::tls;
use crate::harness::client_certificates::Caller;
use crate::harness::config::{API_KEY, OTHER_API_KEY};
use crate::harness::gateway::Workspace;
use crate::harness::identity_provider::{IdentityProvider, Published, token_with};
use crate::harness::keys::{TokenKey, decode};
use crate::harness::*;
use crate::websocket::tunnel::{backend, handshake, open, with_websockets};

const PROVIDER: &str = "https://login.example.com";
const OWN: &str = "https://gateway.test";
/// A client that has nothing but tokens of the provider.
const SYSTEM: &str = "billing";

/// A provider of customers' and of system tokens, as Entra ID writes them.
fn role(roles: Value) -> Value {
    json!({
        "issuer": PROVIDER, "jwks": {"file": "certs/provider.json"}, "audiences": ["legacy-api"], "algorithms": ["ES256"],
        "for": roles, "client": {"id": "azp", "scopes": "roles", "claims": {"idtyp": {"equals": "app"}}},
    })
}

fn of_provider(config: Config, key: &TokenKey, issuer: Value) -> Config {
    config
        .set("/trusted_issuers", json!([issuer]))
        .set("/clients/2", json!({"id": SYSTEM, "scopes": ["profile", "pay"]}))
        .file("certs/provider.json", &json!({"keys": [key.jwk("one")]}).to_string())
}

fn with_client(mut config: Config) -> Config {
    config.yaml["clients"].as_array_mut().unwrap().push(Value::Null);
    config
}

fn provided(roles: Value, change: impl FnOnce(Config) -> Config) -> (TokenKey, Backend, Gateway) {
    let key = TokenKey::generate();
    let (backend, gateway) = world_with(|config| change(of_provider(with_client(config), &key, role(roles))));
    (key, backend, gateway)
}

/// A system token of this client.
fn system_with(key: &TokenKey, client: &str, change: impl FnOnce(&mut Value)) -> String {
    token_with(key, "one", PROVIDER, "service-principal-7", |claims| {
        claims["azp"] = json!(client);
        claims["idtyp"] = json!("app");
        claims["roles"] = json!(["profile", "pay", "admin"]);
        change(claims);
    })
}

fn system(key: &TokenKey, client: &str) -> String {
    system_with(key, client, |_| {})
}

/// A token of a customer, who has it by way of this client.
fn customer(key: &TokenKey, client: &str) -> String {
    token_with(key, "one", PROVIDER, "ann", |claims| {
        claims["azp"] = json!(client);
        claims["roles"] = json!(["profile", "pay"]);
    })
}

/// The call is refused with this word.
#[track_caller]
fn refused(gateway: &Gateway, request: &Request, word: &str) -> Value {
    let answer = request.send();
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert_eq!((answer.status >= 400, &line["refusal"]), (true, &json!(word)), "{}: {line}", answer.text());
    line
}

#[test]
fn a_system_token_of_the_provider_opens_routes_that_require_a_client() {
    let fields = json!({"set": {"X-Client": "${client.id}"}});
    let (key, backend, gateway) = provided(json!(["client"]), |config| {
        config.route("system", "scopes", json!(["pay"])).route("system", "request_headers", fields)
    });
    let token = system(&key, SYSTEM);
    for _ in 0..2 {
        let answer = gateway.get("/system/x").bearer(&token).send().ok();
        assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["client"], SYSTEM);
    }
    let got = backend.requests();
    assert!(got.iter().all(|seen| seen.header("X-Client") == Some(SYSTEM)), "{got:?}");
    assert!(!format!("{got:?}").contains(&token));
    // Scopes as words, and one that the token has and the entry has not.
    let words = system_with(&key, SYSTEM, |claims| claims["roles"] = json!("x pay"));
    gateway.get("/system/x").bearer(&words).send().ok();
    for scopes in [json!(["profile"]), json!("profile"), json!([]), json!(""), json!(null)] {
        let token = system_with(&key, SYSTEM, |claims| claims["roles"] = scopes.clone());
        gateway.get("/system/x").bearer(&token).send().expect(403, "403-02");
    }
    for odd in [json!(7), json!([7]), json!({"pay": true})] {
        let token = system_with(&key, SYSTEM, |claims| claims["roles"] = odd.clone());
        refused(&gateway, &gateway.get("/system/x").bearer(&token), "client_token_malformed");
    }
    // The gateway's own go on.
    gateway.get("/system/x").bearer(&gateway.client_token()).send().expect(403, "403-02");
}

#[test]
fn scopes_that_the_entry_of_the_client_has_not_are_not_given() {
    let (key, _backend, gateway) =
        provided(json!(["client"]), |config| config.route("system", "scopes", json!(["admin"])));
    gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().expect(403, "403-02");
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config.route("system", "scopes", json!(["admin"])).set("/trusted_issuers/0/client/any", json!(true))
    });
    gateway.get("/system/x").bearer(&system(&key, "reports")).send().ok();
}

#[test]
fn no_token_is_good_both_as_a_customers_and_as_a_clients() {
    let (key, backend, gateway) = provided(json!(["customer", "client"]), |config| config);
    let (system, customer) = (system(&key, SYSTEM), customer(&key, SYSTEM));
    for _ in 0..2 {
        gateway.get("/me/x").customer(&customer).send().ok();
        gateway.get("/system/x").bearer(&system).send().ok();
        let line = refused(&gateway, &gateway.get("/me/x").customer(&system), "customer_token_type");
        assert!(line.get("customer").is_none_or(Value::is_null), "it stands for no customer: {line}");
        let line = refused(&gateway, &gateway.get("/system/x").bearer(&customer), "client_token_type");
        // Not even where it has no claim that could name a client.
        let unnamed = token_with(&key, "one", PROVIDER, "ann", |_| {});
        refused(&gateway, &gateway.get("/system/x").bearer(&unnamed), "client_token_type");
        assert!(line.get("client").is_none_or(Value::is_null), "{line}");
    }
    assert_eq!(backend.requests().len(), 4);
    // Nor where it has expired, and so never says whose it is.
    let old = |mut claims: Value| {
        claims["exp"] = json!(1_700_000_000);
        claims["iat"] = json!(1_699_999_000);
        key.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "one"}), &claims)
    };
    let line = refused(&gateway, &gateway.get("/me/x").customer(&old(decode(&system).1)), "customer_token_expired");
    assert!(line.get("customer").is_none_or(Value::is_null), "{line}");
    let line = refused(&gateway, &gateway.get("/system/x").bearer(&old(decode(&customer).1)), "client_token_expired");
    assert!(line.get("client").is_none_or(Value::is_null), "{line}");
}

#[test]
fn an_issuer_issues_only_the_tokens_that_it_is_trusted_for() {
    let (key, _backend, gateway) = provided(json!(["client"]), |config| config);
    refused(&gateway, &gateway.get("/me/x").customer(&customer(&key, SYSTEM)), "customer_token_issuer");
    refused(&gateway, &gateway.get("/me/x").customer(&system(&key, SYSTEM)), "customer_token_issuer");
    let (key, _backend, gateway) = {
        let key = TokenKey::generate();
        let mut issuer = role(json!(["customer"]));
        issuer.as_object_mut().unwrap().remove("client");
        let (backend, gateway) = world_with(|config| of_provider(with_client(config), &key, issuer));
        (key, backend, gateway)
    };
    gateway.get("/me/x").customer(&customer(&key, SYSTEM)).send().ok();
    gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().expect(401, "401-11");
}

#[test]
fn a_claim_that_must_be_absent_is_not_there_at_all() {
    let (key, _backend, gateway) = provided(json!(["customer", "client"]), |config| {
        let okta = json!({"id": "sub", "scopes": "scp", "claims": {"uid": {"absent": true}}});
        config.set("/trusted_issuers/0/client", okta)
    });
    let okta = |uid: Option<Value>| {
        token_with(&key, "one", PROVIDER, SYSTEM, |claims| {
            claims["scp"] = json!(["profile"]);
            if let Some(uid) = uid {
                claims["uid"] = uid;
            }
        })
    };
    let call = |token: &str| gateway.get("/system/x").bearer(token);
    call(&okta(None)).send().ok();
    for there in [json!("00u1"), json!(""), json!(null), json!(false)] {
        refused(&gateway, &call(&okta(Some(there))), "client_token_type");
    }
    refused(&gateway, &gateway.get("/me/x").customer(&okta(None)), "customer_token_type");
    gateway.get("/me/x").customer(&okta(Some(json!("00u1")))).send().ok();
}

#[test]
fn a_client_that_is_not_configured_is_refused() {
    let (key, backend, gateway) = provided(json!(["client"]), |config| config);
    let line =
        refused(&gateway, &gateway.get("/system/x").bearer(&system(&key, "stranger")), "client_token_unknown_client");
    assert_eq!(line["client"], "stranger");
    for odd in
        [json!(""), json!(7), json!(null), json!([SYSTEM]), json!("billing\n"), json!("Billing"), json!("billing ")]
    {
        let token = system_with(&key, SYSTEM, |claims| claims["azp"] = odd.clone());
        gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    }
    backend.assert_untouched();
}

#[test]
fn any_client_of_an_issuer_is_never_one_that_is_configured() {
    let (key, backend, gateway) = provided(json!(["client"]), |config| {
        let fields = json!({"set": {"X-Client": "${client.id}"}});
        config
            .set("/trusted_issuers/0/client/any", json!(true))
            .set("/clients/2/id", json!(format!("{PROVIDER}#taken")))
            .route("system", "request_headers", fields)
    });
    let call = |client: &str| gateway.get("/system/x").bearer(&system(&key, client));
    call("reports").send().ok();
    assert_eq!(backend.requests()[0].header("X-Client"), Some(&*format!("{PROVIDER}#reports")));
    backend.forget();
    for configured in [CLIENT.name, OTHER_CLIENT.name, "taken"] {
        refused(&gateway, &call(configured), "client_token_unknown_client");
    }
    for odd in ["a b", "a#b", "a,b", "a\"b", "\u{e4}", &"x".repeat(129), &format!("{PROVIDER}#taken")] {
        refused(&gateway, &call(odd), "client_token_subject");
    }
    backend.assert_untouched();
    // Nor does a key of another client open anything for it.
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config.set("/trusted_issuers/0/client/any", json!(true)).route("key", "require", json!(["client", "api_key"]))
    });
    let token = system(&key, "reports");
    refused(&gateway, &gateway.get("/key/x").bearer(&token).api_key(API_KEY), "api_key_client");
}

#[test]
fn an_api_key_and_a_rate_limit_count_a_client_of_the_provider_as_an_own_one() {
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config.set("/api_keys/0/client", json!(SYSTEM)).route("key", "require", json!(["client", "api_key"])).route(
            "system",
            "limits",
            json!({"rate": "2/h", "per": "client"}),
        )
    });
    let token = system(&key, SYSTEM);
    gateway.get("/key/x").bearer(&token).api_key(API_KEY).send().ok();
    refused(&gateway, &gateway.get("/key/x").bearer(&token).api_key(OTHER_API_KEY), "api_key_client");
    for _ in 0..2 {
        gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().ok();
    }
    gateway.get("/system/x").bearer(&token).send().expect(429, "429-01");
    gateway.get("/system/x").bearer(&system(&key, OTHER_CLIENT.name)).send().ok();
}

#[test]
fn a_route_accepts_tokens_of_its_issuers_only_also_where_they_were_verified_before() {
    let (key, _backend, gateway) = provided(json!(["customer", "client"]), |config| {
        let route = |name: &str, requires: &str, issuer: &str| {
            json!({"name": name, "path": format!("/{name}/"), "methods": ["GET"], "require": [requires],
                   "issuers": [issuer], "backend": "legacy"})
        };
        config
            .cookies("both")
            .add_route(route("own-client", "client", OWN))
            .add_route(route("their-client", "client", PROVIDER))
            .add_route(route("own-customer", "customer", OWN))
            .add_route(route("their-customer", "customer", PROVIDER))
    });
    let (ours, theirs) = (gateway.client_token(), system(&key, SYSTEM));
    for _ in 0..2 {
        for (path, token, is_good) in [
            ("/system/x", &ours, true),
            ("/system/x", &theirs, true),
            ("/own-client/x", &ours, true),
            ("/own-client/x", &theirs, false),
            ("/their-client/x", &ours, false),
            ("/their-client/x", &theirs, true),
        ] {
            let call = gateway.get(path).bearer(token);
            if is_good { drop(call.send().ok()) } else { drop(refused(&gateway, &call, "client_token_issuer")) }
        }
    }
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let (ours, theirs) = (gateway.customer_token(), customer(&key, SYSTEM));
    for _ in 0..2 {
        gateway.get("/own-customer/x").customer(&ours).send().ok();
        gateway.get("/own-customer/x").header("Cookie", &cookie).send().ok();
        refused(&gateway, &gateway.get("/own-customer/x").customer(&theirs), "customer_token_issuer");
        gateway.get("/their-customer/x").customer(&theirs).send().ok();
        refused(&gateway, &gateway.get("/their-customer/x").customer(&ours), "customer_token_issuer");
        // A session is a login of ours.
        gateway.get("/their-customer/x").header("Cookie", &cookie).send().expect(401, "401-10");
    }
}

#[test]
fn the_audience_of_a_route_is_required_of_system_tokens_too() {
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config.route("system", "audience", json!("https://reports.example.com")).route(
            "key",
            "require",
            json!(["client"]),
        )
    });
    let of = |audience: Value| system_with(&key, SYSTEM, |claims| claims["aud"] = audience);
    let (usual, both) = (of(json!("legacy-api")), of(json!(["https://reports.example.com", "legacy-api"])));
    for _ in 0..2 {
        gateway.get("/key/x").bearer(&usual).send().ok();
        gateway.get("/key/x").bearer(&both).send().ok();
        gateway.get("/system/x").bearer(&both).send().ok();
        refused(&gateway, &gateway.get("/system/x").bearer(&usual), "client_token_audience");
    }
    let other = of(json!("https://reports.example.com"));
    refused(&gateway, &gateway.get("/system/x").bearer(&other), "client_token_audience");
}

#[test]
fn a_system_token_is_good_on_a_listener_with_an_audience_of_its_own_only_where_it_names_it() {
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config
            .set("/listen/0/audience", json!("partners"))
            .set("/trusted_issuers/0/audiences", json!(["legacy-api", "partners"]))
    });
    let of = |audience: Value| system_with(&key, SYSTEM, |claims| claims["aud"] = audience);
    gateway.get("/system/x").bearer(&of(json!("partners"))).send().ok();
    refused(&gateway, &gateway.get("/system/x").bearer(&of(json!("legacy-api"))), "client_token_audience");
}

#[test]
fn a_system_token_that_is_bound_is_good_only_with_its_key_or_certificate() {
    let (key, _backend, gateway) =
        provided(json!(["client"]), |config| config.route("system", "dpop", json!("optional")));
    let holder = TokenKey::generate();
    let thumbprint = {
        let jwk = holder.jwk("x");
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        crate::harness::keys::base64url(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
    };
    let bound = system_with(&key, SYSTEM, |claims| claims["cnf"] = json!({"jkt": thumbprint}));
    let call = |key: &TokenKey| {
        let proof = Proof::new(key, "GET", "/system/x").with(&bound).text();
        gateway.get("/system/x").header("Authorization", &format!("DPoP {bound}")).header("DPoP", &proof)
    };
    for _ in 0..2 {
        call(&holder).send().ok();
        refused(&gateway, &call(&TokenKey::generate()), "dpop_key");
        refused(&gateway, &gateway.get("/system/x").bearer(&bound), "dpop_scheme");
    }
    let odd = system_with(&key, SYSTEM, |claims| claims["cnf"] = json!({"kid": "x"}));
    refused(&gateway, &gateway.get("/system/x").bearer(&odd), "client_token_binding");
    let (key, _backend, gateway) = provided(json!(["client"]), |config| {
        config
            .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/clients/2/certificate", json!({"subject": SYSTEM}))
            .set("/clients/1/certificate_bound_tokens", json!(true))
    });
    let call = gateway.get("/system/x").bearer(&system(&key, SYSTEM));
    refused(&gateway, &call, "other_certificate");
    let identity = Caller::named(SYSTEM).pair();
    let mut connection = Connection::with(gateway.address, tls(b"http/1.1", Some(&identity))).unwrap();
    call.send_on(&mut connection).ok();
    // An entry that binds its tokens takes none that are not.
    refused(&gateway, &gateway.get("/system/x").bearer(&system(&key, OTHER_CLIENT.name)), "client_token_binding");
}

#[test]
fn a_revoked_client_and_a_revoked_token_are_refused_whoever_issued_it() {
    let (key, _backend, gateway) =
        provided(json!(["client"]), |config| config.set("/trusted_issuers/0/client/any", json!(false)));
    let config = gateway.files.config();
    let config = config.to_str().unwrap();
    let (one, other) = (system(&key, SYSTEM), system(&key, OTHER_CLIENT.name));
    for token in [&one, &other] {
        gateway.get("/system/x").bearer(token).send().ok();
    }
    let form = format!("client_id={}&client_secret={}&token={other}", OTHER_CLIENT.name, OTHER_CLIENT.secret);
    let known = gateway.post("/oauth/introspect").form(&form).send().ok().json();
    assert_eq!(
        (&known["active"], &known["client_id"], &known["iss"]),
        (&json!(true), &json!(OTHER_CLIENT.name), &json!(PROVIDER)),
        "{known}"
    );
    // Another client's token is nobody else's.
    let foreign = format!("client_id={}&client_secret={}&token={one}", OTHER_CLIENT.name, OTHER_CLIENT.secret);
    assert_eq!(gateway.post("/oauth/introspect").form(&foreign).send().ok().json(), json!({"active": false}));
    gateway.post("/oauth/revoke").form(&form).send().ok();
    refused(&gateway, &gateway.get("/system/x").bearer(&other), "client_token_revoked");
    gateway.get("/system/x").bearer(&one).send().ok();
    gateway.files.succeeds(&["revoke", "client", SYSTEM, "--config", config]);
    let line = refused(&gateway, &gateway.get("/system/x").bearer(&one), "client_token_revoked");
    assert_eq!(line["client"], SYSTEM);
}

#[test]
fn a_client_that_is_not_configured_is_revoked_by_its_whole_name() {
    let (key, _backend, gateway) =
        provided(json!(["client"]), |config| config.set("/trusted_issuers/0/client/any", json!(true)));
    let config = gateway.files.config();
    let config = config.to_str().unwrap();
    let (one, other) = (system(&key, "reports"), system(&key, "exports"));
    for token in [&one, &other] {
        gateway.get("/system/x").bearer(token).send().ok();
    }
    gateway.files.fails(&["revoke", "client", "reports", "--config", config]);
    gateway.files.succeeds(&["revoke", "client", &format!("{PROVIDER}#reports"), "--config", config]);
    refused(&gateway, &gateway.get("/system/x").bearer(&one), "client_token_revoked");
    gateway.get("/system/x").bearer(&other).send().ok();
}

#[test]
fn clients_that_are_not_configured_are_no_labels_of_metrics() {
    let (key, _backend, gateway) =
        provided(json!(["client"]), |config| config.set("/trusted_issuers/0/client/any", json!(true)));
    let families = || gateway.metrics().lines().filter(|line| !line.starts_with('#')).count();
    gateway.get("/system/x").bearer(&system(&key, "zero")).send().ok();
    let before = families();
    for number in 0..20 {
        gateway.get("/system/x").bearer(&system(&key, &format!("client-{number}"))).send().ok();
    }
    assert!(families() < before + 10 && !gateway.metrics().contains("client-7"));
}

#[test]
fn a_route_that_only_observes_says_which_system_token_it_would_refuse() {
    let (key, backend, gateway) =
        provided(json!(["customer", "client"]), |config| config.route("system", "mode", json!("observe")));
    gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().ok();
    let answer = gateway.get("/system/x").bearer(&customer(&key, SYSTEM)).send().ok();
    let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
    assert!(line.to_string().contains("client_token_type"), "{line}");
    assert_eq!(backend.requests().len(), 2);
}

#[test]
fn another_proxy_is_told_that_a_system_token_is_good() {
    let key = TokenKey::generate();
    let (_backend, gateway, plain) =
        asked_with(|config| of_provider(with_client(config), &key, role(json!(["client"]))));
    let ask = |token: &str| plainly(&question(plain, "GET", "/system/x").bearer(token)).status;
    assert_eq!(ask(&system(&key, SYSTEM)), 200);
    assert_eq!(ask(&customer(&key, SYSTEM)), 401);
    drop(gateway);
}

#[test]
fn a_websocket_of_a_system_token_ends_when_its_client_is_revoked() {
    let key = TokenKey::generate();
    let (address, backend) = backend();
    let gateway = Gateway::start(&of_provider(
        with_client(with_websockets(Config::with_server(&format!("http://{address}"))))
            .route("system", "websocket", json!(true))
            .route("system", "limits", json!({"recheck": "200ms"})),
        &key,
        role(json!(["client"])),
    ));
    let (mut caller, _opened) = open(&gateway, &backend, gateway.get("/system/live").bearer(&system(&key, SYSTEM)));
    handshake(gateway.get("/system/live").bearer(&customer(&key, SYSTEM))).send().expect(401, "401-11");
    let config = gateway.files.config();
    gateway.files.succeeds(&["revoke", "client", SYSTEM, "--config", config.to_str().unwrap()]);
    assert!(caller.closes());
}

#[test]
fn a_new_key_of_the_provider_is_fetched_for_a_clients_token_and_an_outage_is_503() {
    let (key, next) = (TokenKey::generate(), TokenKey::generate());
    let provider = IdentityProvider::start(&[key.jwk("one")]);
    let (_backend, gateway) = world_with(|config| {
        let mut issuer = role(json!(["customer", "client"]));
        issuer["jwks"] = json!(provider.jwks_url());
        issuer["refresh"] = json!({"interval": "10m", "cooldown": "100ms", "timeout": "2s"});
        of_provider(with_client(config), &key, issuer)
    });
    gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().ok();
    provider.publish_keys(&[key.jwk("one"), next.jwk("two")]);
    let renewed = |kid: &str| {
        let mut claims = decode(&system(&key, SYSTEM)).1;
        claims["jti"] = json!(kid);
        next.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": kid}), &claims)
    };
    eventually("the new key is fetched", || gateway.get("/system/x").bearer(&renewed("two")).send().status == 200);
    // Also where it is asked about.
    let form = format!("client_id={}&client_secret={}&token={}", CLIENT.name, CLIENT.secret, renewed("two"));
    gateway.post("/oauth/introspect").form(&form).send().ok();
    provider.publish(Published::Close);
    eventually("nobody can tell whether there is such a key", || {
        let answer = gateway.get("/system/x").bearer(&renewed("three")).send();
        (answer.status, answer.code().as_str()) == (503, "503-04")
    });
    gateway.get("/system/x").bearer(&system(&key, SYSTEM)).send().ok();
}

#[test]
fn a_call_with_new_keys_of_two_issuers_waits_for_both() {
    let (first, second) = (TokenKey::generate(), TokenKey::generate());
    let (clients, customers) = (IdentityProvider::start(&[]), IdentityProvider::start(&[]));
    let refresh = json!({"interval": "10m", "cooldown": "1ms", "timeout": "2s"});
    let (_backend, gateway) = world_with(|config| {
        let mut issuer = role(json!(["client"]));
        issuer["jwks"] = json!(clients.jwks_url());
        issuer["refresh"] = refresh.clone();
        let other = json!({"issuer": "https://customers.example.com", "jwks": customers.jwks_url(), "refresh": refresh,
                           "audiences": ["legacy-api"], "algorithms": ["ES256"]});
        of_provider(with_client(config), &first, issuer)
            .set("/trusted_issuers", Value::Null)
            .set("/trusted_issuers", json!([]))
            .set("/trusted_issuers", json!([role_at(&clients, &refresh), other]))
            .route("system", "require", json!(["client", "customer"]))
    });
    clients.publish_keys(&[first.jwk("one")]);
    customers.publish_keys(&[second.jwk("one")]);
    let ann = token_with(&second, "one", "https://customers.example.com", "ann", |_| {});
    gateway.get("/system/x").bearer(&system(&first, SYSTEM)).customer(&ann).send().ok();
}

fn role_at(provider: &IdentityProvider, refresh: &Value) -> Value {
    let mut issuer = role(json!(["client"]));
    issuer["jwks"] = json!(provider.jwks_url());
    issuer["refresh"] = refresh.clone();
    issuer
}

#[test]
fn check_refuses_a_role_that_nothing_tells_from_customers() {
    let key = TokenKey::generate();
    let backend = Backend::start();
    let checked = |change: &dyn Fn(Config) -> Config| {
        let config = of_provider(with_client(Config::new(&backend)), &key, role(json!(["customer", "client"])));
        let (code, _, complained) = Workspace::new(&change(config)).run(&["check"]);
        (code, complained)
    };
    let (code, complained) = checked(&|config| config);
    assert_eq!(code, 0, "{complained}");
    type Change = fn(Config) -> Config;
    let faults: [(Change, &str); 9] = [
        (|c| c.without("/trusted_issuers/0/client/claims"), "trusted_issuers[0].client"),
        (|c| c.set("/trusted_issuers/0/client/claims", json!({})), "trusted_issuers[0].client.claims"),
        (
            |c| c.set("/trusted_issuers/0/client/claims", json!({"azp": {"present": true}})),
            "trusted_issuers[0].client.claims",
        ),
        (|c| c.set("/trusted_issuers/0/client/claims/idtyp", json!({"absent": false})), "absent"),
        (|c| c.without("/trusted_issuers/0/client"), "trusted_issuers[0].for"),
        (|c| c.set("/trusted_issuers/0/for", json!(["customer"])), "trusted_issuers[0].client"),
        (|c| c.set("/trusted_issuers/0/for", json!([])), "trusted_issuers[0].for"),
        (|c| c.set("/trusted_issuers/0/for", json!(["client", "client"])), "trusted_issuers[0].for[1]"),
        (|c| c.route("public", "issuers", json!([OWN])), "issuers"),
    ];
    for (change, key) in faults {
        let (code, complained) = checked(&change);
        assert!(code != 0 && complained.contains(key), "{key}: {complained}");
    }
    // What others need is no reason to keep an issuer that was stolen.
    let (code, complained) = checked(&|c| c.route("system", "issuers", json!(["https://gone.example.com"])));
    assert!(code == 0 && complained.contains("issuers[0]"), "{complained}");
    let (code, complained) = checked(&|c| c.without("/trusted_issuers"));
    assert!(code == 0 && complained.contains("proves itself"), "{complained}");
}
