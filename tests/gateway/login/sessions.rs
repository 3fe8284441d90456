//! Sessions: restarts, logout, cross-site calls, operators.

use crate::harness::customer::{by_cookie, log_in, logout, session_cookie};
use crate::harness::*;

/// The identifier that the backend got with its last request.
fn identifier(backend: &Backend) -> String {
    backend.requests().last().unwrap().header("X-Customer-Id").unwrap().to_owned()
}

fn run(gateway: &Gateway, args: &[&str]) -> (i32, String, String) {
    gateway.files.run(&[args, &["--config", gateway.files.config().to_str().unwrap()]].concat())
}

#[track_caller]
fn told(gateway: &Gateway, args: &[&str]) -> String {
    let (code, out, err) = run(gateway, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

fn a_restart_by_kill_9_loses_nobodys_login_and_no_logout(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let (stays, goes) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    logout(&gateway).header("Cookie", &goes).send().expect(204, "");
    let gateway = gateway.restart();
    by_cookie(&gateway, &stays).send().ok();
    by_cookie(&gateway, &goes).send().expect(401, "401-03");
}

fn logout_ends_the_session_on_the_server_and_deletes_the_cookie_with_the_same_attributes(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, other) = (session_cookie(&answer), log_in(&gateway, ALICE));
    by_cookie(&gateway, &pair).send().ok();
    let gone = logout(&gateway).header("Cookie", &pair).send().expect(204, "");
    let attributes = |answer: &Response| {
        let line = answer.header("Set-Cookie").unwrap().to_owned();
        let kept = line.split("; ").skip(1).filter(|part| !part.starts_with("Max-Age"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(attributes(&gone), attributes(&answer));
    assert!(gone.header("Set-Cookie").unwrap().starts_with("__Host-session=; "));
    assert!(gone.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    by_cookie(&gateway, &pair).send().expect(401, "401-03");
    by_cookie(&gateway, &other).send().ok();
    // Again, with what is over, and with nothing: nothing ends.
    logout(&gateway).header("Cookie", &pair).send().expect(401, "401-03");
    logout(&gateway).send().expect(401, "401-10");
}

fn a_jwt_is_no_good_after_its_logout_also_after_a_restart_and_where_it_was_verified_before(store: &Store) {
    let (_backend, gateway) = store.world();
    let (token, other) = (gateway.login(ALICE), gateway.login(ALICE));
    for _ in 0..4 {
        gateway.get("/me/x").customer(&token).send().ok();
    }
    gateway.post("/auth/logout").customer(&token).send().expect(204, "");
    for _ in 0..4 {
        gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    }
    let gateway = gateway.restart();
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&other).send().ok();
}

fn a_logout_by_cookie_takes_the_jwt_of_the_same_login_along(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("both"));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let token = answer.json()["JWT"].as_str().unwrap().to_owned();
    gateway.get("/me/x").customer(&token).send().ok();
    logout(&gateway).header("Cookie", &session_cookie(&answer)).send().expect(204, "");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
}

fn everywhere_ends_all_logins_of_the_customer_and_of_nobody_else(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("both"));
    let first = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let token = first.json()["JWT"].as_str().unwrap().to_owned();
    let (second, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    logout(&gateway).header("Cookie", &second).form("everywhere=true").send().expect(204, "");
    by_cookie(&gateway, &session_cookie(&first)).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    by_cookie(&gateway, &bob).send().ok();
    // A login in the same second is new.
    by_cookie(&gateway, &log_in(&gateway, ALICE)).send().ok();
    gateway.get("/me/x").customer(&gateway.login(ALICE)).send().ok();
}

fn a_login_ends_the_session_whose_cookie_came_with_it(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let old = log_in(&gateway, ALICE);
    let request = gateway.login_request(ALICE.name, ALICE.secret).header("Cookie", &old);
    request.clone().replace("Content-Type", "application/x-www-form-urlencoded").send().ok();
    by_cookie(&gateway, &old).send().expect(401, "401-03");
    // A wrong password ends nothing.
    let new = log_in(&gateway, ALICE);
    gateway.login_request(ALICE.name, "wrong").header("Cookie", &new).send().expect(401, "401-04");
    by_cookie(&gateway, &new).send().ok();
}

fn a_call_by_cookie_that_changes_something_must_come_from_the_site_itself(store: &Store) {
    let (backend, gateway) = store.world_with(|c| {
        c.cookies("cookie")
            .set("/login/cookie/origins", json!(["https://www.example.com"]))
            .set("/login/cookie/csrf_header", json!("X-Shop"))
    });
    let pair = log_in(&gateway, ALICE);
    let post = gateway.post("/me/x").header("Cookie", &pair);
    for strange in [
        vec![],
        vec![("Origin", "https://evil.example")],
        vec![("Origin", "null")],
        vec![("Origin", "http://localhost")],
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
        vec![("Sec-Fetch-Site", "cross-site"), ("Origin", "https://localhost")],
        vec![("X-Shop", "")],
    ] {
        let request = strange.iter().fold(post.clone(), |request, (name, value)| request.header(name, value));
        request.send().expect(403, "403-05");
    }
    backend.assert_untouched();
    for own in [
        ("Origin", "https://localhost"),
        ("Origin", "https://www.example.com"),
        ("Sec-Fetch-Site", "same-origin"),
        ("X-Shop", "1"),
    ] {
        post.clone().header(own.0, own.1).send().ok();
    }
    gateway.get("/me/x").header("Cookie", &pair).header("Origin", "https://evil.example").send().ok();
    // What a page cannot send shows the same: a client's token.
    let system = gateway.post("/account/x").bearer(&gateway.client_token()).api_key(API_KEY).header("Cookie", &pair);
    system.json("{}").send().ok();
}

fn a_strange_page_can_neither_log_in_nor_out(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let pair = log_in(&gateway, ALICE);
    let login = gateway.login_request(ALICE.name, ALICE.secret);
    login.clone().header("Origin", "https://evil.example").send().expect(403, "403-05");
    login.header("Sec-Fetch-Site", "cross-site").send().expect(403, "403-05");
    let out = gateway.post("/auth/logout").header("Cookie", &pair);
    out.clone().header("Origin", "https://evil.example").send().expect(403, "403-05");
    out.send().expect(403, "403-05");
    by_cookie(&gateway, &pair).send().ok();
}

fn two_cookies_of_our_name_are_400(store: &Store) {
    let (backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let (one, other) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    by_cookie(&gateway, &format!("{one}; {other}")).send().expect(400, "400-02");
    by_cookie(&gateway, &one).header("Cookie", &other).send().expect(400, "400-02");
    backend.assert_untouched();
}

fn a_cookie_of_the_key_before_lives_on_and_one_of_a_removed_key_does_not(store: &Store) {
    let backend = Backend::start();
    let listed = |names: &[&str]| json!(names.iter().map(|name| json!({"file": name})).collect::<Vec<_>>());
    let config = Config::new(&backend)
        .cookies("cookie")
        .file("old.key", &keys::sha256_hex("old"))
        .file("new.key", &keys::sha256_hex("new"))
        .set("/login/cookie/keys", listed(&["old.key"]));
    let gateway = Gateway::start(&store.keeps(config.clone()));
    let pair = log_in(&gateway, ALICE);
    gateway.reload(&store.keeps(config.clone().set("/login/cookie/keys", listed(&["new.key", "old.key"]))), "reloaded");
    by_cookie(&gateway, &pair).send().ok();
    let new = log_in(&gateway, BOB);
    gateway.reload(&store.keeps(config.set("/login/cookie/keys", listed(&["new.key"]))), "reloaded");
    by_cookie(&gateway, &pair).send().expect(401, "401-03");
    by_cookie(&gateway, &new).send().ok();
}

fn operators_see_and_end_sessions_and_never_see_a_secret(store: &Store) {
    let (backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let request = gateway.login_request(ALICE.name, ALICE.secret);
    let alice = session_cookie(&request.header("User-Agent", "Mozilla/5.0 Firefox/140.0").send().ok());
    let (again, bob) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    by_cookie(&gateway, &bob).send().ok();
    let bobs = identifier(&backend);
    by_cookie(&gateway, &alice).send().ok();
    let identifier = identifier(&backend);
    let listed = told(&gateway, &["sessions", "list", "--customer", &identifier]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("firefox") && !listed.contains(&bobs), "{listed}");
    let all = told(&gateway, &["sessions", "list", "--json"]);
    let all: Vec<Value> = serde_json::from_str(&all).unwrap();
    assert_eq!(all.len(), 3);
    let id = all.iter().find(|session| session["agent"] == "firefox").unwrap()["id"].as_str().unwrap().to_owned();
    assert!(told(&gateway, &["sessions", "show", &id]).contains(&identifier));
    told(&gateway, &["sessions", "end", &id]);
    by_cookie(&gateway, &alice).send().expect(401, "401-03");
    by_cookie(&gateway, &again).send().ok();
    told(&gateway, &["revoke", "customer", &identifier]);
    by_cookie(&gateway, &again).send().expect(401, "401-03");
    by_cookie(&gateway, &bob).send().ok();
    let rules = told(&gateway, &["revoke", "list"]);
    assert!(rules.contains(&identifier), "{rules}");
    for secret in [&alice, &again, &bob] {
        let value = secret.split_once('=').unwrap().1;
        let id = value.split('.').nth(3).unwrap();
        assert!(!format!("{listed}{all:?}{rules}").contains(id));
    }
    let (code, _, err) = run(&gateway, &["sessions", "end", &id]);
    assert!(code == 1 && err.contains("there is no live session"), "{err}");
}

fn clients_tokens_and_api_keys_are_revoked_at_once_and_across_a_restart(store: &Store) {
    let (_backend, gateway) = store.world();
    let token = gateway.client_token();
    gateway.profile().json("{}").drop_header("Content-Type").header("Content-Type", "application/json").send().ok();
    told(&gateway, &["revoke", "client", CLIENT.name]);
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    gateway.get("/system/x").bearer(&gateway.token(CLIENT)).send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    told(&gateway, &["revoke", "api-key", "asapp-prod"]);
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
    let gateway = gateway.restart();
    gateway.get("/system/x").bearer(&token).send().expect(401, "401-11");
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
    for (args, hint) in [
        (["revoke", "client", "nobody"], "there is no client `nobody`"),
        (["revoke", "api-key", "nothing"], "there is no API key `nothing`"),
        (["revoke", "customer", "t1-made-up"], "identifier"),
    ] {
        let (code, _, err) = run(&gateway, &args);
        assert!(code == 1 && err.contains(hint), "{err}");
    }
}

#[test]
fn a_command_without_a_gateway_says_where_it_looked() {
    let backend = Backend::start();
    let files = gateway::Workspace::new(&Config::new(&backend));
    let (code, _, err) = files.run(&["sessions", "list", "--config", files.config().to_str().unwrap()]);
    assert!(code == 1 && err.contains("admin.sock") && err.contains("must run"), "{err}");
}

#[test]
fn a_second_process_on_the_same_state_does_not_start_and_says_why() {
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("cookie");
    let gateway = Gateway::start(&config);
    // With another operators' socket it does not take over.
    gateway.files.write("other.yaml", &config.set("/admin/socket", json!("other.sock")).text());
    let (code, _, err) = gateway.files.run(&["run", "--config", "other.yaml"]);
    assert!(code == 1 && err.contains("in use by another process"), "{err}");
    by_cookie(&gateway, &log_in(&gateway, ALICE)).send().ok();
}

#[test]
fn a_damaged_state_file_is_named_and_never_replaced() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    log_in(&gateway, ALICE);
    let files = gateway.kill();
    let file = files.path.join("data/state.redb");
    let size = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0x5a; size as usize]).unwrap();
    let (code, _, err) = files.run(&["run", "--config", files.config().to_str().unwrap()]);
    assert!(code == 1 && err.contains("state.redb") && err.contains("backup"), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), vec![0x5a; size as usize]);
}

#[test]
fn the_cookie_is_small_and_lives_at_most_400_days() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    assert!(log_in(&gateway, ALICE).len() <= 4096);
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("cookie").set("/login/lifetime", json!("9601h"));
    let files = gateway::Workspace::new(&config);
    let (code, _, err) = files.run(&["check", "--config", files.config().to_str().unwrap()]);
    assert!(code == 1 && err.contains("400 days"), "{err}");
}

on_both_stores! {
    a_restart_by_kill_9_loses_nobodys_login_and_no_logout
    logout_ends_the_session_on_the_server_and_deletes_the_cookie_with_the_same_attributes
    a_jwt_is_no_good_after_its_logout_also_after_a_restart_and_where_it_was_verified_before
    a_logout_by_cookie_takes_the_jwt_of_the_same_login_along
    everywhere_ends_all_logins_of_the_customer_and_of_nobody_else
    a_login_ends_the_session_whose_cookie_came_with_it
    a_call_by_cookie_that_changes_something_must_come_from_the_site_itself
    a_strange_page_can_neither_log_in_nor_out
    two_cookies_of_our_name_are_400
    a_cookie_of_the_key_before_lives_on_and_one_of_a_removed_key_does_not
    operators_see_and_end_sessions_and_never_see_a_secret
    clients_tokens_and_api_keys_are_revoked_at_once_and_across_a_restart
}

#[test]
fn the_session_of_one_customer_never_answers_another() {
    let (backend, gateway) = world_with(|c| {
        let names = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
        names.iter().fold(c.cookies("cookie"), |c, name| c.account(Account { name, secret: "s3cret", subject: name }))
    });
    let customers: Vec<(String, String)> = (0..8)
        .map(|number| {
            let name = format!("c{number}");
            let pair = session_cookie(&gateway.login_request(&name, "s3cret").send().ok());
            by_cookie(&gateway, &pair).send().ok();
            (pair, identifier(&backend))
        })
        .collect();
    backend.forget();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            // The path says who should be seen.
            let requests: Vec<Request> = customers
                .iter()
                .map(|(pair, identifier)| gateway.get(&format!("/me/{identifier}")).header("Cookie", pair))
                .collect();
            std::thread::spawn(move || {
                let mut connection = Connection::open(requests[0].address);
                for turn in 0..500 {
                    requests[(turn * 3 + caller) % requests.len()].send_on(&mut connection).ok();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let seen = backend.requests();
    assert_eq!(seen.len(), 2_000);
    for request in seen {
        assert_eq!(Some(request.target.trim_start_matches("/me/")), request.header("X-Customer-Id"));
    }
}
