//! SIGHUP: a good file takes over whole, a broken one not at all, and no request is lost.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::*;

#[test]
fn a_removed_api_key_is_refused_on_the_next_request() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let mut connection = gateway.connect();
    gateway.get("/key/x").api_key(API_KEY).send_on(&mut connection).ok();
    gateway.reload(&config.clone().without("/api_keys/0"), "reloaded");
    gateway.get("/key/x").api_key(API_KEY).send_on(&mut connection).expect(403, "403-01");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send_on(&mut connection).ok();
    gateway.reload(&config, "reloaded");
    gateway.get("/key/x").api_key(API_KEY).send_on(&mut connection).ok();
}

#[test]
fn tokens_of_a_removed_client_are_refused_on_the_next_request() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let token = gateway.token(OTHER_CLIENT);
    gateway.get("/system/x").bearer(&token).send().ok();
    gateway.reload(&config.without("/api_keys/1").without("/clients/1"), "reloaded");
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send().expect(401, "");
    gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();
}

#[test]
fn tokens_of_a_removed_signing_key_are_refused() {
    let (_backend, gateway) = world();
    let old = gateway.login(ALICE);
    gateway.files.write("certs/signing/20270101T000000Z-es256.pem", &keys::TokenKey::generate().pem);
    std::fs::remove_file(gateway.files.path.join("certs/signing/20260101T000000Z-es256.pem")).unwrap();
    gateway.hup("reloaded");
    gateway.get("/me/x").customer(&old).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&gateway.login(ALICE)).send().ok();
}

#[test]
fn accounts_routes_and_scopes_change_with_a_reload() {
    let backend = Backend::start();
    let mut config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let token = gateway.client_token();
    config.accounts.pop();
    let config = config.set("/clients/0/scopes", json!([])).route("public", "path", json!("/open/"));
    gateway.reload(&config, "reloaded");
    gateway.login_request(BOB.name, BOB.secret).send().expect(401, "401-04");
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    gateway.get("/public/x").send().expect(404, "404-01");
    gateway.get("/open/x").send().ok();
    let answer = gateway.profile().replace("Authorization", &format!("Bearer {token}")).send();
    assert!(matches!(answer.status, 200 | 403), "a token keeps its scopes, or the client's count: {}", answer.status);
}

#[test]
fn a_broken_file_leaves_the_old_configuration_in_force() {
    let (_backend, gateway) = world();
    let good = std::fs::read_to_string(gateway.files.config()).unwrap();
    let broken = [
        good[..good.len() / 2].to_owned(),
        good.replacen("\"routes\"", "\"ruotes\"", 1),
        good.replacen("\"backend\": \"legacy\"", "\"backend\": \"nowhere\"", 1),
        good.replace("certs/identifier.key", "certs/missing.key"),
        String::new(),
        "\0\u{7}".to_owned(),
    ];
    for text in broken {
        gateway.files.write("gateway.yaml", &text);
        gateway.hup("reload failed");
        gateway.profile().send().ok();
        gateway.get("/nowhere").send().expect(404, "404-01");
    }
    gateway.files.write("gateway.yaml", &good);
    gateway.hup("reloaded");
    gateway.profile().send().ok();
}

#[test]
fn a_secret_that_cannot_be_had_leaves_the_old_one_in_force_and_is_never_its_own_name() {
    let (backend, gateway) = world_with(|config| {
        config
            .set("/backends/legacy/authorization", json!({"bearer": {"file": "certs/backend.token"}}))
            .file("certs/backend.token", "first-secret")
    });
    let file = gateway.files.path.join("certs/backend.token");
    let shown = || {
        gateway.get("/public/x").send().ok();
        backend.last().header("authorization").unwrap().to_owned()
    };
    assert_eq!(shown(), "Bearer first-secret");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    type Breaks<'a> = (&'a str, &'a dyn Fn());
    let breaks: [Breaks<'_>; 5] = [
        ("empty", &|| gateway.files.write("certs/backend.token", "\n")),
        ("open to others", &|| std::fs::set_permissions(&file, std::fs::Permissions::clone(&open)).unwrap()),
        ("has several lines", &|| gateway.files.write("certs/backend.token", "two\nlines")),
        ("no header can carry", &|| gateway.files.write("certs/backend.token", "two\u{1}lines")),
        ("no such file", &|| std::fs::remove_file(&file).unwrap()),
    ];
    for (what, break_it) in breaks {
        gateway.files.write("certs/backend.token", "second-secret");
        break_it();
        let from = gateway.stderr.count();
        gateway.hup("reload failed");
        let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap().to_string();
        assert!(line.contains(what) && line.contains("authorization"), "{what}: {line}");
        assert!(!line.contains("secret\\") && !line.contains("two"), "{line}");
        assert_eq!(shown(), "Bearer first-secret", "{what}");
    }
    gateway.files.write("certs/backend.token", "third-secret");
    eventually("the new one is taken up without a signal", || shown() == "Bearer third-secret");
}

#[test]
fn no_request_is_lost_while_the_configuration_is_reloaded() {
    let (_backend, gateway) = world();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = [true, false]
        .into_iter()
        .map(|keep| {
            let (stop, count, request) = (Arc::clone(&stop), Arc::clone(&count), gateway.profile());
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                while !stop.load(Ordering::Relaxed) {
                    request.send_on(&mut connection).ok();
                    count.fetch_add(1, Ordering::Relaxed);
                    if !keep {
                        connection = Connection::open(request.address);
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        gateway.hup("reloaded");
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().expect("a request was lost during a reload");
    }
    assert!(count.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_broken_file_is_on_the_status_page_and_in_the_metrics_until_a_good_one_is_read() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    assert!(!gateway.admin("/").text().contains("The last reload"));
    gateway.reload(&config.clone().route("key", "backend", json!("<nowhere>")), "reload failed");
    let page = gateway.admin("/").text();
    assert!(page.contains("The last reload has failed") && page.contains("&lt;nowhere&gt;"), "{page}");
    gateway.expect_metric("wicketgate_config_last_reload_successful", &[], 0.0);
    assert!(gateway.metric("wicketgate_config_last_reload_timestamp_seconds", &[("outcome", "failed")]) > 1e9);
    gateway.reload(&config.clone().set("/workers", json!(7)), "reload failed");
    assert!(gateway.admin("/").text().contains("`workers` has changed, and that needs a restart"));
    gateway.reload(&config, "reloaded");
    assert!(!gateway.admin("/").text().contains("The last reload"));
    gateway.expect_metric("wicketgate_config_last_reload_successful", &[], 1.0);
    assert!(gateway.metric("wicketgate_config_last_reload_timestamp_seconds", &[("outcome", "ok")]) > 1e9);
}

#[test]
fn the_allow_list_changes_with_a_reload_also_on_open_connections() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let mut connection = gateway.connect();
    let request = gateway.get("/public/x");
    request.send_on(&mut connection).ok();
    gateway.reload(&config.clone().set("/listen/0/allow", json!(["203.0.113.0/24"])), "reloaded");
    request.send_on(&mut connection).expect(403, "403-04");
    request.send().expect(403, "403-04");
    gateway.reload(&config.set("/listen/0/allow", json!(["127.0.0.0/8"])), "reloaded");
    request.send().ok();
}

#[test]
fn a_directory_that_is_swapped_as_a_whole_is_read_without_a_signal() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    // As Kubernetes mounts it: ..data leads to the directory of the day, and is renamed over.
    let mount = |version: &str, config: &Config| {
        std::fs::create_dir(files.path.join(version)).unwrap();
        std::fs::write(files.path.join(version).join("gateway.yaml"), config.text()).unwrap();
        symlink(version, files.path.join("..new")).unwrap();
        std::fs::rename(files.path.join("..new"), files.path.join("..data")).unwrap();
    };
    mount("..one", &config);
    std::fs::remove_file(files.config()).unwrap();
    symlink("..data/gateway.yaml", files.config()).unwrap();
    let gateway = Gateway::start_in(Arc::clone(&files), config.signing_key.clone());
    gateway.get("/open/x").send().expect(404, "404-01");
    mount("..two", &config.clone().route("public", "path", json!("/open/")));
    std::fs::remove_dir_all(files.path.join("..one")).unwrap();
    let line = gateway.stderr.wait(|line| line["message"] == "reloaded").unwrap();
    assert_eq!(line["cause"], "files");
    gateway.get("/open/x").send().ok();
    mount("..three", &config.route("public", "backend", json!("nowhere")));
    assert!(gateway.stderr.wait(|line| line["message"] == "reload failed").is_some());
    gateway.get("/open/x").send().ok();
}

#[test]
fn a_token_that_an_old_configuration_let_in_late_is_not_remembered_for_the_new_one() {
    let backend = Backend::start();
    let partner = keys::TokenKey::generate();
    let config = Config::new(&backend)
        .set("/workers", json!(1))
        .route("me", "customer_token_sources", json!([{"body": "/token"}]))
        .trust("https://partner.test", &partner);
    let gateway = Gateway::start(&config);
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"});
    let claims = json!({
        "iss": "https://partner.test", "aud": "legacy-api", "sub": "p-1", "iat": keys::now(), "exp": keys::now() + 600,
    });
    let body = json!({"token": partner.sign(&header, &claims)}).to_string();
    let mut late = gateway.connect();
    let head = format!("POST /me/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    late.send(head.as_bytes());
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 1.0);
    gateway.reload(&config.without("/trusted_issuers"), "reloaded");
    gateway.get("/public/x").send().ok();
    late.send(body.as_bytes());
    assert_eq!(late.receive("POST").unwrap().status, 200, "it began under the old configuration");
    gateway.post("/me/x").body(body).send().expect(401, "401-03");
}

#[test]
fn limits_of_a_listener_change_with_a_reload_for_connections_that_come() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let mut before = gateway.connect();
    let request = gateway.get("/public/x").header("X-Long", &"x".repeat(3_000));
    request.send_on(&mut before).ok();
    let small = config.clone().limit("head", json!("2KiB")).limit("connections_per_address", json!(2));
    gateway.reload(&small, "reloaded");
    request.send_on(&mut before).ok();
    let mut after = gateway.connect();
    request.send_on(&mut after).expect(431, "");
    drop(before);
    drop(after);
    gateway.expect_metric("wicketgate_connections_open", &[], 0.0);
    let _two = [gateway.connect(), gateway.connect()].map(|mut open| {
        gateway.get("/public/x").send_on(&mut open).ok();
        open
    });
    assert!(Connection::with(gateway.address, client::tls(b"http/1.1", None)).is_err(), "a third one");
    gateway.reload(&small.limit("connections_per_address", json!(3)), "reloaded");
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_stolen_client_can_be_taken_out_alone_and_its_keys_and_tokens_are_refused_at_once() {
    let backend = Backend::start();
    let config = Config::new(&backend).file("keys.yaml", "[]").set("/api_keys_file", json!("keys.yaml"));
    let gateway = Gateway::start(&config);
    let (token, customer) = (gateway.client_token(), gateway.customer_token());
    let call = gateway.get("/system/x").bearer(&token);
    call.send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    // Nothing else is touched: `api_keys` still names it, and no client is left to call what requires one.
    let alone = config.clone().set("/clients", json!([]));
    gateway.reload(&alone, "reloaded");
    call.send().expect(401, "401-11");
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
    gateway.get("/me/x").customer(&customer).send().ok();
    for said in ["api_keys[0].client", "routes[2].require"] {
        gateway.stderr.wait(|line| line["place"].as_str().is_some_and(|place| place.ends_with(said))).unwrap();
    }
    // The same for a key in the file of keys, and for a route that keys name.
    let key = json!([{"id": "late", "sha256": [keys::sha256_hex("wgk_late_1aB2cD3eF4gH")], "routes": ["key"], "client": "asapp"}]);
    gateway.files.write("keys.yaml", &key.to_string());
    gateway.hup("reloaded");
    gateway.get("/key/x").api_key("wgk_late_1aB2cD3eF4gH").send().expect(403, "403-01");
    gateway.stderr.wait(|line| line["place"].as_str().is_some_and(|place| place.contains("keys.yaml"))).unwrap();
    let routes: Vec<Value> =
        alone.yaml["routes"].as_array().unwrap().iter().filter(|route| route["name"] != "key").cloned().collect();
    gateway.reload(&alone.set("/routes", json!(routes)), "reloaded");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().expect(404, "404-01");
}

#[test]
fn policies_and_last_uses_removed_by_a_reload_are_freed_without_further_requests() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/workers", json!(2));
    let mut gateway = Gateway::start(&config);
    for key in [API_KEY, config::FREE_API_KEY] {
        gateway.get("/key/x").api_key(key).send().ok();
    }
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| slow.send());
        backend.wait_for(3);
        gateway.reload(&config.clone().without("/api_keys/2"), "reloaded");
        // The request that is on its way has the policy under which it began.
        gateway.expect_metric("wicketgate_earlier_policies", &[], 1.0);
        gate.open();
        waiting.join().unwrap().ok();
    });
    // From here on no worker has anything to do.
    gateway.expect_metric("wicketgate_earlier_policies", &[], 0.0);
    assert_eq!(gateway.terminate(), Some(0));
    let uses = std::fs::read_to_string(gateway.files.path.join("data/last-uses.json")).unwrap();
    assert!(uses.contains("api_key asapp-prod "), "{uses}");
    assert!(!uses.contains("api_key free "), "{uses}");
}

#[test]
fn the_level_of_the_log_changes_with_a_reload_and_the_log_says_so() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let at = |level: &str| config.clone().set("/log/level", json!(level));
    // What somebody sends who knows nothing of TLS is something for debugging.
    let stray = || drop(Connection::plain(gateway.address).exchange(b"garbage\r\n\r\n"));
    let seen = || gateway.stderr.all().iter().any(|line| line.contains("TLS handshake failed"));
    stray();
    gateway.reload(&at("debug"), "reloaded");
    assert!(!seen());
    let line = gateway.stderr.wait(|line| line["message"] == "log.level has changed").unwrap();
    assert_eq!((&line["from"], &line["to"]), (&json!("INFO"), &json!("DEBUG")));
    eventually("a line for debugging", || {
        stray();
        seen()
    });
    let from = gateway.stderr.count();
    gateway.reload(&at("error"), "log.level has changed");
    let reloads = || gateway.metric("wicketgate_reloads_total", &[("outcome", "ok")]);
    eventually("that reload is over", || reloads() >= 2.0);
    gateway.reload(&at("info"), "log.level has changed");
    assert!(gateway.stderr.wait_after(from, |line| line["message"] == "reloaded").is_some());
    let said = gateway.stderr.all()[from..].to_vec();
    let place = |text: &str| said.iter().position(|line| line.contains(text)).unwrap();
    let (silent, again) = (place(r#""to":"ERROR""#), place(r#""to":"INFO""#));
    assert!(!said[silent..again].iter().any(|line| line.contains(r#""message":"reloaded""#)), "{said:?}");
}

#[test]
fn check_and_reload_name_every_key_that_needs_an_upgrade() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let check = || gateway.files.run(&["check"]);
    assert!(!check().2.contains("upgrade"));
    let changed = config
        .clone()
        .set("/workers", json!(7))
        .set("/shutdown/delay", json!("3s"))
        .set("/log/level", json!("warn"))
        .route("key", "path", json!("/other/"));
    gateway.files.configure(&changed);
    let (code, _, complained) = check();
    assert_eq!(code, 0, "it is good all the same: {complained}");
    assert!(
        complained.contains("needs an upgrade") && complained.ends_with("`workers`, `shutdown.delay`\n"),
        "{complained}"
    );
    let from = gateway.stderr.count();
    gateway.signal("HUP");
    let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap();
    assert_eq!(line["reason"], "`workers`, `shutdown.delay` have changed, and that needs a restart");
    gateway.files.configure(&config);
    assert!(!check().2.contains("upgrade"));
    // Where nothing runs there is nothing to compare with.
    let files = gateway.kill();
    files.configure(&changed);
    assert!(!files.run(&["check"]).2.contains("upgrade"));
}
