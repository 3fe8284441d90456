//! Schemes and spaces before credentials.

use super::claims::word;
use crate::auth::dpop::Proof;
use crate::forward_auth::decisions::{asked, plainly, question};
use crate::harness::keys::{TokenKey, base64};
use crate::harness::*;

/// Between the scheme and the credentials: one or more spaces (RFC 9110 section 11.4).
const SPACES: [&str; 3] = [" ", "  ", "          "];
/// And what is none.
const NO_SPACES: [&str; 5] = ["\t", " \t", "\t ", "", "\u{a0}"];

#[test]
fn any_number_of_spaces_stands_between_a_scheme_in_any_case_and_a_token() {
    let (_backend, gateway) = world();
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        for spaces in SPACES {
            // Twice: also as it is remembered.
            for _ in 0..2 {
                gateway.get("/system/x").header("Authorization", &format!("{scheme}{spaces}{client}")).send().ok();
            }
        }
        for spaces in NO_SPACES {
            let request = gateway.get("/system/x").header("Authorization", &format!("{scheme}{spaces}{client}"));
            request.send().expect(401, "401-11");
        }
    }
    for scheme in ["JWT", "jwt", "Jwt"] {
        for spaces in SPACES {
            gateway.get("/me/x").header("customer-auth", &format!("{scheme}{spaces}{customer}")).send().ok();
        }
        for spaces in NO_SPACES {
            let request = gateway.get("/me/x").header("customer-auth", &format!("{scheme}{spaces}{customer}"));
            request.send().expect(401, "401-03");
        }
    }
    for value in ["Bearer", "Bearer  ", "  ", &format!("Bearer {client} {client}"), &format!("Bearer  {client},x")] {
        let answer = gateway.get("/system/x").header("Authorization", value).send().expect(401, "401-11");
        assert_eq!(word(&gateway, &answer), "client_token_malformed", "{value}");
    }
}

#[test]
fn a_customers_token_by_the_scheme_bearer_may_stand_behind_several_spaces() {
    let (_backend, gateway) =
        world_with(|config| config.route("me", "customer_token_sources", json!([{"bearer": true}])));
    let token = gateway.customer_token();
    for spaces in SPACES {
        gateway.get("/me/x").header("Authorization", &format!("Bearer{spaces}{token}")).send().ok();
        // It ends there too.
        let token = gateway.login(ALICE);
        let out = gateway.post("/auth/logout").header("Authorization", &format!("bearer{spaces}{token}"));
        out.send().expect(204, "");
        gateway.get("/me/x").bearer(&token).send().expect(401, "401-03");
    }
}

#[test]
fn the_proof_of_a_bound_token_is_over_the_token_without_the_spaces_before_it() {
    let (_backend, gateway) = world_with(|config| config.route("system", "dpop", json!("required")));
    let key = TokenKey::generate();
    let proof = Proof::new(&key, "POST", "/oauth/access_token").text();
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", &proof).send().ok().json();
    let token = answer["access_token"].as_str().unwrap();
    let call = |value: &str, token: &str| {
        let proof = Proof::new(&key, "GET", "/system/x").with(token).text();
        gateway.get("/system/x").header("Authorization", value).header("DPoP", &proof).send()
    };
    for scheme in ["DPoP", "dpop", "DPOP"] {
        for spaces in SPACES {
            call(&format!("{scheme}{spaces}{token}"), token).ok();
        }
    }
    call(&format!("DPoP  {token}"), &format!(" {token}")).expect(401, "401-15");
    for spaces in NO_SPACES {
        assert_eq!(call(&format!("DPoP{spaces}{token}"), token).status, 401, "{spaces:?}");
    }
}

#[test]
fn a_client_secret_by_basic_may_stand_behind_several_spaces_at_every_endpoint() {
    let (_backend, gateway) = world();
    let token = gateway.client_token();
    let pair = base64(format!("{}:{}", CLIENT.name, CLIENT.secret).as_bytes());
    let about = format!("token={token}");
    for (target, form) in [
        ("/oauth/access_token", "grant_type=client_credentials"),
        ("/oauth/introspect", &*about),
        ("/oauth/revoke", "token=x"),
    ] {
        for scheme in ["Basic", "basic", "BASIC"] {
            for spaces in SPACES {
                let request = gateway.post(target).header("Authorization", &format!("{scheme}{spaces}{pair}"));
                request.form(form).send().ok();
            }
            for spaces in NO_SPACES {
                let request = gateway.post(target).header("Authorization", &format!("{scheme}{spaces}{pair}"));
                assert_eq!(request.form(form).send().status, 401, "{target} {spaces:?}");
            }
        }
    }
}

#[test]
fn another_proxy_that_asks_passes_the_spaces_on() {
    let (_backend, gateway, plain) = asked();
    let token = gateway.client_token();
    let ask = |value: &str| plainly(&question(plain, "GET", "/system/x").header("Authorization", value)).status;
    for spaces in SPACES {
        assert_eq!(ask(&format!("bearer{spaces}{token}")), 200);
    }
    assert_eq!(ask(&format!("bearer\t{token}")), 401);
}
