//! Rotation of the identifier key: backends learn the old and the new identifier.

use super::keys::run;
use crate::harness::keys::decode;
use crate::harness::*;

#[test]
fn an_identifier_key_has_a_next_version_and_backends_learn_both_names() {
    let (backend, gateway) = world_with(|config| config.cookies("both").set("/login/refresh", json!({})));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let (jwt, refresh) = (login.json()["JWT"].as_str().unwrap().to_owned(), login.json()["refresh_token"].clone());
    let names = |request: Request| {
        backend.forget();
        request.send().ok();
        let seen = backend.only();
        (seen.header("x-customer-id").unwrap().to_owned(), seen.header("x-customer-id-previous").map(str::to_owned))
    };
    let (old, none) = names(gateway.get("/me/x").customer(&jwt).header("X-Customer-Id-Previous", "t1-mine"));
    assert_eq!(none, None, "what a caller says of it is removed");
    let load = Load::of(gateway.get("/me/x").customer(&jwt));
    run(&gateway, &["rotate", "identifier-key", "--overlap", "4s"]);
    load.finish();
    let fresh = gateway.login(ALICE);
    let (new, previous) = names(gateway.get("/me/x").customer(&fresh));
    assert!(old.starts_with("t1-") && new.starts_with("t2-"), "{old} {new}");
    assert_eq!(previous.as_ref(), Some(&old));
    // Tokens and logins from before name the same customer, by both names.
    let both = (new.clone(), Some(old.clone()));
    assert_eq!(names(gateway.get("/me/x").customer(&jwt)), both);
    assert_eq!(names(gateway.get("/me/x").header("Cookie", &cookie)), both);
    assert_eq!(names(gateway.get("/me/x").customer(&jwt).header("X-Customer-Id", &old)), both);
    assert_eq!(names(gateway.get("/me/x").customer(&jwt).header("X-Customer-Id", &new)), both);
    let form = format!("grant_type=refresh_token&refresh_token={}", refresh.as_str().unwrap());
    let refreshed = gateway.post("/oauth/access_token").form(&form).send().ok();
    assert_eq!(decode(refreshed.json()["JWT"].as_str().unwrap()).1["sub"], json!(new));
    // Whoever is revoked by either name is out under both.
    run(&gateway, &["revoke", "customer", &old]);
    for request in [gateway.get("/me/x").customer(&jwt), gateway.get("/me/x").customer(&fresh)] {
        assert_eq!(request.send().status, 401);
    }
    assert_eq!(gateway.get("/me/x").header("Cookie", &cookie).send().status, 401);
    eventually("a login after that", || gateway.get("/me/x").customer(&gateway.login(ALICE)).send().status == 200);
    eventually("the old name is told no more", || {
        names(gateway.get("/me/x").customer(&gateway.login(ALICE))).1.is_none()
    });
    let table = run(&gateway, &["keys"]);
    let keys: Vec<&str> = table.lines().filter(|line| line.starts_with("identifier_key")).collect();
    assert!(keys[0].contains(" v2 ") && keys[0].contains("current"), "{table}");
    assert!(keys[1].contains(" v1 ") && keys[1].contains("ended") && keys[1].ends_with("no: it traces"), "{table}");
    for version in ["v1", "v2"] {
        let labels = [("kind", "identifier_key"), ("version", version)];
        assert!(gateway.metric("wicketgate_key_last_used_timestamp_seconds", &labels) > 1e9, "{version}");
    }
    // An operator can trace it for ever, and that is written down.
    let said = run(&gateway, &["id", "trace", &old]);
    assert!(said.contains(ALICE.subject), "{said}");
    let audit = std::fs::read_to_string(gateway.files.path.join("data/audit.jsonl")).unwrap();
    let mut lines = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.rfind(|line| line["event"] == "id_trace").unwrap();
    assert_eq!(line["identifier"], json!(old));
    assert!(!audit.contains(ALICE.subject));
    // Whoever cannot be written down is told nothing.
    std::fs::remove_file(gateway.files.path.join("data/audit.jsonl")).unwrap();
    std::fs::create_dir(gateway.files.path.join("data/audit.jsonl")).unwrap();
    let (code, said, complained) = gateway.files.run(&["id", "trace", &old]);
    assert!(code == 1 && said.is_empty() && complained.contains("nothing is traced"), "{said}{complained}");
    std::fs::remove_dir(gateway.files.path.join("data/audit.jsonl")).unwrap();
    // A list for those who hold the old names.
    let list = format!("{}\n{}\n", ALICE.subject, BOB.subject);
    let (code, mapped, _) = gateway.files.run_with(&["id", "migrate"], list.as_bytes());
    let lines: Vec<&str> = mapped.lines().collect();
    assert_eq!((code, lines[0], lines.len()), (0, "previous,current", 3));
    assert_eq!(lines[1], format!("{old},{new}"));
}

#[test]
fn the_old_identifier_goes_along_with_bodies_and_to_backends_with_identifiers_of_their_own() {
    let other = Backend::start();
    let (backend, gateway) = world_with(|config| {
        config
            .route("me", "identifier", json!({"body": "/customer/id"}))
            .set("/backends/second", json!({"servers": [other.url()], "pairwise": true}))
            .add_route(json!({"name": "second", "path": "/second/", "methods": ["GET"], "require": ["customer"],
                "identifier": {"header": "X-Account"}, "backend": "second"}))
    });
    let told = |body: Value| {
        let request = gateway.post("/me/x").customer(&gateway.customer_token());
        request.json(&body.to_string()).send().ok();
        let seen = backend.last();
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        (body["customer"]["id"].as_str().unwrap().to_owned(), seen.header("x-customer-id-previous").map(str::to_owned))
    };
    let own = || {
        gateway.get("/second/x").customer(&gateway.customer_token()).send().ok();
        let seen = other.last();
        (seen.header("x-account").unwrap().to_owned(), seen.header("x-account-previous").map(str::to_owned))
    };
    let ((old, none), (own_old, own_none)) = (told(json!({})), own());
    assert_eq!((none, own_none), (None, None));
    run(&gateway, &["rotate", "identifier-key"]);
    let ((new, previous), (own_new, own_previous)) = (told(json!({})), own());
    assert!(new.starts_with("t2-") && own_new.starts_with("t2-") && own_new != new);
    assert_eq!((previous.as_ref(), own_previous.as_ref()), (Some(&old), Some(&own_old)));
    for known in [&old, &new] {
        assert_eq!(told(json!({"customer": {"id": known}})), (new.clone(), Some(old.clone())), "both are his");
    }
    for known in [&own_old, &own_new, &old, &new] {
        let request = gateway.get("/second/x").customer(&gateway.customer_token()).header("X-Account", known);
        request.send().ok();
        assert_eq!(other.last().all("x-account"), [own_new.as_str()]);
    }
    let stranger = json!({"customer": {"id": own_old}}).to_string();
    gateway.post("/me/x").customer(&gateway.customer_token()).json(&stranger).send().expect(403, "403-03");
    let (code, mapped, _) = gateway.files.run_with(&["id", "migrate", "--backend", "second"], ALICE.subject.as_bytes());
    assert_eq!((code, mapped.lines().nth(1)), (0, Some(&*format!("{own_old},{own_new}"))));
    let said = run(&gateway, &["revoke", "customer", &own_old]);
    assert!(said.contains(&new) && said.contains(&old) && said.contains("`second`"), "{said}");
}

#[test]
fn id_migrate_maps_a_list_and_says_which_line_it_cannot_map() {
    for (mode, letter) in [("traceable", 't'), ("one_way", 'o')] {
        let config = Config::new(&Backend::start())
            .set("/identifier/mode", json!(mode))
            .trust("https://login.example.com", &keys::TokenKey::generate());
        let files = gateway::Workspace::new(&config);
        let names = |subject: &str, more: &[&str]| {
            let (code, said, _) = files.run(&[&["id", "for", subject], more].concat());
            assert_eq!(code, 0);
            said.trim().to_owned()
        };
        let migrate = |more: &[&str], input: &[u8]| files.run_with(&[&["id", "migrate"], more].concat(), input);
        let (code, _, complained) = migrate(&[], b"ann\n");
        assert!(code == 1 && complained.contains("no identifier key before"), "{complained}");
        let issuer = ["--issuer", "https://login.example.com"];
        let old = [names("ann", &[]), names("bo \"b\"", &[]), names("ann", &issuer)];
        assert_eq!(files.run(&["rotate", "identifier-key", "--overlap", "1s"]).0, 0);
        let new = [names("ann", &[]), names("bo \"b\"", &[]), names("ann", &issuer)];
        assert!(
            old[0].starts_with(&format!("{letter}1-")) && new[0].starts_with(&format!("{letter}2-")),
            "{old:?} {new:?}"
        );
        // Empty lines and the line ends of other systems are no subjects; nor is the end of the overlap the end of this.
        let (code, said, _) = migrate(&[], b"ann\r\n\nbo \"b\"");
        let expected = format!("previous,current\n{},{}\n{},{}\n", old[0], new[0], old[1], new[1]);
        assert_eq!((code, said), (0, expected));
        let (code, said, _) = migrate(&["--with-subjects"], b"bo \"b\"\n");
        assert_eq!((code, said.lines().nth(1).unwrap()), (0, &*format!("{},{},\"bo \"\"b\"\"\"", old[1], new[1])));
        let (_, said, _) = migrate(&issuer, b"ann\n");
        assert_eq!(said.lines().nth(1).unwrap(), format!("{},{}", old[2], new[2]));
        let long = [&b"ann\n"[..], &[b'x'; 300]].concat();
        for wrong in [&b"ann\nbo\tb\n"[..], b"ann\n\xff\n", &long] {
            let (code, said, complained) = migrate(&[], wrong);
            assert!(code == 1 && complained.contains("line 2"), "{complained}");
            assert_eq!(said.lines().count(), 2, "what came before it is there");
            assert!(!complained.contains("bo\tb") && !complained.contains("xxx"), "{complained}");
        }
    }
}

#[test]
fn backends_with_identifiers_of_their_own_get_different_ones() {
    let other = Backend::start();
    let (backend, gateway) = world_with(|config| {
        config
            .set("/backends/second", json!({"servers": [other.url()], "pairwise": true}))
            .add_route(json!({"name": "second", "path": "/second/", "methods": ["GET"], "require": ["customer"],
                "identifier": {"header": "X-Customer-Id"}, "backend": "second"}))
    });
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    let shared = backend.only().header("x-customer-id").unwrap().to_owned();
    gateway.get("/second/x").customer(&gateway.customer_token()).send().ok();
    gateway.get("/second/x").customer(&gateway.customer_token()).header("X-Customer-Id", &shared).send().ok();
    let own = other.requests()[0].header("x-customer-id").unwrap().to_owned();
    assert_ne!(own, shared);
    assert_eq!(other.last().header("x-customer-id"), Some(&*own), "callers know the customer by the token's name");
    let said = run(&gateway, &["id", "trace", &own, "--backend", "second"]);
    assert!(said.contains(ALICE.subject), "{said}");
    assert_eq!(run(&gateway, &["id", "for", ALICE.subject, "--backend", "second"]).trim(), own);
    assert_eq!(run(&gateway, &["id", "for", ALICE.subject]).trim(), shared);
    let (code, _, _) = gateway.files.run(&["id", "trace", &own]);
    assert_eq!(code, 1);
}
