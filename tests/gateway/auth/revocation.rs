//! Revocation of tokens: by id, by digest, by issuer; also in another encoding and of an earlier version.

use crate::harness::identity_provider::token_with;
use crate::harness::keys::{TokenKey, base64url, unbase64url};
use crate::harness::*;

const PARTNER: &str = "https://login.example.com";

/// The order of P-256 (SEC 2 section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same token with the other signature that is right: `n - s` in place of `s`.
fn with_other_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = unbase64url(signature);
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(ORDER[at]) - i16::from(signature[32 + at]) - borrow;
        borrow = i16::from(digit < 0);
        signature[32 + at] = u8::try_from(digit & 0xff).unwrap();
    }
    format!("{signed}.{}", base64url(&signature))
}

fn without_id(key: &TokenKey) -> String {
    token_with(key, "partner-1", PARTNER, "ann", |claims| drop(claims.as_object_mut().unwrap().remove("jti")))
}

fn call(gateway: &Gateway, token: &str) -> u16 {
    gateway.get("/me/x").customer(token).send().status
}

fn run(gateway: &Gateway, args: &[&str], input: &str) -> (i32, String, String) {
    let config = gateway.files.config();
    gateway.files.run_with(&[args, &["--config", config.to_str().unwrap()]].concat(), input.as_bytes())
}

#[test]
fn a_revoked_token_without_an_id_is_refused_with_its_other_signature_too() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| c.trust(PARTNER, &key));
    type Ends = fn(&Gateway, &str);
    let ends: [Ends; 3] = [
        |gateway, token| drop(gateway.post("/auth/logout").customer(token).send().expect(204, "")),
        |gateway, token| {
            let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
            gateway.post("/oauth/revoke").form(&form).send().ok();
        },
        |gateway, token| assert_eq!(run(gateway, &["revoke", "token", "-"], token).0, 0),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let change = |claims: &mut Value| claims["number"] = json!(number);
        let of = |more: u64| {
            token_with(&key, "partner-1", PARTNER, "ann", |claims| {
                change(claims);
                claims["more"] = json!(more);
                claims.as_object_mut().unwrap().remove("jti");
            })
        };
        let (token, other) = (of(1), of(2));
        let twin = with_other_signature(&token);
        assert_ne!(token, twin);
        assert_eq!((call(&gateway, &token), call(&gateway, &twin)), (200, 200), "both signatures are right");
        end(&gateway, &twin);
        assert_eq!(
            (call(&gateway, &token), call(&gateway, &twin), call(&gateway, &other)),
            (401, 401, 200),
            "{number}"
        );
    }
}

#[test]
fn revocations_of_an_earlier_version_by_token_digest_stay_in_force() {
    let key = TokenKey::generate();
    let server = RedisServer::start();
    let store = Store::Redis(server);
    let (_backend, gateway) = store.world_with(|c| c.trust(PARTNER, &key));
    let Store::Redis(server) = &store else { panic!("a Redis") };
    let (token, other) = (without_id(&key), token_with(&key, "partner-1", PARTNER, "bob", |_| {}));
    assert_eq!(call(&gateway, &token), 200);
    let rule = format!("token {} {} sha256 {}", u64::MAX, keys::now() + 600, keys::sha256_hex(&token));
    let number = server.command(&["INCR", "wg:{rules}:count"]);
    server.command(&["ZADD", "wg:{rules}", number.trim_start_matches(':').trim(), &rule]);
    eventually("the rule is known", || call(&gateway, &token) == 401);
    assert_eq!(call(&gateway, &other), 200);
}

#[test]
fn an_operator_revokes_the_token_of_another_issuer_by_its_issuer_and_id() {
    let key = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| c.trust(PARTNER, &key));
    let of = |id: &str| token_with(&key, "partner-1", PARTNER, "ann", |claims| claims["jti"] = json!(id));
    let (token, other) = (of("one.two.three"), of("four"));
    // By its id alone it is a token of this gateway: that is what is said.
    let (code, said, err) = run(&gateway, &["revoke", "token", "four"], "");
    assert!(code == 0 && said.contains("https://gateway.test") && said.contains("--issuer"), "{said}{err}");
    assert_eq!(call(&gateway, &other), 200);
    let (code, said, err) = run(&gateway, &["revoke", "token", "--issuer", PARTNER, "one.two.three"], "");
    assert!(code == 0 && said.contains(PARTNER), "{said}{err}");
    assert_eq!((call(&gateway, &token), call(&gateway, &other)), (401, 200));
    let (code, _, err) = run(&gateway, &["revoke", "token", "--issuer", "https://nobody.example", "four"], "");
    assert!(code == 1 && err.contains("there is no issuer `https://nobody.example`"), "{err}");
    let own = gateway.login(ALICE);
    let id = keys::decode(&own).1["jti"].as_str().unwrap().to_owned();
    let (code, _, err) = run(&gateway, &["revoke", "token", "--issuer", "https://gateway.test", &id], "");
    assert!(code == 0 && call(&gateway, &own) == 401, "{err}");
}

#[test]
fn a_session_that_an_earlier_version_wrote_ends_together_with_the_jwt_of_its_login() {
    let store = Store::Redis(RedisServer::start());
    let (_backend, gateway) = store.world_with(|c| c.cookies("both"));
    let Store::Redis(server) = &store else { panic!("a Redis") };
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let pair = answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    // As it was: the session names no login, and the `sid` is the name of the session.
    let key = server.command(&["KEYS", "wg:s:*"]).trim().to_owned();
    server.command(&["HDEL", &key, "n"]);
    let (header, mut claims) = keys::decode(answer.json()["JWT"].as_str().unwrap());
    claims["sid"] = json!(key.strip_prefix("wg:s:").unwrap()[..16]);
    let token = gateway.signing_key.sign(&header, &claims);
    let by_cookie = |gateway: &Gateway, pair: &str| gateway.get("/me/x").header("Cookie", pair).send().status;
    let out = |gateway: &Gateway| gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin");
    let gateway = gateway.restart();
    assert_eq!((by_cookie(&gateway, &pair), call(&gateway, &token)), (200, 200));
    out(&gateway).header("Cookie", &pair).send().expect(204, "");
    assert_eq!((by_cookie(&gateway, &pair), call(&gateway, &token)), (401, 401));
}

#[test]
fn a_token_of_another_issuer_whose_clock_is_ahead_is_over_with_all_that_its_customer_has() {
    let key = TokenKey::generate();
    for store in [Store::Embedded, Store::Redis(RedisServer::start())] {
        let (backend, gateway) = store.world_with(|c| c.trust(PARTNER, &key));
        let ahead = |name: &str, seconds: u64| {
            token_with(&key, "partner-1", PARTNER, name, |claims| claims["iat"] = json!(keys::now() + seconds))
        };
        let (anns, last, bobs) = (ahead("ann", 25), ahead("ann", 5), ahead("bob", 25));
        for token in [&bobs, &last, &anns] {
            assert_eq!(call(&gateway, token), 200);
        }
        let ann = backend.last().header("X-Customer-Id").unwrap().to_owned();
        let (code, _, err) = run(&gateway, &["revoke", "customer", &ann], "");
        assert!(code == 0, "{err}");
        assert_eq!((call(&gateway, &anns), call(&gateway, &last), call(&gateway, &bobs)), (401, 401, 200));
        // One that this process sees only now, of a clock that it knows.
        assert_eq!(call(&gateway, &ahead("ann", 15)), 401);
        gateway.post("/auth/logout?everywhere=true").customer(&bobs).send().expect(204, "");
        assert_eq!(call(&gateway, &bobs), 401);
        // What this gateway issues goes by no clock.
        let first = gateway.login(ALICE);
        gateway.post("/auth/logout?everywhere=true").customer(&first).send().expect(204, "");
        assert_eq!((call(&gateway, &first), call(&gateway, &gateway.login(ALICE))), (401, 200));
    }
}
