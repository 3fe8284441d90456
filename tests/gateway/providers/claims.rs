//! Claims as providers write them.

use std::net::SocketAddr;

use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, base64url, now};
use crate::harness::*;

pub(super) const ISSUER: &str = "https://login.example.com";

/// A gateway that trusts an issuer with this key, and the entry in the configuration changed.
pub(super) fn trusting(key: &TokenKey, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|config| change(config.trust(ISSUER, key)))
}

/// A token of that issuer.
pub(super) fn token(key: &TokenKey, change: impl FnOnce(&mut Value)) -> String {
    token_with(key, "partner-1", ISSUER, "ann", change)
}

/// The identifier that the backend gets with this token.
#[track_caller]
pub(super) fn identifier(backend: &Backend, gateway: &Gateway, token: &str) -> String {
    gateway.get("/me/x").customer(token).send().ok();
    backend.last().header("X-Customer-Id").unwrap().to_owned()
}

/// The word for which this token is refused.
#[track_caller]
pub(super) fn refusal(gateway: &Gateway, token: &str) -> String {
    let answer = gateway.get("/me/x").customer(token).send();
    assert_eq!(answer.status, 401, "{}", answer.text());
    word(gateway, &answer)
}

pub(super) fn word(gateway: &Gateway, answer: &Response) -> String {
    gateway.access_line(answer.header("X-Request-Id").unwrap())["refusal"].as_str().unwrap_or_default().to_owned()
}

/// What `check` says of this configuration.
pub(super) fn checked(backend: &Backend, change: impl FnOnce(Config) -> Config) -> (i32, String) {
    let files = gateway::Workspace::new(&change(Config::new(backend)));
    let (code, out, err) = files.run(&["check"]);
    (code, format!("{out}{err}"))
}

#[test]
fn a_subject_that_is_a_whole_number_is_the_customer_of_its_digits_everywhere() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    let of = |subject: Value| token(&key, |claims| claims["sub"] = subject);
    let (number, text) = (of(json!(4711)), of(json!("4711")));
    let found = identifier(&backend, &gateway, &number);
    assert_eq!(identifier(&backend, &gateway, &text), found);
    let told = gateway.files.succeeds(&["id", "for", "--issuer", ISSUER, "4711"]);
    assert_eq!(told.trim(), found);
    // Beyond what a float holds, and the ends of 64 bits.
    for number in [9_007_199_254_740_993_u64, u64::MAX] {
        let found = identifier(&backend, &gateway, &of(json!(number)));
        let told = gateway.files.succeeds(&["id", "for", "--issuer", ISSUER, &number.to_string()]);
        assert_eq!(told.trim(), found);
    }
    // In the log, and when it is over.
    let answer = gateway.get("/me/x").customer(&number).send().ok();
    assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["customer"], json!(found));
    gateway.files.succeeds(&["revoke", "customer", &found]);
    assert_eq!(refusal(&gateway, &number), "customer_token_revoked");
    assert_eq!(refusal(&gateway, &text), "customer_token_revoked");
    gateway.get("/me/x").customer(&of(json!(4712))).send().ok();
}

#[test]
fn a_number_that_readers_may_differ_about_is_no_subject() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    for number in ["4711.0", "4711e0", "4.711e3", "-0", "18446744073709551616", "-9223372036854775809", "1e300"] {
        let now = now();
        let claims =
            format!(r#"{{"iss":"{ISSUER}","aud":"legacy-api","sub":{number},"iat":{now},"exp":{}}}"#, now + 600);
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"}).to_string();
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let token = format!("{signed}.{}", base64url(&key.signature(signed.as_bytes())));
        assert_eq!(refusal(&gateway, &token), "customer_token_subject", "{number}");
    }
    for subject in [json!(null), json!(true), json!(["4711"]), json!("")] {
        let token = token(&key, |claims| claims["sub"] = subject);
        assert_eq!(refusal(&gateway, &token), "customer_token_subject");
    }
    backend.assert_untouched();
}

#[test]
fn times_may_be_fractions_and_null_where_they_may_be_missing() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    let seconds = now() as f64;
    for (name, value) in [
        ("iat", json!(null)),
        ("nbf", json!(null)),
        ("iat", json!(seconds - 0.25)),
        ("nbf", json!(seconds - 0.75)),
        ("exp", json!(seconds + 600.5)),
    ] {
        gateway.get("/me/x").customer(&token(&key, |claims| claims[name] = value)).send().ok();
    }
    backend.forget();
    for (name, value) in [
        ("exp", json!(null)),
        ("exp", json!(format!("{}", now() + 600))),
        ("iat", json!(format!("{}", now()))),
        ("nbf", json!(format!("{}", now()))),
        ("iat", json!(-1)),
        ("nbf", json!(-0.5)),
        ("exp", json!(-1)),
    ] {
        let token = token(&key, |claims| claims[name] = value.clone());
        assert_eq!(refusal(&gateway, &token), "customer_token_malformed", "{name} {value}");
    }
    backend.assert_untouched();
}

#[test]
fn a_token_that_ends_in_milliseconds_is_refused_with_a_word_of_its_own() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    let year = 365 * 24 * 3600;
    gateway.get("/me/x").customer(&token(&key, |claims| claims["exp"] = json!(now() + 9 * year))).send().ok();
    backend.forget();
    for exp in [json!((now() + 600) * 1000), json!(now() + 11 * year), json!(u64::MAX), json!(1e300)] {
        let token = token(&key, |claims| claims["exp"] = exp.clone());
        assert_eq!(refusal(&gateway, &token), "customer_token_lifetime", "{exp}");
    }
    let all = token(&key, |claims| {
        claims["iat"] = json!(now() * 1000);
        claims["exp"] = json!((now() + 600) * 1000);
    });
    assert_eq!(refusal(&gateway, &all), "customer_token_lifetime");
    backend.assert_untouched();
}

#[test]
fn refresh_and_logout_tokens_of_a_provider_open_nothing() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    for kind in ["Bearer", "ID"] {
        gateway.get("/me/x").customer(&token(&key, |claims| claims["typ"] = json!(kind))).send().ok();
    }
    backend.forget();
    for kind in ["Refresh", "Offline", "Logout", "refresh"] {
        let token = token(&key, |claims| claims["typ"] = json!(kind));
        assert_eq!(refusal(&gateway, &token), "customer_token_type", "{kind}");
    }
    let logout = token(&key, |claims| {
        claims["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        claims["sid"] = json!("08a5019c-17e1-4977-8f42-65a12843ea02");
    });
    assert_eq!(refusal(&gateway, &logout), "customer_token_type");
    backend.assert_untouched();
}

#[test]
fn the_word_none_among_the_types_is_a_token_without_one() {
    let key = TokenKey::generate();
    let (backend, gateway) =
        trusting(&key, |config| config.set("/trusted_issuers/0/types", json!(["JWT", "at+jwt", "none"])));
    let of = |kind: Option<&str>| {
        let mut header = json!({"alg": "ES256", "kid": "partner-1"});
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        let now = now();
        key.sign(&header, &json!({"iss": ISSUER, "aud": "legacy-api", "sub": "ann", "iat": now, "exp": now + 600}))
    };
    for kind in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("AT+JWT"), Some("application/at+jwt")] {
        assert_eq!(gateway.get("/me/x").customer(&of(kind)).send().status, 200, "{kind:?}");
    }
    backend.forget();
    for kind in ["none", "logout+jwt", "secevent+jwt", "application/application/at+jwt", ""] {
        assert_eq!(refusal(&gateway, &of(Some(kind))), "customer_token_type", "{kind}");
    }
    backend.assert_untouched();
    let (_backend, strict) = trusting(&key, |config| config.set("/trusted_issuers/0/types", json!(["at+jwt"])));
    assert_eq!(refusal(&strict, &of(None)), "customer_token_type");
}

#[test]
fn tokens_without_an_audience_need_a_rule_that_stands_in_for_it() {
    let key = TokenKey::generate();
    let none = |config: Config| config.set("/trusted_issuers/0/audiences", json!("none"));
    let rules = json!({"client_id": {"equals": "portal"}, "token_use": {"equals": "access"}});
    let (backend, gateway) = trusting(&key, |config| none(config).set("/trusted_issuers/0/claims", rules));
    let of = |change: &dyn Fn(&mut Value)| {
        token(&key, |claims| {
            claims.as_object_mut().unwrap().remove("aud");
            claims["client_id"] = json!("portal");
            claims["token_use"] = json!("access");
            change(claims);
        })
    };
    let good = of(&|_| {});
    for _ in 0..2 {
        gateway.get("/me/x").customer(&good).send().ok();
    }
    gateway.get("/me/x").customer(&of(&|claims| claims["aud"] = json!(null))).send().ok();
    // What introspection says has no `aud` either.
    let form = format!("token={good}&client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let told = gateway.post("/oauth/introspect").form(&form).send().ok().json();
    assert_eq!((&told["active"], &told["iss"], told.get("aud")), (&json!(true), &json!(ISSUER), None));
    backend.forget();
    for (name, value) in [("client_id", json!("other")), ("client_id", json!(null)), ("token_use", json!("id"))] {
        let token = of(&|claims| claims[name] = value.clone());
        assert_eq!(refusal(&gateway, &token), "customer_token_claim", "{name} {value}");
    }
    // Whom it names is somebody else.
    for audience in [json!("legacy-api"), json!("other"), json!(["legacy-api"]), json!([]), json!("")] {
        let token = of(&|claims| claims["aud"] = audience.clone());
        assert_eq!(refusal(&gateway, &token), "customer_token_audience", "{audience}");
    }
    backend.assert_untouched();
    // Where an audience is expected, its absence is no proof of anything.
    let (_backend, strict) = trusting(&key, |config| config);
    assert_eq!(refusal(&strict, &good), "customer_token_audience");
    for claims in [json!({}), json!({"client_id": {"present": true}})] {
        let (code, said) =
            checked(&backend, |config| none(config.trust(ISSUER, &key)).set("/trusted_issuers/0/claims", claims));
        assert!(code != 0 && said.contains("trusted_issuers[0].audiences") && said.contains("client_id"), "{said}");
    }
    let (code, said) =
        checked(&backend, |config| config.trust(ISSUER, &key).set("/trusted_issuers/0/audiences", json!(["none"])));
    assert!(code != 0 && said.contains("audiences: none"), "{said}");
}

#[test]
fn scopes_are_a_list_or_a_text_in_either_claim() {
    let key = TokenKey::generate();
    for name in ["scope", "scp"] {
        let (_backend, gateway) =
            trusting(&key, |config| config.set("/trusted_issuers/0/claims", json!({name: {"contains": "read"}})));
        for right in [json!("read"), json!("openid read"), json!(["openid", "read"])] {
            gateway.get("/me/x").customer(&token(&key, |claims| claims[name] = right)).send().ok();
        }
        for wrong in [json!("readonly"), json!(["readonly"]), json!([]), json!(null), json!(["openid read"])] {
            let token = token(&key, |claims| claims[name] = wrong.clone());
            assert_eq!(refusal(&gateway, &token), "customer_token_claim", "{name} {wrong}");
        }
    }
}

#[test]
fn a_clock_may_be_five_minutes_off_and_what_it_dates_ahead_is_still_revoked() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config.set("/trusted_issuers/0/clock_skew", json!("5m")));
    let at = |iat: u64, exp: u64| {
        token(&key, |claims| {
            claims["iat"] = json!(iat);
            claims["exp"] = json!(exp);
        })
    };
    let ahead = at(now() + 280, now() + 900);
    gateway.get("/me/x").customer(&at(now() - 900, now() - 280)).send().ok();
    assert_eq!(refusal(&gateway, &at(now() + 330, now() + 900)), "customer_token_not_yet_valid");
    assert_eq!(refusal(&gateway, &at(now() - 900, now() - 301)), "customer_token_expired");
    let customer = identifier(&backend, &gateway, &ahead);
    gateway.files.succeeds(&["revoke", "customer", &customer]);
    assert_eq!(refusal(&gateway, &ahead), "customer_token_revoked");
    let skew = |skew: &str| {
        checked(&backend, |config| config.trust(ISSUER, &key).set("/trusted_issuers/0/clock_skew", json!(skew)))
    };
    let (code, said) = skew("5m");
    assert!(code == 0 && said.contains("trusted_issuers[0].clock_skew"), "{said}");
    let (code, said) = skew("60s");
    assert!(code == 0 && !said.contains("clock_skew"), "{said}");
    let (code, said) = skew("301s");
    assert!(code != 0 && said.contains("write at most 5m"), "{said}");
}

#[test]
fn a_subject_that_can_change_is_a_warning_until_it_is_accepted() {
    let key = TokenKey::generate();
    let backend = Backend::start();
    for subject in ["email", "upn", "username", "cognito:username", "preferred_username"] {
        let of = |config: Config| config.trust(ISSUER, &key).set("/trusted_issuers/0/subject", json!(subject));
        let (code, said) = checked(&backend, of);
        assert!(code == 0 && said.contains("trusted_issuers[0].subject"), "{subject}: {said}");
        let (code, said) =
            checked(&backend, |config| of(config).set("/trusted_issuers/0/danger_personal_subject", json!(true)));
        assert!(code == 0 && !said.contains("trusted_issuers[0].subject"), "{subject}: {said}");
    }
    let (_, said) = checked(&backend, |config| config.trust(ISSUER, &key));
    assert!(!said.contains("trusted_issuers[0].subject"), "{said}");
    let (backend, gateway) = trusting(&key, |config| {
        config
            .set("/trusted_issuers/0/subject", json!("email"))
            .set("/trusted_issuers/0/danger_personal_subject", json!(true))
    });
    let of = |email: &str| token(&key, |claims| claims["email"] = json!(email));
    let found = identifier(&backend, &gateway, &of("ann@example.com"));
    assert!(!found.contains("ann") && found != identifier(&backend, &gateway, &of("bob@example.com")));
    assert_eq!(refusal(&gateway, &token(&key, |_| {})), "customer_token_subject");
}

/// Bytes of a token with groups.
fn long(key: &TokenKey, length: usize) -> String {
    let of = |groups: usize| token(key, |claims| claims["groups"] = json!("g".repeat(groups)));
    let shortest = of(0).len();
    let token = of((length - shortest) * 3 / 4);
    assert!(token.len() <= length && token.len() + 8 > length, "{}", token.len());
    token
}

#[test]
fn tokens_with_all_groups_are_accepted_up_to_the_limit_of_the_listener() {
    let key = TokenKey::generate();
    let (backend, gateway) = trusting(&key, |config| config);
    gateway.get("/me/x").customer(&long(&key, 16 * 1024)).send().ok();
    assert_eq!(refusal(&gateway, &long(&key, 16 * 1024 + 16)), "customer_token_too_long");
    let wide = |config: Config| config.limit("token", json!("64KiB")).limit("head", json!("72KiB"));
    let (_backend, gateway) = trusting(&key, wide);
    let token = long(&key, 64 * 1024);
    for _ in 0..3 {
        gateway.get("/me/x").customer(&token).send().ok();
    }
    assert_eq!(refusal(&gateway, &long(&key, 64 * 1024 + 16)), "customer_token_too_long");
    let request =
        http::Request::get(format!("https://{}/me/x", gateway.address)).header("customer-auth", format!("JWT {token}"));
    assert_eq!(h2_client::send(gateway.address, request.body(()).unwrap(), b"", None).unwrap().status(), 200);
    let access = format!("Bearer {}", "x".repeat(64 * 1024 + 1));
    let answer = gateway.get("/system/x").header("Authorization", &access).send().expect(401, "401-11");
    assert_eq!(word(&gateway, &answer), "client_token_too_long");
    // The own endpoints know it too, and it ends there.
    let form = format!("token={token}&client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    assert_eq!(gateway.post("/oauth/introspect").form(&form).send().ok().json()["active"], json!(true));
    gateway.post("/oauth/revoke").form(&form).send().ok();
    assert_eq!(gateway.post("/oauth/introspect").form(&form).send().ok().json()["active"], json!(false));
    assert_eq!(refusal(&gateway, &token), "customer_token_revoked");
    let limits = |token: &str, head: &str| {
        checked(&backend, |config| config.limit("token", json!(token)).limit("head", json!(head)))
    };
    let (code, said) = limits("64KiB", "72KiB");
    assert!(code == 0 && !said.contains("limits"), "{said}");
    let (code, said) = limits("48KiB", "32KiB");
    assert!(code == 0 && said.contains("listen[0].limits.token") && said.contains("raise `limits.head`"), "{said}");
    let (code, said) = limits("16KiB", "8KiB");
    assert!(code == 0 && !said.contains("limits"), "{said}");
    let (code, said) = limits("65KiB", "72KiB");
    assert!(code != 0 && said.contains("write at most 64KiB"), "{said}");
    let (code, _) = limits("0B", "72KiB");
    assert_ne!(code, 0);
}

#[test]
fn a_token_that_was_verified_on_one_listener_is_too_long_for_another() {
    let key = TokenKey::generate();
    let (_backend, gateway) = trusting(&key, |config| {
        let mut narrow = config.yaml["listen"][0].clone();
        narrow["limits"] = json!({"token": "4KiB"});
        let mut wide = narrow.clone();
        wide["limits"] = json!({"token": "24KiB"});
        config.set("/listen", json!([narrow, wide])).set("/workers", json!(1))
    });
    let mut addresses: Vec<SocketAddr> = Vec::new();
    eventually("both listen", || {
        let lines = gateway.stderr.all();
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        addresses = lines
            .filter(|line| line["message"] == "listening" && line["role"] == "gateway")
            .map(|line| line["address"].as_str().unwrap().parse().unwrap())
            .collect();
        addresses.len() == 2
    });
    let ask = |address: SocketAddr, token: &str| {
        let request = Request { address, ..gateway.get("/me/x") };
        request.customer(token).send()
    };
    let (short, token) = (token(&key, |_| {}), long(&key, 20 * 1024));
    let outcomes: Vec<[u16; 2]> =
        addresses.iter().map(|address| [ask(*address, &short).status, ask(*address, &token).status]).collect();
    assert_eq!(outcomes, [[200, 401], [200, 200]]);
    let again = ask(addresses[0], &token);
    assert_eq!((again.status, word(&gateway, &again)), (401, "customer_token_too_long".to_owned()));
}

#[test]
fn the_examples_of_the_page_pass_the_check() {
    let page = include_str!("../../../docs/identity-providers.md");
    let section = &page[page.find("\n## Claims\n").unwrap() + 1..];
    let section = &section[..section[3..].find("\n## ").map_or(section.len(), |end| end + 3)];
    let examples: Vec<&str> =
        section.split("```yaml\n").skip(1).map(|rest| &rest[..rest.find("```").unwrap()]).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let files = gateway::Workspace::new(&Config::new(&Backend::start()));
        // The members of the usual configuration, one a line, with those of the example behind them.
        let config: Value = serde_json::from_str(&std::fs::read_to_string(files.config()).unwrap()).unwrap();
        let usual = config.as_object().unwrap().iter().map(|(name, value)| format!("{name}: {value}\n"));
        files.write("gateway.yaml", &format!("{}{example}", usual.collect::<String>()));
        let (code, out, err) = files.run(&["check"]);
        assert!(code == 0 && !format!("{out}{err}").contains("trusted_issuers"), "{example}\n{out}{err}");
    }
}
