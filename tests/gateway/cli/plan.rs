//! `wicketgate plan`: what a new configuration would do to callers, against another file and the running gateway.

use crate::harness::keys::TokenKey;
use crate::harness::*;

const NOBODY: &str = "no change";

/// One step of a table.
type Change = fn(Config) -> Config;

/// Writes the files of both, compares them, and returns the exit code and the answer.
fn compare(old: &Config, new: &Config) -> (i32, Value) {
    let files = gateway::Workspace::new(old);
    compare_in(&files, old, new)
}

fn compare_in(files: &gateway::Workspace, old: &Config, new: &Config) -> (i32, Value) {
    new.files.iter().for_each(|(name, text)| files.write(name, text));
    files.write("old.yaml", &old.text());
    files.write("new.yaml", &new.text());
    let (code, said, complained) = files.run(&["plan", "new.yaml", "--against", "old.yaml", "--json"]);
    let answer = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{complained}"));
    (code, answer)
}

fn changes(answer: &Value) -> Vec<(bool, String)> {
    let changes = answer["changes"].as_array().unwrap().iter();
    changes.map(|change| (change["danger"].as_bool().unwrap(), change["what"].as_str().unwrap().to_owned())).collect()
}

fn base() -> Config {
    let backend = "http://127.0.0.1:9";
    Config::with_server(backend)
        .trust("https://partner.test", &TokenKey::generate())
        .cookies("both")
        .set("/access_token/lifetime", json!("8h"))
        .set("/clients/0/scopes", json!(["profile", "orders"]))
        .route("system", "scopes", json!(["orders"]))
        .route("system", "allow", json!(["10.0.0.0/8", "192.168.0.0/16"]))
        .route("key", "deny", json!(["10.1.0.0/16"]))
        .route("system", "dpop", json!("required"))
        .route("me", "issuers", json!(["https://gateway.test"]))
        .set("/trusted_issuers/0/claims", json!({"tier": {"equals": "gold"}}))
        .set("/listen/0/name", json!("main"))
}

/// All changes of one step, each with its danger, in the words that must be in it.
fn check(name: &str, old: &Config, new: &Config, expected: &[(bool, &str)]) {
    let (code, answer) = compare(old, new);
    let found = changes(&answer);
    for (danger, words) in expected {
        assert!(
            found.iter().any(|(is, what)| is == danger && what.contains(words)),
            "{name}: no change with {danger} and {words:?}: {found:#?}"
        );
    }
    let danger = expected.iter().any(|(danger, _)| *danger);
    assert_eq!(answer["danger"], json!(danger), "{name}: {found:#?}");
    assert_eq!(code, if danger { 3 } else { 0 }, "{name}: {found:#?}");
    if expected.is_empty() {
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

/// A change by its name, the change, and what it is told as: danger, and a part of the sentence.
type ShownStep<'a> = (&'a str, Change, &'a [(bool, &'a str)]);

/// The same with the whole configuration after it.
type PlannedStep<'a> = (&'a str, Config, Vec<(bool, &'a str)>);

#[test]
fn a_route_that_loses_a_check_or_vanishes_is_a_danger() {
    let steps: [ShownStep; 21] = [
        ("scope", |c| c.route("profile", "scopes", json!([])), &[(true, "route profile loses the scope profile")]),
        (
            "more scopes",
            |c| c.route("profile", "scopes", json!(["profile", "x"])),
            &[(false, "now requires the scope x")],
        ),
        (
            "client",
            |c| c.route("profile", "require", json!(["customer", "api_key"])).route("profile", "scopes", json!([])),
            &[(true, "no longer requires a client")],
        ),
        (
            "public",
            |c| c.route("key", "require", json!([])).route("key", "public", json!(true)),
            &[(true, "route key becomes public")],
        ),
        (
            "gains",
            |c| c.route("key", "require", json!(["api_key", "customer"])),
            &[(false, "route key now requires a customer")],
        ),
        (
            "protected",
            |c| c.route("public", "require", json!(["customer"])).route("public", "public", json!(false)),
            &[(false, "route public is no longer public")],
        ),
        ("observe", |c| c.route("key", "mode", json!("observe")), &[(true, "route key observes")]),
        (
            "in part",
            |c| c.route("key", "mode", json!("observe")).route("key", "enforce", json!("50%")),
            &[(true, "refuses only 50%")],
        ),
        ("vanishes", |c| c.without("/routes/4"), &[(true, "route public vanishes")]),
        (
            "new",
            |c| {
                c.add_route(
                    json!({"name": "new", "path": "/new/", "methods": ["GET"], "public": true, "backend": "legacy"}),
                )
            },
            &[(false, "route new is new, and public")],
        ),
        ("allow", |c| c.route("system", "allow", json!([])), &[(true, "takes callers from every network")]),
        (
            "narrower",
            |c| c.route("system", "allow", json!(["10.0.0.0/8"])),
            &[(false, "`allow`: 10.0.0.0/8, 192.168.0.0/16 -> 10.0.0.0/8")],
        ),
        ("deny", |c| c.route("key", "deny", json!([])), &[(true, "no longer refuses callers from 10.1.0.0/16")]),
        ("dpop", |c| c.route("system", "dpop", json!("optional")), &[(true, "no longer requires DPoP")]),
        ("issuers", |c| c.without("/routes/1/issuers"), &[(true, "accepts tokens of every issuer")]),
        (
            "methods",
            |c| c.route("key", "methods", json!(["GET", "HEAD"])),
            &[(true, "route key no longer answers POST /key/")],
        ),
        (
            "more methods",
            |c| c.route("profile", "methods", json!(["POST", "GET"])),
            &[(false, "`methods`: POST -> GET, POST")],
        ),
        ("path", |c| c.route("key", "path", json!("/keys/")), &[(true, "route key no longer answers GET /key/")]),
        ("host", |c| c.route("key", "hosts", json!(["api.test"])), &[(true, "route key no longer answers GET /key/")]),
        ("rename", |c| c.route("public", "name", json!("open")), &[(false, "route public is called open")]),
        (
            "limit",
            |c| c.route("key", "limits", json!({"rate": "10/s", "body": "64KiB"})),
            &[(false, "`limits.rate` is set: 10/s"), (false, "`limits.body` is set: 64KiB")],
        ),
    ];
    let old = base();
    for (name, change, expected) in steps {
        check(name, &old, &change(old.clone()), expected);
    }
}

#[test]
fn a_route_that_is_cut_out_of_a_protected_one_is_a_danger() {
    let open = |path: Value, more: Value| {
        let mut route = json!({"name": "open", "methods": ["GET"], "public": true, "backend": "legacy"});
        route["path"] = path;
        more.as_object().unwrap().iter().for_each(|(key, value)| route[key] = value.clone());
        route
    };
    let old = base();
    let cut = [
        ("exact", open(json!({"exact": "/me/health"}), json!({})), "/me/health"),
        ("longer prefix", open(json!("/me/open/"), json!({})), "/me/open/"),
        ("expression", open(json!({"regex": "/me/[0-9]+"}), json!({})), "/me/0"),
        ("host", open(json!("/"), json!({"hosts": ["api.test"]})), "api.test/"),
        ("header", open(json!("/me/"), json!({"headers": [{"name": "x-version", "equals": "2"}]})), "/me/"),
    ];
    for (name, route, path) in cut {
        let (code, answer) = compare(&old, &old.clone().add_route(route));
        let found = changes(&answer);
        let is_told = |(danger, what): &(bool, String)| {
            *danger && what.contains("route open is cut out of route me") && what.contains(path)
        };
        assert!(code == 3 && found.iter().any(is_told), "{name}: {found:#?}");
    }
    let strict = json!({"name": "strict", "path": "/me/strict/", "methods": ["GET"], "require": ["customer", "client"],
        "dpop": "required", "issuers": ["https://gateway.test"], "backend": "legacy"});
    let stricter = old.clone().add_route(strict);
    check("as strict", &old, &stricter, &[(false, "route strict is new")]);
    // And the other way round: what a protected route leaves falls to a weaker one.
    let old = old.add_route(open(json!("/"), json!({"methods": ["GET", "POST"]})));
    let left = old.clone().without("/routes/1");
    check("left", &old, &left, &[(true, "route me vanishes"), (true, "of route me is left to route open")]);
}

#[test]
fn callers_that_vanish_or_lose_something_are_a_danger_and_new_ones_are_not() {
    let other = keys::argon2id("another-secret");
    let old = base();
    let second = old.yaml["clients"][1]["secrets"][0].as_str().unwrap().to_owned();
    let steps: Vec<PlannedStep> = vec![
        (
            "client",
            old.clone().without("/clients/1").without("/api_keys/1"),
            vec![(true, "client other vanishes"), (true, "API key other-prod vanishes")],
        ),
        (
            "new client",
            {
                let mut c = old.clone();
                c.yaml["clients"].as_array_mut().unwrap().push(json!({"id": "third", "secrets": [other]}));
                c
            },
            vec![(false, "client third is new")],
        ),
        (
            "scope in use",
            old.clone().set("/clients/0/scopes", json!(["profile"])),
            vec![(true, "client asapp loses the scope orders")],
        ),
        (
            "another scope",
            old.clone().set("/clients/1/scopes", json!(["orders"])),
            vec![(false, "client other may have the scope orders")],
        ),
        (
            "another secret",
            old.clone().set("/clients/1/secrets", json!([other])),
            vec![(true, "goes, and it is still valid"), (false, "is new")],
        ),
        (
            "overlap",
            old.clone().set("/clients/1/secrets", json!([other, format!("{second} until 2036-01-01T00:00:00Z")])),
            vec![(false, "is new"), (false, "ends 2036-01-01T00:00:00Z")],
        ),
        ("key", old.clone().without("/api_keys/3"), vec![(true, "API key narrow vanishes")]),
        (
            "key's route",
            old.clone().set("/api_keys/2/routes", json!(["key"])),
            vec![(true, "API key free is no longer valid for route profile")],
        ),
        (
            "key's new route",
            old.clone().set("/api_keys/3/routes", json!(["key", "profile"])),
            vec![(false, "API key narrow is valid for route profile too")],
        ),
        ("key's client", old.clone().without("/api_keys/0/client"), vec![(true, "API key asapp-prod: `client`")]),
        (
            "key's digest",
            old.clone().set("/api_keys/3/sha256", json!([keys::sha256_hex("other")])),
            vec![(true, "of API key narrow goes"), (false, "of API key narrow is new")],
        ),
        ("issuer", old.clone().without("/trusted_issuers/0"), vec![(true, "issuer https://partner.test vanishes")]),
        (
            "claim",
            old.clone().without("/trusted_issuers/0/claims"),
            vec![(true, "issuer https://partner.test: `claims.tier")],
        ),
        ("quota", old.clone().set("/api_keys/3/quota", json!({"day": 10})), vec![(false, "API key narrow: `quota`")]),
        (
            "lifetime",
            old.clone().set("/access_token/lifetime", json!("4h")),
            vec![(false, "`access_token.lifetime`: 8h -> 4h")],
        ),
        ("own issuer", old.clone().without("/access_token"), vec![(true, "`access_token` vanishes")]),
    ];
    for (name, new, expected) in steps {
        check(name, &old, &new, &expected);
    }
}

#[test]
fn identifiers_that_change_are_the_worst_danger_and_a_rotation_with_an_overlap_is_none() {
    let old = base();
    let all = "the identifiers of all customers of our own accounts change";
    let other = |path: &str, text: &str| old.clone().set("/identifier/key", json!({"file": path})).file(path, text);
    let files = gateway::Workspace::new(&old);
    let key = std::fs::read_to_string(files.path.join("certs/identifier.key")).unwrap();
    let steps: Vec<PlannedStep> = vec![
        ("the same key in another file", other("certs/same.key", &format!("{}\n", key.trim())), vec![]),
        ("another key", other("certs/next.key", &keys::key_file()), vec![(true, all)]),
        ("mode", old.clone().set("/identifier/mode", json!("one_way")), vec![(true, "`identifier.mode` is another")]),
        (
            "tenant",
            old.clone().set("/identifier/tenant", json!("https://other.test")),
            vec![(true, "their tenant is another")],
        ),
        ("the tenant that it is", old.clone().set("/identifier/tenant", json!("https://gateway.test")), vec![]),
        (
            "issuer's tenant",
            old.clone().set("/trusted_issuers/0/tenant", json!("x")),
            vec![(true, "customers of issuer https://partner.test change: their tenant")],
        ),
        (
            "issuer's subject",
            old.clone().set("/trusted_issuers/0/subject", json!("/user/id")),
            vec![(true, "`subject` is another claim")],
        ),
        (
            "pairwise",
            old.clone().set("/backends/legacy/pairwise", json!(true)),
            vec![(true, "route me: its backend would know all customers by other identifiers")],
        ),
        (
            "send",
            old.clone().route("me", "identifier", json!({"header": "X-Customer-Id", "send": "subject"})),
            vec![(true, "route me: its backend would know all customers by other names")],
        ),
    ];
    for (name, new, expected) in steps {
        let (code, answer) = compare_in(&files, &old, &new);
        let found = changes(&answer);
        for (danger, words) in &expected {
            assert!(found.iter().any(|(is, what)| is == danger && what.contains(words)), "{name}: {found:#?}");
        }
        assert_eq!(
            (code, found.is_empty()),
            if expected.is_empty() { (0, true) } else { (3, false) },
            "{name}: {found:#?}"
        );
        assert!(!answer.to_string().contains(key.trim()), "{name}");
    }
    // A rotation as the command makes it: the key before stays known for a while.
    files.write("certs/before.key", &key);
    files.succeeds(&["rotate", "identifier-key"]);
    let before = old.clone().set("/identifier/key", json!({"file": "certs/before.key"}));
    let (code, answer) = compare_in(&files, &before, &old);
    let found = changes(&answer);
    assert!(code == 0 && found.len() == 1 && found[0].1.contains("rotates with an overlap"), "{found:#?}");
    // The way back has none.
    let (code, answer) = compare_in(&files, &old, &before);
    assert!(code == 3 && changes(&answer).iter().any(|(_, what)| what.starts_with(all)), "{answer:#}");
}

#[test]
fn other_spellings_of_the_same_are_no_change() {
    let old = base();
    let reversed = |config: &Config, pointer: &str| {
        let mut config = config.clone();
        config.yaml.pointer_mut(pointer).unwrap().as_array_mut().unwrap().reverse();
        config
    };
    let mut defaults =
        old.clone().set("/login/path", json!("/auth/customer_authenticate")).set("/shutdown/delay", json!("0s"));
    defaults = defaults.set("/listen/0/limits/body", json!("1024KiB")).route("me", "retry", json!("idempotent"));
    let upper: Vec<String> = old.yaml["api_keys"][3]["sha256"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hex| hex.as_str().unwrap().to_uppercase())
        .collect();
    let same = [
        ("minutes", old.clone().set("/access_token/lifetime", json!("480m"))),
        ("order of routes", reversed(&old, "/routes")),
        ("order of clients", reversed(&old, "/clients")),
        ("order of keys", reversed(&old, "/api_keys")),
        ("order of methods", reversed(&old, "/routes/1/methods")),
        ("order of networks", reversed(&old, "/routes/2/allow")),
        ("defaults", defaults),
        ("capital letters", old.clone().set("/api_keys/3/sha256", json!(upper))),
        ("the lifetime of all", old.clone().set("/clients/0/lifetime", json!("8h"))),
        ("a list of one", old.clone().set("/trusted_issuers/0/issuer", json!(["https://partner.test"]))),
        (
            "a server with its weight",
            old.clone().set("/backends/legacy/servers", json!([{"url": "http://127.0.0.1:9", "weight": 1}])),
        ),
        ("the listener by its name", old.clone().route("me", "listen", json!(["main"]))),
    ];
    for (name, new) in same {
        check(name, &old, &new, &[]);
    }
    let files = gateway::Workspace::new(&old);
    let key = std::fs::read_to_string(files.path.join("certs/cookie.key")).unwrap();
    let moved =
        old.clone().set("/login/cookie/keys", json!([{"file": "certs/moved.key"}])).file("certs/moved.key", &key);
    let (code, answer) = compare_in(&files, &old, &moved);
    assert_eq!((code, answer["changes"].as_array().map(Vec::len)), (0, Some(0)), "{answer:#}");
    files.write("new.yaml", &old.text());
    files.write("old.yaml", &old.text());
    assert_eq!(files.run(&["plan", "new.yaml", "--against", "old.yaml"]).1.trim(), NOBODY);
    // Lists in a file of their own are the same lists.
    let mut outside = old.clone();
    let clients = outside.yaml["clients"].take();
    let keys = outside.yaml["api_keys"].take();
    let outside = outside.without("/clients").without("/api_keys").set("/clients_file", json!("clients.yaml"));
    let outside = outside.set("/api_keys_file", json!("keys.yaml"));
    let outside = outside.file("clients.yaml", &clients.to_string()).file("keys.yaml", &keys.to_string());
    let (code, answer) = compare_in(&files, &old, &outside);
    assert_eq!((code, answer["changes"].as_array().map(Vec::len)), (0, Some(0)), "{answer:#}");
}

#[test]
fn what_needs_an_upgrade_is_told_and_is_no_danger() {
    let old = base();
    check(
        "workers",
        &old,
        &old.clone().set("/workers", json!(2)),
        &[(false, "`workers`: a reload does not take this over")],
    );
    check(
        "listener",
        &old,
        &old.clone().set("/listen/0/tls/min_version", json!("1.2")),
        &[(true, "`tls.min_version`"), (false, "`listen`: a reload")],
    );
}

#[test]
fn a_new_file_that_is_wrong_is_told_with_its_problems_and_changes_nothing() {
    let (_backend, gateway) = world();
    gateway.files.write("new.yaml", "listen: 3");
    for args in [&["plan", "new.yaml", "--against", "gateway.yaml"][..], &["plan", "new.yaml"], &["plan", "none.yaml"]]
    {
        let (code, said, complained) = gateway.files.run(args);
        assert!(code == 1 && said.is_empty() && complained.contains(".yaml"), "{args:?} {code} {said}{complained}");
    }
    gateway.profile().send().ok();
}

#[test]
fn a_new_file_is_compared_with_what_is_in_force_in_the_running_gateway() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    gateway.files.write("new.yaml", &config.text());
    let plan = |args: &[&str]| gateway.files.run(&[&["plan", "new.yaml"], args].concat());
    let (code, said, complained) = plan(&[]);
    assert_eq!((code, said.trim()), (0, NOBODY), "{complained}");
    gateway.files.write("new.yaml", &config.clone().route("profile", "scopes", json!([])).text());
    let (code, said, _) = plan(&[]);
    assert!(code == 3 && said.contains("DANGER route profile loses the scope profile"), "{said}");
    assert!(said.contains("1 change, 1 dangerous") && !said.contains('\u{1b}'), "{said}");
    gateway.profile().send().ok();
    // What is in force counts, not what stands in the file.
    gateway.files.write("gateway.yaml", "listen: 3");
    gateway.hup("reload failed");
    let broken = std::fs::read_to_string(gateway.files.path.join("gateway.yaml")).unwrap();
    gateway.files.write("gateway.yaml", &config.text());
    gateway.hup("reloaded");
    assert_eq!(broken, "listen: 3");
    let unlike = config.clone().set("/workers", json!(1));
    gateway.files.configure(&unlike);
    gateway.hup("reload failed");
    let (code, said, _) = plan(&["--json"]);
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert!(code == 3 && answer["note"].as_str().unwrap().contains("needs a restart"), "{said}");
    // After a reload it is compared with the new one.
    gateway.reload(&config.clone().route("profile", "scopes", json!([])), "reloaded");
    assert_eq!(plan(&[]).1.trim(), NOBODY);
}

#[test]
fn calls_of_the_last_hour_are_replayed_as_counts() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    for _ in 0..7 {
        gateway.profile().send().ok();
    }
    for _ in 0..3 {
        gateway.get("/key/x").api_key(NARROW).send().ok();
    }
    let customer = gateway.customer_token();
    gateway.get("/me/x").customer(&customer).send().ok();
    gateway.get("/me/x").send().expect(401, "");
    let plan = |new: Config| {
        gateway.files.write("new.yaml", &new.text());
        let (code, said, complained) = gateway.files.run(&["plan", "new.yaml", "--replay", "--json"]);
        let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{complained}"));
        let calls = answer["changes"].as_array().unwrap().iter().filter(|change| change["calls"].is_u64());
        let calls: Vec<String> = calls.map(|change| change["what"].as_str().unwrap().to_owned()).collect();
        (code, calls)
    };
    let now = |what: &str| vec![format!("{what}")];
    assert_eq!(plan(config.clone()), (0, vec![]));
    let scope = "7 calls of client asapp on route profile would now be refused: scope";
    assert_eq!(plan(config.clone().set("/clients/0/scopes", json!([]))), (3, now(scope)));
    let scope = "7 calls of client asapp on route profile would now be refused: scope";
    assert_eq!(plan(config.clone().route("profile", "scopes", json!(["profile", "more"]))), (3, now(scope)));
    let key = "3 calls of API key narrow on route key would now be refused: api_key_unknown";
    assert_eq!(plan(config.clone().without("/api_keys/3")), (3, now(key)));
    let method = "3 calls of API key narrow on route key would now be refused: method";
    assert_eq!(plan(config.clone().route("key", "methods", json!(["POST"]))), (3, now(method)));
    let gone = "1 call of customers on route me would now be refused: no_route";
    assert_eq!(plan(config.clone().without("/routes/1")), (3, now(gone)));
    let client = "1 call of customers on route me would now be refused: client_token_missing";
    assert_eq!(plan(config.clone().route("me", "require", json!(["client", "customer"]))), (3, now(client)));
    assert_eq!(plan(config.clone().set("/clients/1/scopes", json!(["x"]))), (0, vec![]));
    assert_eq!(plan(config.clone().route("me", "name", json!("self"))), (0, vec![]));
}

const NARROW: &str = config::NARROW_API_KEY;

#[test]
fn a_route_that_demands_of_callers_what_no_shape_of_a_request_tells_is_a_danger() {
    let steps: [ShownStep; 5] = [
        (
            "audience",
            |c| c.route("profile", "audience", json!("https://other.test")),
            &[(true, "callers must now send tokens for this audience")],
        ),
        (
            "api_key_header",
            |c| c.route("key", "api_key_header", json!("X-Other-Key")),
            &[(true, "callers must now send API keys")],
        ),
        (
            "headers",
            |c| c.route("key", "headers", json!([{"name": "X-Version", "equals": "2"}])),
            &[(true, "callers must now send what these conditions demand")],
        ),
        (
            "content types",
            |c| c.route("profile", "content_types", json!(["application/xml"])),
            &[(true, "callers must now send one of the content types")],
        ),
        (
            "issuers",
            |c| c.route("profile", "issuers", json!(["https://partner.test"])),
            &[(true, "callers must now send tokens of the issuers")],
        ),
    ];
    let old = base();
    for (name, change, expected) in steps {
        check(name, &old, &change(old.clone()), expected);
    }
}

#[test]
fn accounts_that_vanish_are_counted_and_not_named() {
    let old = base();
    let mut less = old.clone();
    less.accounts.pop();
    let mut new = old.clone().set("/login/accounts/file", json!("less.yaml"));
    new.files.push(("less.yaml".into(), less.accounts_text()));
    check("accounts", &old, &new, &[(true, "1 of 2 accounts vanish")]);
    let (_, answer) = compare(&old, &new);
    assert!(!answer.to_string().contains(BOB.name), "{answer}");
}
