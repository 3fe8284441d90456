//! A credential that cannot be parsed is not taken for an absent one.

use crate::harness::customer::{by_cookie, log_in, logout};
use crate::harness::*;

#[test]
fn a_cookie_that_is_not_ascii_hides_no_session() {
    let (backend, gateway) = world_with(|c| c.cookies("cookie"));
    let pair = log_in(&gateway, ALICE);
    for line in [format!("city=Z\u{fc}rich; {pair}"), format!("{pair}; city=Z\u{fc}rich"), format!("a=b;\t{pair}")] {
        for bytes in in_utf8_and_latin1(&by_cookie(&gateway, &line)) {
            gateway.connect().exchange(&bytes).unwrap().ok();
            assert!(!format!("{:?}", backend.last().lines).contains(&pair), "{line}");
        }
    }
    for encoding in 0..2 {
        let pair = log_in(&gateway, ALICE);
        let request = logout(&gateway).header("Cookie", &format!("city=Z\u{fc}rich; {pair}")).body("");
        let bytes = &in_utf8_and_latin1(&request)[encoding];
        gateway.connect().exchange(bytes).unwrap().expect(204, "");
        by_cookie(&gateway, &pair).send().expect(401, "401-03");
        gateway.connect().exchange(bytes).unwrap().expect(401, "401-03");
    }
}

/// A request with an umlaut in both encodings that browsers have sent.
fn in_utf8_and_latin1(request: &Request) -> [Vec<u8>; 2] {
    let utf8 = request.bytes();
    let at = utf8.windows(2).position(|two| two == [0xc3, 0xbc]);
    let latin1 = at.map(|at| [&utf8[..at], &[0xfc], &utf8[at + 2..]].concat());
    [utf8.clone(), latin1.unwrap_or(utf8)]
}

#[test]
fn a_jwt_in_a_cookie_is_found_beside_one_that_is_not_ascii_on_a_route_and_at_logout() {
    let (_backend, gateway) = world_with(|c| c.route("me", "customer_token_sources", json!([{"cookie": "token"}])));
    for encoding in 0..2 {
        let pair = format!("token={}", gateway.login(ALICE));
        let line = format!("city=Z\u{fc}rich; {pair}");
        let route = &in_utf8_and_latin1(&by_cookie(&gateway, &line))[encoding];
        gateway.connect().exchange(route).unwrap().ok();
        let out = &in_utf8_and_latin1(&logout(&gateway).header("Cookie", &line).body(""))[encoding];
        gateway.connect().exchange(out).unwrap().expect(204, "");
        gateway.connect().exchange(route).unwrap().expect(401, "401-03");
    }
}

#[test]
fn a_logout_ends_every_session_whose_cookie_it_shows() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let pairs = [log_in(&gateway, ALICE), log_in(&gateway, ALICE), log_in(&gateway, ALICE)];
    let request = logout(&gateway).header("Cookie", &format!("{}; {}", pairs[0], pairs[1])).header("Cookie", &pairs[2]);
    request.send().expect(204, "");
    for pair in &pairs {
        by_cookie(&gateway, pair).send().expect(401, "401-03");
    }
}

#[test]
fn a_logout_that_cannot_read_the_token_is_no_success() {
    let (_backend, gateway) = world();
    let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
    for value in [token.clone(), format!("JWT\t{token}"), format!("Bearer {token}"), format!("JWT {token}\u{fc}")] {
        logout(&gateway).header("customer-auth", &value).send().expect(401, "");
    }
    logout(&gateway).customer(&token).customer(&other).send().expect(400, "400-02");
    for token in [&token, &other] {
        gateway.get("/me/x").customer(token).send().ok();
    }
    logout(&gateway).customer(&token).send().expect(204, "");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    // What has ended already ends no more.
    logout(&gateway).customer(&token).send().expect(401, "401-03");
}

#[test]
fn a_login_from_an_origin_that_cannot_be_read_is_from_a_strange_page() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let login = || gateway.login_request(ALICE.name, ALICE.secret);
    login().header("Origin", "https://\u{e9}vil.example").send().expect(403, "403-05");
    let port = gateway.address.port();
    let own = format!("https://localhost:{port}");
    login().header("Origin", &own).header("Origin", "https://evil.example").send().expect(403, "403-05");
    login().replace("Host", &format!("localhost:{port}")).header("Origin", &own).send().ok();
}
