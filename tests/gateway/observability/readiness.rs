//! `wicketgate readiness` and `enforce: N%`: who would be refused, and a share of the callers that already is, always the
//! same ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::forward_auth::decisions::{asked_with, nginx, plainly, question};
use crate::harness::config::FREE_API_KEY;
use crate::harness::keys::{now, sha256_hex};
use crate::harness::python::python;
use crate::harness::*;
use crate::websocket::tunnel;

/// So many API keys that are good on no route that these tests call; at 20% and 50% some are in and some are out.
const KEYS: usize = 40;

fn key(number: usize) -> String {
    format!("wgk_many_{number:02}_8rT2mX5vQ9")
}

/// A route `key` that observes, with this share, and many API keys that may not call it.
fn sharing(config: Config, share: &str) -> Config {
    let config = with_keys(config, "profile").route("key", "mode", json!("observe"));
    config.route("key", "enforce", json!(share))
}

fn with_keys(mut config: Config, route: &str) -> Config {
    let keys = config.yaml["api_keys"].as_array_mut().unwrap();
    keys.extend((0..KEYS).map(
        |number| json!({"id": format!("many-{number}"), "sha256": [sha256_hex(&key(number))], "routes": [route]}),
    ));
    config
}

/// The keys that are refused on this route.
fn refused(gateway: &Gateway, path: &str) -> BTreeSet<usize> {
    (0..KEYS)
        .filter(|number| match gateway.get(path).api_key(&key(*number)).send() {
            answer if answer.status == 200 => false,
            answer => {
                answer.expect(403, "403-01");
                true
            }
        })
        .collect()
}

fn readiness(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.files.succeeds(&["readiness", "--json"])).unwrap()
}

/// The route of this name.
fn route(told: &Value, name: &str) -> Value {
    told["routes"].as_array().unwrap().iter().find(|route| route["route"] == name).cloned().unwrap_or_default()
}

#[test]
fn who_would_be_refused_is_told_by_client_route_and_word() {
    let begun = now();
    let (_backend, gateway) =
        world_with(|c| c.route("profile", "mode", json!("observe")).route("key", "mode", json!("observe")));
    let good = gateway.profile();
    for _ in 0..3 {
        good.clone().replace("customer-auth", "JWT garbage").send().ok();
    }
    good.clone().replace("Authorization", "Bearer garbage").send().ok();
    gateway.post("/account/x").send().ok();
    good.send().ok();
    // Refused by a route that enforces: nobody has to wait for that.
    gateway.get("/me/x").send().expect(401, "401-10");
    eventually("all are counted", || route(&readiness(&gateway), "profile")["calls"] == 6);
    let told = readiness(&gateway);
    let rows: Vec<(&str, Option<&str>, &str, u64)> = told["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let members: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members.len(), 6, "{row}");
            let time = |name: &str| row[name].as_str().unwrap().to_owned();
            assert!(time("since") <= time("last_seen") && time("since").ends_with('Z'), "{row}");
            let text = |name: &str| row[name].as_str().unwrap();
            (text("route"), row["client"].as_str(), text("refusal"), row["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("profile", Some("asapp"), "customer_token_malformed", 3),
            ("profile", None, "no_credential", 1),
            ("profile", Some("key:asapp-prod"), "client_token_malformed", 1),
        ]
    );
    let profile = route(&told, "profile");
    assert_eq!(
        (&profile["mode"], &profile["enforce"], &profile["observed"], &profile["refused"], &profile["safe"]),
        (&json!("observe"), &json!("0%"), &json!(5), &json!(0), &json!(false))
    );
    assert!(route(&told, "me").is_null() && told["others"].is_null(), "{told}");
    let text = gateway.files.succeeds(&["readiness"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("route") && lines[0].ends_with("last seen"), "{text}");
    assert!(text.contains("route profile: 5 of 6 calls since 20"), "{text}");
    assert!(text.contains("route key: no calls since 20") && text.contains("nothing can be said"), "{text}");
    assert!(now() - begun < 3_600);
    gateway.get("/key/x").api_key(FREE_API_KEY).send().ok();
    eventually("it is counted", || gateway.files.succeeds(&["readiness"]).contains("route key: safe to enforce"));
}

#[test]
fn what_was_observed_outlives_a_reload_and_a_restart_and_ends_with_the_observing() {
    let (_backend, mut gateway) = world_with(|c| c.route("key", "mode", json!("observe")));
    gateway.get("/key/x").send().ok();
    eventually("it is counted", || route(&readiness(&gateway), "key")["calls"] == 1);
    let since = route(&readiness(&gateway), "key")["since"].clone();
    gateway.hup("reloaded");
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = Gateway::start_in(Arc::clone(&gateway.files), gateway.signing_key.clone());
    gateway.get("/key/x").api_key("unknown").send().ok();
    gateway.get("/key/x").send().ok();
    eventually("all are counted", || route(&readiness(&gateway), "key")["calls"] == 3);
    let told = readiness(&gateway);
    let counted = route(&told, "key");
    assert_eq!((&counted["since"], &counted["observed"]), (&since, &json!(3)));
    let count = |word: &str| {
        told["rows"].as_array().unwrap().iter().find(|row| row["refusal"] == word).unwrap()["count"].clone()
    };
    assert_eq!((count("api_key_missing"), count("api_key_unknown")), (json!(2), json!(1)));
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(gateway.files.config()).unwrap()).unwrap();
    config["routes"][3]["mode"] = json!("enforce");
    gateway.files.write("gateway.yaml", &config.to_string());
    gateway.hup("reloaded");
    assert_eq!(readiness(&gateway), json!({"routes": [], "rows": [], "others": null}));
    assert!(gateway.files.succeeds(&["readiness"]).contains("no route observes"));
    gateway.get("/key/x").send().expect(403, "403-01");
}

#[test]
fn strangers_make_no_rows_of_their_own() {
    let (_backend, gateway) = world_with(|c| c.route("key", "mode", json!("observe")));
    for number in 0..50 {
        gateway.get("/key/x").api_key(&format!("wgk_made_up_{number}")).send().ok();
    }
    eventually("all are counted", || route(&readiness(&gateway), "key")["observed"] == 50);
    let told = readiness(&gateway);
    assert_eq!(told["rows"].as_array().unwrap().len(), 1, "{told}");
    assert!(!told.to_string().contains("made_up"));
}

#[test]
fn a_share_of_the_callers_is_refused_the_same_ones_after_a_restart_on_all_routes_and_within_a_larger_share() {
    let again = json!({
        "name": "again", "path": "/again/", "methods": ["GET"], "require": ["api_key"], "backend": "legacy",
        "mode": "observe", "enforce": "20%",
    });
    let (backend, gateway) = world_with(|c| sharing(c, "20%").add_route(again));
    let some = refused(&gateway, "/key/x");
    assert!((1..KEYS / 2).contains(&some.len()), "{some:?}");
    assert_eq!(backend.requests_for("/key/x").len(), KEYS - some.len(), "all others are forwarded");
    assert_eq!(refused(&gateway, "/again/x"), some);
    let gateway = gateway.restart();
    assert_eq!(refused(&gateway, "/key/x"), some);
    let mut larger = some;
    for share in ["50%", "99.5%", "100%", "50%", "20%", "0%"] {
        gateway.reload(&sharing(Config::new(&backend), share), "reloaded");
        let now = refused(&gateway, "/key/x");
        let (small, large) = if now.len() < larger.len() { (&now, &larger) } else { (&larger, &now) };
        assert!(small.is_subset(large), "{share}: {small:?} {large:?}");
        match share {
            "100%" => assert_eq!(now.len(), KEYS),
            "0%" => assert_eq!(now.len(), 0),
            _ => assert!(!now.is_empty()),
        }
        larger = now;
    }
}

#[test]
fn refusals_within_the_share_are_no_rows_and_yet_the_route_is_not_called_safe() {
    let (_backend, gateway) = world_with(|c| sharing(c, "50%"));
    let some = refused(&gateway, "/key/x");
    eventually("all are counted", || route(&readiness(&gateway), "key")["calls"] == KEYS as u64);
    let told = readiness(&gateway);
    let rows: BTreeSet<String> =
        told["rows"].as_array().unwrap().iter().map(|row| row["client"].as_str().unwrap().to_owned()).collect();
    let others: BTreeSet<String> =
        (0..KEYS).filter(|number| !some.contains(number)).map(|number| format!("key:many-{number}")).collect();
    assert_eq!(rows, others);
    let counted = route(&told, "key");
    assert_eq!(
        (&counted["enforce"], &counted["refused"], &counted["observed"], &counted["safe"]),
        (&json!("50%"), &json!(some.len()), &json!(KEYS - some.len()), &json!(false))
    );
    let text = gateway.files.succeeds(&["readiness"]);
    assert!(text.contains("route key, enforced for 50% of the callers: "), "{text}");
}

#[test]
fn customers_of_one_client_are_callers_of_their_own() {
    let share = |c: Config| c.route("profile", "mode", json!("observe")).route("profile", "enforce", json!("50%"));
    let (_backend, gateway) = world_with(|c| {
        share((0..30).fold(c, |c, number| {
            let name: &'static str = format!("customer-{number}").leak();
            c.account(Account { name, secret: ALICE.secret, subject: name })
        }))
    });
    let good = gateway.profile().drop_header("api-key");
    let statuses: BTreeSet<u16> = (0..30)
        .map(|number| {
            let name: &'static str = format!("customer-{number}").leak();
            let token = gateway.login(Account { name, secret: ALICE.secret, subject: name });
            let call = good.clone().replace("customer-auth", &format!("JWT {token}"));
            let [first, second] = [call.send().status, call.send().status];
            assert_eq!(first, second);
            first
        })
        .collect();
    assert_eq!(statuses, BTreeSet::from([200, 403]), "some are refused, and some are not");
}

#[test]
fn nobody_chooses_a_place_outside_of_the_share_by_a_credential_that_is_not_authentic() {
    let (_backend, gateway) = world_with(|c| {
        let c = c.set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]));
        c.route("me", "mode", json!("observe")).route("me", "enforce", json!("50%"))
    });
    let from = |number: usize| gateway.get("/me/x").header("X-Forwarded-For", &format!("198.51.100.{number}"));
    let is_refused = |request: Request| request.send().status == 401;
    let refused: Vec<usize> = (0..40).filter(|number| is_refused(from(*number))).collect();
    assert!((5..35).contains(&refused.len()), "{refused:?}");
    let forged = |name: &str| {
        let stranger = keys::TokenKey::generate();
        let (header, mut claims) = keys::decode(&gateway.customer_token());
        claims["sub"] = json!(name);
        stranger.sign(&header, &claims)
    };
    for number in 0..40 {
        let name = format!("t1-made-up-{number}");
        for address in [refused[0], refused[1], (0..40).find(|number| !refused.contains(number)).unwrap()] {
            let is_in = refused.contains(&address);
            assert_eq!(is_refused(from(address).customer(&name)), is_in);
            assert_eq!(is_refused(from(address).customer(&forged(&name))), is_in);
        }
    }
    // An IPv6 caller has 2^64 addresses, and one place.
    let v6 = |number: usize| gateway.get("/me/x").header("X-Forwarded-For", &format!("2001:db8::{number:x}"));
    let first = is_refused(v6(1));
    assert!((2..40).all(|number| is_refused(v6(number)) == first));
}

#[test]
fn a_share_of_all_callers_refuses_what_enforce_refuses() {
    let calls = |gateway: &Gateway| -> Vec<(u16, String)> {
        let good = gateway.profile();
        let expired = format!("JWT {}", gateway.forge(|_, claims| claims["exp"] = json!(now() - 60)));
        let calls = [
            good.clone(),
            gateway.post("/account/x"),
            good.clone().replace("customer-auth", "JWT garbage"),
            good.clone().replace("customer-auth", &expired),
            good.clone().replace("Authorization", "Bearer garbage").replace("api-key", "unknown"),
            good.clone().replace("api-key", config::OTHER_API_KEY),
            good.clone().replace("Authorization", &format!("Bearer {}", gateway.token(OTHER_CLIENT))),
            good.clone().header("Authorization", "Bearer x"),
            good.clone().header("customer-auth", "JWT x"),
            good.clone().header("X-Customer-Id", "somebody"),
            good.clone(),
            good,
        ];
        let code =
            |answer: Response| if answer.status == 200 { (200, String::new()) } else { (answer.status, answer.code()) };
        calls.into_iter().map(|call| code(call.send())).collect()
    };
    let limited = |c: Config| c.route("profile", "limits", json!({"rate": "1/h", "burst": 2}));
    let (_backend, enforcing) = world_with(limited);
    let (backend, sharing) = world_with(|c| {
        limited(c).route("profile", "mode", json!("observe")).route("profile", "enforce", json!("100%"))
    });
    let expected = calls(&enforcing);
    assert_eq!(calls(&sharing), expected);
    let passed = expected.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!((passed, backend.requests().len()), (2, 2), "{expected:?}");
    assert!(expected.last().unwrap().0 == 429);
}

#[test]
fn rate_limits_are_carried_out_for_the_share_alone() {
    let (_backend, gateway) = world_with(|c| {
        let c = with_keys(c, "key").route("key", "mode", json!("observe")).route("key", "enforce", json!("50%"));
        c.route("key", "limits", json!({"rate": "1/h", "burst": 1}))
    });
    let call = |number: usize| gateway.get("/key/x").api_key(&key(number));
    let limited: Vec<bool> = (0..KEYS)
        .map(|number| {
            call(number).send().ok();
            let answer = call(number).send();
            let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
            match answer.status {
                200 => assert_eq!(line["observed"], "rate_limited"),
                _ => assert!(answer.retry_after() > 0 && line["observed"].is_null()),
            }
            line["status"] == 429
        })
        .collect();
    assert!(limited.contains(&true) && limited.contains(&false), "{limited:?}");
}

#[test]
fn open_websockets_end_for_the_share_alone() {
    let (address, backend) = tunnel::backend();
    let share = |share: &str| {
        let c = tunnel::with_websockets(Config::with_server(&format!("http://{address}")));
        let c = with_keys(c, "key").route("key", "websocket", json!(true)).route("key", "mode", json!("observe"));
        let c = c.route("key", "enforce", json!(share)).route("key", "limits", json!({"recheck": "100ms"}));
        // The same callers are in the share of this one.
        c.add_route(json!({
            "name": "probe", "path": "/probe/", "methods": ["GET"], "require": ["api_key"], "mode": "observe",
            "enforce": share, "respond": {"status": 204},
        }))
    };
    let gateway = Gateway::start(&share("50%"));
    let open = |number: usize| tunnel::open(&gateway, &backend, gateway.get("/key/live").api_key(&key(number)));
    let mut opened: Vec<_> = (0..8).map(|number| (number, open(number))).collect();
    for number in 0..8 {
        gateway.files.succeeds(&["revoke", "api-key", &format!("many-{number}")]);
    }
    // What a new call gets shows who is in the share.
    let is_in = |number: usize| gateway.get("/probe/x").api_key(&key(number)).send().status == 403;
    let (mut ended, mut goes_on) = (0, 0);
    for (number, (caller, opened)) in &mut opened {
        if is_in(*number) {
            assert!(caller.closes(), "{number}");
            ended += 1;
        } else {
            caller.send(b"x");
            assert_eq!(opened.stream.exact(1).unwrap(), b"x", "{number}");
            goes_on += 1;
        }
    }
    assert!(ended > 0 && goes_on > 0, "{ended} {goes_on}");
}

#[test]
fn proxies_that_ask_are_told_no_for_the_same_share_by_http_and_by_grpc() {
    let (_backend, gateway, plain) = asked_with(|c| {
        let c = c.set("/forward_auth/grpc", json!(true));
        c.route("me", "mode", json!("observe")).route("me", "enforce", json!("50%"))
    });
    let refused: Vec<usize> = (0..40)
        .filter(|number| {
            let asked = question(plain, "GET", "/me/x").replace("X-Forwarded-For", &format!("198.51.100.{number}"));
            let answer = plainly(&asked);
            assert_eq!(answer.header("X-Customer-Id"), None);
            assert!([200, 401].contains(&answer.status));
            answer.status == 401
        })
        .collect();
    assert!((5..35).contains(&refused.len()), "{refused:?}");
    let (port, ca) = (gateway.address.port().to_string(), gateway.files.path.join("certs/ca.pem"));
    let said = python("ext_authz_share.py", &[&port, ca.to_str().unwrap(), "/me/x", "40"]);
    assert_eq!(serde_json::from_str::<Vec<usize>>(&said).unwrap(), refused);
    eventually("all are counted", || route(&readiness(&gateway), "me")["calls"] == 80);
    assert_eq!(route(&readiness(&gateway), "me")["refused"], json!(2 * refused.len()));
}

#[test]
fn nginx_in_front_refuses_to_the_share_alone() {
    let (backend, _gateway, plain) =
        asked_with(|c| c.route("me", "mode", json!("observe")).route("me", "enforce", json!("50%")));
    let nginx = nginx(&backend, plain);
    let status_from = |number: usize| {
        let mut connection = Connection::plain_from(&format!("127.0.0.{number}"), nginx.address);
        Request::new(nginx.address, "GET", "/me/x").send_on(&mut connection).status
    };
    let statuses: Vec<u16> = (1..30).map(status_from).collect();
    assert_eq!(statuses.iter().copied().collect::<BTreeSet<u16>>(), BTreeSet::from([200, 401]));
    assert_eq!((1..30).map(status_from).collect::<Vec<_>>(), statuses);
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(backend.requests().len(), 2 * passed);
    assert!(backend.requests().iter().all(|seen| seen.header("X-Customer-Id").is_none()));
}

#[test]
fn enforce_stands_beside_mode_observe_and_is_a_percentage() {
    let files = |change: fn(Config) -> Config| {
        let backend = Backend::start();
        workspace::Workspace::new(&change(Config::new(&backend))).fails(&["check", "--files-only"])
    };
    let alone = files(|c| c.route("key", "enforce", json!("50%")));
    assert!(alone.contains("routes[3].enforce") && alone.contains("add `mode: observe`"), "{alone}");
    let observing = |c: Config, share: Value| c.route("key", "mode", json!("observe")).route("key", "enforce", share);
    let plain = files(|c| c.route("key", "mode", json!("observe")).route("key", "enforce", json!(50)));
    assert!(plain.contains("write it with a unit: \"50%\""), "{plain}");
    let much = files(|c| c.route("key", "mode", json!("observe")).route("key", "enforce", json!("101%")));
    assert!(much.contains("more than 100%"), "{much}");
    let backend = Backend::start();
    for share in ["0%", "0.5%", "100%"] {
        let good = workspace::Workspace::new(&observing(Config::new(&backend), json!(share)));
        good.succeeds(&["check", "--files-only"]);
    }
}

#[test]
fn the_page_shows_a_route_that_is_right_and_what_the_command_prints() {
    let block = |language: &str| {
        let page = include_str!("../../../docs/rollout.md");
        let page = &page[page.find("## Observe, then enforce").unwrap()..];
        let rest = page.split(&format!("```{language}\n")).nth(1).unwrap();
        rest.split("```").next().unwrap().to_owned()
    };
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    let (_backend, gateway) = world_with(|c| c.route("key", "mode", json!("observe")));
    gateway.get("/key/x").send().ok();
    eventually("it is counted", || route(&readiness(&gateway), "key")["calls"] == 1);
    let (said, shown) = (readiness(&gateway), serde_json::from_str::<Value>(&block("json")).unwrap());
    assert_eq!(members(&said), members(&shown));
    for list in ["routes", "rows"] {
        assert_eq!(members(&said[list][0]), members(&shown[list][0]));
    }
    let mut config = String::new();
    let rest = std::fs::read_to_string(gateway.files.config()).unwrap();
    let mut rest: Value = serde_json::from_str(&rest).unwrap();
    rest.as_object_mut().unwrap().remove("routes");
    for key in rest["api_keys"].as_array_mut().unwrap() {
        key["routes"] = json!(["orders"]);
    }
    for (name, value) in rest.as_object().unwrap() {
        config.push_str(&format!("{name}: {value}\n"));
    }
    config.push_str(&block("yaml"));
    gateway.files.write("shown.yaml", &config);
    gateway.files.succeeds(&["check", "--files-only", "--config", "shown.yaml"]);
}
