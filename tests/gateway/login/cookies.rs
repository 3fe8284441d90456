//! The session cookie: attributes, forgery, lifetime.

use crate::harness::keys::decode;
use crate::harness::*;

/// `name=value` of the only cookie that the answer sets, and its attributes.
#[track_caller]
fn cookie(answer: &Response) -> (String, Vec<String>) {
    let text = answer.header("Set-Cookie").unwrap_or_else(|| panic!("no cookie: {:?}", answer.lines));
    let mut parts = text.split(';').map(|p| p.trim().to_owned());
    (parts.next().unwrap(), parts.collect())
}

#[track_caller]
fn log_in(gateway: &Gateway, account: Account) -> String {
    cookie(&gateway.login_request(account.name, account.secret).send().ok()).0
}

#[test]
fn the_cookie_has_the_attributes_that_keep_it_apart() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, attributes) = cookie(&answer);
    assert!(pair.starts_with("__Host-session=") && pair.len() <= 4096, "{pair}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(attributes.iter().any(|a| a.eq_ignore_ascii_case(attribute)), "{attribute} in {attributes:?}");
    }
    assert!(attributes.iter().any(|a| a.to_ascii_lowercase().starts_with("max-age=")), "{attributes:?}");
    assert!(!attributes.iter().any(|a| a.to_ascii_lowercase().starts_with("domain")), "{attributes:?}");
    let mut members: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    members.sort();
    assert_eq!(members, ["expires_in", "issued_at"]);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
}

#[test]
fn both_gives_jwt_and_cookie_and_they_mean_the_same_customer() {
    let (backend, gateway) = world_with(|c| c.cookies("both"));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, token) = (cookie(&answer).0, answer.json()["JWT"].as_str().unwrap().to_owned());
    gateway.get("/me/x").header("Cookie", &pair).send().ok();
    gateway.get("/me/x").customer(&token).send().ok();
    let ids: Vec<String> = backend.requests().iter().map(|s| s.header("X-Customer-Id").unwrap().to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(decode(&token).1["sub"].as_str(), Some(ids[0].as_str()));
}

#[test]
fn a_tampered_cookie_is_401() {
    let (backend, gateway) = world_with(|c| c.cookies("cookie"));
    let pair = log_in(&gateway, ALICE);
    let (name, value) = pair.split_once('=').unwrap();
    let mut connection = gateway.connect();
    let step = (value.len() / 40).max(1);
    for at in (0..value.len() - 1).step_by(step) {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = format!("{name}={}", String::from_utf8(bytes).unwrap());
        let answer = gateway.get("/me/x").header("Cookie", &changed).send_on(&mut connection);
        assert_eq!(answer.status, 401, "byte {at} of {}", value.len());
    }
    for wrong in ["", "x", &value[..value.len() / 2], &format!("{value}A"), &format!("{value}{value}")] {
        let answer = gateway.get("/me/x").header("Cookie", &format!("{name}={wrong}")).send();
        assert_eq!(answer.status, 401, "{wrong}");
    }
    backend.assert_untouched();
}

#[test]
fn header_and_cookie_of_two_customers_are_400() {
    let (backend, gateway) = world_with(|c| c.cookies("both"));
    let pair = log_in(&gateway, BOB);
    gateway.get("/me/x").customer(&gateway.customer_token()).header("Cookie", &pair).send().expect(400, "400-02");
    gateway.get("/me/x").header("Cookie", &format!("{pair}; {}", log_in(&gateway, ALICE))).send().expect(400, "400-02");
    backend.assert_untouched();
}

#[test]
fn our_cookie_does_not_reach_the_backend_and_others_do() {
    let (backend, gateway) = world_with(|c| c.cookies("cookie"));
    let pair = log_in(&gateway, ALICE);
    gateway.get("/me/x").header("Cookie", &format!("theme=dark; {pair}; lang=en")).send().ok();
    assert_eq!(backend.only().header("Cookie"), Some("theme=dark; lang=en"));
    backend.forget();
    gateway.get("/me/x").header("Cookie", &pair).send().ok();
    assert_eq!(backend.only().header("Cookie"), None);
}

#[test]
fn cookies_beside_ours_keep_every_byte() {
    let (backend, gateway) = world_with(|c| c.cookies("cookie"));
    let pair = log_in(&gateway, ALICE);
    for (sent, expected) in [
        (format!("d=\"q;q\"; {pair}; b=2"), "d=\"q;q\"; b=2"),
        (format!("a=1;{pair};b=2"), "a=1;b=2"),
        (format!("{pair};a=1;;b=2"), "a=1;;b=2"),
    ] {
        gateway.get("/me/x").header("Cookie", &sent).send().ok();
        assert_eq!(backend.only().header("Cookie"), Some(expected), "{sent}");
        backend.forget();
    }
}

#[test]
fn every_login_gives_another_cookie_and_a_planted_one_is_not_adopted() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let first = log_in(&gateway, ALICE);
    let again = gateway.login_request(ALICE.name, ALICE.secret).header("Cookie", &first).send().ok();
    assert_ne!(cookie(&again).0, first);
}

#[test]
fn a_backend_sets_its_own_cookies_and_never_that_of_a_login() {
    let (backend, gateway) = world_with(|c| c.cookies("cookie"));
    let planted = log_in(&gateway, BOB);
    let theirs = [
        ("Set-Cookie", "theme=dark; Path=/".to_owned()),
        ("Set-Cookie", format!("{planted}; Path=/; Secure")),
        ("Set-Cookie", format!(" \t{}", planted.replace('=', " = "))),
        // What has no name is sent back as it is.
        ("Set-Cookie", format!("={planted}")),
        ("Set-Cookie", "__Host-session; Path=/".to_owned()),
        ("Set-Cookie", "__Host-session2=x".to_owned()),
        ("Set-Cookie", "x=__Host-session=x".to_owned()),
    ];
    let theirs: Vec<_> = theirs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    backend.on("/me/x", Behaviour::reply(200, &theirs, b"{}"));
    let pair = log_in(&gateway, ALICE);
    let answer = gateway.get("/me/x").header("Cookie", &pair).send().ok();
    assert_eq!(answer.all("Set-Cookie"), ["theme=dark; Path=/", "__Host-session2=x", "x=__Host-session=x"]);
    // Where there are no sessions there is nothing to protect.
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::reply(200, &theirs[1..2], b"{}"));
    assert_eq!(gateway.get("/public/x").send().ok().all("Set-Cookie").len(), 1);
}

#[test]
fn a_session_ends_with_its_lifetime() {
    let (_backend, gateway) =
        world_with(|c| c.cookies("cookie").set("/login/lifetime", json!("3s")).set("/login/cookie/idle", json!("2s")));
    let pair = log_in(&gateway, ALICE);
    gateway.get("/me/x").header("Cookie", &pair).send().ok();
    let until = std::time::Instant::now() + DEADLINE;
    let refused = || gateway.get("/me/x").header("Cookie", &pair).send().status == 401;
    while !refused() {
        assert!(std::time::Instant::now() < until, "the session does not end");
        // An idle session ends only while nobody asks.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
}
