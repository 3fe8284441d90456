//! `reload.guard`: a reload after which refusals jump is rolled back by itself.

use crate::harness::*;

fn guarded(backend: &Backend) -> Config {
    Config::new(backend).set("/reload", json!({"guard": {"window": "5s", "refusals": "20%"}}))
}

/// Without the scope that the profile needs, beside what else changes.
fn broken(config: &Config) -> Config {
    config.clone().route("profile", "scopes", json!(["profile", "unheard-of"]))
}

fn rolled_back(gateway: &Gateway) -> f64 {
    gateway.metric("wicketgate_reloads_total", &[("outcome", "rolled_back")])
}

/// Calls until the reload has been rolled back; the lines of standard error from `from` on say so.
fn call_until_rolled_back(gateway: &Gateway, from: usize, call: impl Fn()) -> Value {
    eventually("the reload is rolled back", || {
        call();
        gateway.stderr.all()[from..].iter().any(|line| line.contains("reload rolled back"))
    });
    gateway.stderr.wait_after(from, |line| line["message"] == "reload rolled back").unwrap()
}

#[test]
fn a_reload_after_which_a_known_client_is_refused_is_rolled_back_and_says_so() {
    let backend = Backend::start();
    let config = guarded(&backend);
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    let from = gateway.stderr.count();
    gateway.reload(&broken(&config), "reloaded");
    let line = call_until_rolled_back(&gateway, from, || drop(gateway.profile().send()));
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("client asapp on route profile") && reason.contains("scope"), "{reason}");
    gateway.profile().send().ok();
    assert_eq!(rolled_back(&gateway) as u64, 1);
    gateway.expect_metric("wicketgate_config_last_reload_successful", &[], 0.0);
    eventually("the status names it", || {
        let status = gateway.admin("/status.json").text();
        status.contains("The last reload was rolled back: ") && status.contains("the file on disk is not in force")
    });
    // What it would have changed is kept.
    let reloads = gateway_reloads(&gateway);
    assert_eq!(reloads[0]["outcome"], "rolled_back");
    assert!(
        reloads[0]["changes"].to_string().contains("unheard-of") && reloads[1]["outcome"] == "applied",
        "{reloads}"
    );
    // The same content is not tried again, however it is asked for.
    let from = gateway.stderr.count();
    gateway.files.write("gateway.yaml", &broken(&config).text());
    gateway.hup("reload failed");
    let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap();
    assert!(line["reason"].as_str().unwrap().contains("rolled back before"), "{line}");
    gateway.profile().send().ok();
    // The next change is.
    gateway.reload(&broken(&config).route("me", "name", json!("self")), "reloaded");
    gateway.profile().send().expect(403, "");
}

fn gateway_reloads(gateway: &Gateway) -> Value {
    let socket = gateway.files.path.join("data/admin.sock");
    let output = std::process::Command::new("curl")
        .args(["--silent", "--unix-socket", socket.to_str().unwrap(), "http://localhost/reloads"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_that_has_been_rolled_back_is_not_tried_again_by_itself() {
    let backend = Backend::start();
    let config = guarded(&backend);
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    let from = gateway.stderr.count();
    gateway.files.write("gateway.yaml", &broken(&config).text());
    gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").unwrap();
    call_until_rolled_back(&gateway, from, || drop(gateway.profile().send()));
    // The file is touched: it is read, and refused.
    let from = gateway.stderr.count();
    gateway.files.write("gateway.yaml", &broken(&config).text());
    let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap();
    assert!(line["reason"].as_str().unwrap().contains("rolled back before"), "{line}");
    gateway.profile().send().ok();
    // What was in force before is a change too.
    let from = gateway.stderr.count();
    gateway.files.write("gateway.yaml", &config.text());
    gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").unwrap();
    gateway.profile().send().ok();
}

#[test]
fn a_flood_of_strangers_with_bad_tokens_rolls_nothing_back() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/reload", json!({"guard": {"window": "2s", "refusals": "20%"}}));
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&config.clone().route("me", "name", json!("self")), "reloaded");
    let begin = std::time::Instant::now();
    // As long as the window, and the caller goes on as before.
    while begin.elapsed() < std::time::Duration::from_secs(3) {
        gateway.profile().send().ok();
        for _ in 0..10 {
            let status = gateway.profile().replace("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x").send().status;
            assert_eq!(status, 401);
            assert_eq!(gateway.get("/nowhere").send().status, 404);
        }
    }
    assert_eq!(rolled_back(&gateway) as u64, 0);
}

#[test]
fn one_caller_with_an_authentic_credential_who_is_refused_again_and_again_rolls_nothing_back() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/reload", json!({"guard": {"window": "2s", "refusals": "20%"}}));
    let gateway = Gateway::start(&config);
    let token = gateway.token(OTHER_CLIENT);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    (0..2).for_each(|_| drop(gateway.get("/system/x").bearer(&token).send().ok()));
    gateway.reload(&config.clone().route("me", "name", json!("self")), "reloaded");
    let begin = std::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_secs(3) {
        gateway.profile().send().ok();
        for _ in 0..10 {
            gateway.profile().replace("Authorization", &format!("Bearer {token}")).send().expect(403, "");
            gateway.request("TRACE", "/system/x").bearer(&token).send();
        }
    }
    assert_eq!(rolled_back(&gateway) as u64, 0);
}

#[test]
fn callers_whose_tokens_are_not_even_authentic_any_more_count_as_refused() {
    let backend = Backend::start();
    let config = guarded(&backend);
    let gateway = Gateway::start(&config);
    let token = gateway.login(ALICE);
    let call = || gateway.get("/me/x").customer(&token).send();
    (0..30).for_each(|_| drop(call().ok()));
    let old = gateway.files.path.join("certs/signing/20260101T000000Z-es256.pem");
    gateway.files.write("certs/signing/20270101T000000Z-es256.pem", &keys::TokenKey::generate().pem);
    std::fs::remove_file(old).unwrap();
    let from = gateway.stderr.count();
    gateway.hup("reloaded");
    call_until_rolled_back(&gateway, from, || drop(call()));
    call().ok();
}

#[test]
fn a_second_reload_within_the_window_is_measured_against_the_last_confirmed_configuration() {
    let backend = Backend::start();
    let config = guarded(&backend);
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&broken(&config), "reloaded");
    let from = gateway.stderr.count();
    gateway.reload(&broken(&config).route("me", "name", json!("self")), "reloaded");
    call_until_rolled_back(&gateway, from, || drop(gateway.profile().send()));
    gateway.profile().send().ok();
}

#[test]
fn without_a_guard_nothing_is_rolled_back() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&broken(&config), "reloaded");
    (0..60).for_each(|_| drop(gateway.profile().send()));
    gateway.profile().send().expect(403, "");
    assert_eq!(rolled_back(&gateway) as u64, 0);
}

#[test]
fn a_harmless_reload_is_confirmed_and_the_earlier_policy_is_dropped() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/reload", json!({"guard": {"window": "1s", "refusals": "20%"}}));
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&config.clone().route("me", "name", json!("self")), "reloaded");
    eventually("the earlier policy is dropped", || {
        gateway.profile().send().ok();
        gateway.metric("wicketgate_earlier_policies", &[]) as u64 == 0
    });
    gateway.reload(&broken(&config), "reloaded");
    let from = gateway.stderr.count();
    call_until_rolled_back(&gateway, from, || drop(gateway.profile().send()));
    eventually("the policy that was rolled back is dropped", || {
        gateway.profile().send().ok();
        gateway.metric("wicketgate_earlier_policies", &[]) as u64 == 0
    });
}

#[test]
fn strangers_roll_nothing_back_while_a_known_caller_is_silent() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/reload", json!({"guard": {"window": "2s", "refusals": "20%"}}));
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&config.clone().route("me", "name", json!("self")), "reloaded");
    let begin = std::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_secs(3) {
        let status = gateway.profile().replace("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x").send().status;
        assert_eq!(status, 401);
        assert!(gateway.post("/account/getprofile").send().status >= 400);
    }
    assert_eq!(rolled_back(&gateway) as u64, 0);
}

#[test]
fn calls_that_were_refused_before_the_reload_as_well_roll_nothing_back() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/reload", json!({"guard": {"window": "2s", "refusals": "20%"}}));
    let gateway = Gateway::start(&config);
    (0..30).for_each(|_| drop(gateway.profile().send().ok()));
    gateway.reload(&config.clone().route("me", "name", json!("self")), "reloaded");
    let begin = std::time::Instant::now();
    while begin.elapsed() < std::time::Duration::from_secs(3) {
        // Its own token, and a customer's that is not one: refused under both.
        let status = gateway.profile().replace("customer-auth", "JWT nonsense").send().status;
        assert!(status >= 400, "{status}");
    }
    assert_eq!(rolled_back(&gateway) as u64, 0);
}
