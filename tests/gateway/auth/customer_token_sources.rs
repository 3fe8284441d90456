//! `routes[].customer_token_sources`: the headers, cookies and body members in which a customer token may stand.

use crate::harness::*;

fn header(name: &str, scheme: Option<&str>) -> Value {
    match scheme {
        Some(scheme) => json!({"header": {"name": name, "scheme": scheme}}),
        None => json!({"header": {"name": name}}),
    }
}

#[test]
fn a_header_with_two_schemes_is_read_by_the_one_that_fits_whatever_their_order() {
    let schemes = [header("X-Token", Some("JWT")), header("X-Token", Some("Bearer"))];
    for places in [json!(schemes), json!([schemes[1], schemes[0]])] {
        let (_backend, gateway) = world_with(|config| config.route("me", "customer_token_sources", places));
        let (code, _, complained) = gateway.files.run(&["check"]);
        assert_eq!(code, 0, "{complained}");
        let token = gateway.customer_token();
        let ask = |value: &str| gateway.get("/me/x").header("X-Token", value).send();
        for word in ["JWT", "Bearer", "bearer", "JWT  "] {
            ask(&format!("{word} {token}")).ok();
            ask(&format!("{word} {token}x")).expect(401, "401-03");
        }
        for value in [token.clone(), format!("Basic {token}"), format!("JWT Bearer {token}"), format!("JWT\t{token}")] {
            ask(&value).expect(401, "401-03");
        }
        gateway.get("/me/x").send().expect(401, "401-10");
        let twice = gateway.get("/me/x").header("X-Token", &format!("JWT {token}"));
        twice.header("X-Token", &format!("Bearer {token}")).send().expect(400, "400-02");
    }
}

#[test]
fn a_header_with_and_without_a_scheme_takes_both_and_nothing_else() {
    let schemes = [header("X-Token", None), header("x-token", Some("JWT"))];
    for places in [json!(schemes), json!([schemes[1], schemes[0]])] {
        let (_backend, gateway) = world_with(|config| config.route("me", "customer_token_sources", places));
        let (code, _, complained) = gateway.files.run(&["check"]);
        assert_eq!(code, 0, "{complained}");
        let token = gateway.customer_token();
        let ask = |value: &str| gateway.get("/me/x").header("X-Token", value).send();
        ask(&token).ok();
        ask(&format!("JWT {token}")).ok();
        for value in [format!("Bearer {token}"), format!("JWT {token} x"), format!("{token}x"), "JWT".to_owned()] {
            ask(&value).expect(401, "401-03");
        }
    }
}

#[test]
fn another_token_in_another_header_is_a_conflict_beside_a_header_with_two_schemes() {
    let places = json!([header("X-Token", Some("JWT")), header("X-Token", Some("Bearer")), header("X-Other", None)]);
    let (backend, gateway) = world_with(|config| config.route("me", "customer_token_sources", places));
    let (one, other) = (gateway.login(ALICE), gateway.login(BOB));
    for word in ["JWT", "Bearer"] {
        let request = gateway.get("/me/x").header("X-Token", &format!("{word} {one}"));
        request.clone().header("X-Other", &other).send().expect(400, "400-02");
        request.header("X-Other", &one).send().ok();
        assert!(backend.last().lines.iter().all(|(name, _)| !["x-token", "x-other"].contains(&&*name.to_lowercase())));
    }
    let request = gateway.get("/me/x").header("X-Token", &format!("Basic {one}"));
    request.header("X-Other", &one).send().expect(401, "401-03");
}
