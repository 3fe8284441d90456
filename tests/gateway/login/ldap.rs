//! LDAP as a backend for accounts, with a real slapd.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::harness::slapd::Slapd;
use crate::harness::*;

const PEOPLE: &str = "uid={username},ou=people,dc=example,dc=com";
const SERVICE: &str = "cn=gateway,dc=example,dc=com";
const SERVICE_PASSWORD: &str = "gateway-searches-1";

/// The entries: alice in two groups; erin in one; root below another unit; two called twin.
fn entries() -> String {
    let mut ldif = format!(
        "dn: dc=example,dc=com\nobjectClass: organization\nobjectClass: dcObject\ndc: example\no: Example\n\n\
         dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gateway\n\
         userPassword: {SERVICE_PASSWORD}\n\n"
    );
    for unit in ["ou=people", "ou=admins,ou=people"] {
        let name = unit.split([',', '=']).nth(1).unwrap();
        ldif += &format!("dn: {unit},dc=example,dc=com\nobjectClass: organizationalUnit\nou: {name}\n\n");
    }
    let [one, two] = ["cn=staff,ou=groups", "cn=north,ou=groups"];
    for (number, (rdn, name, password, more)) in [
        ("ou=people", "alice", "alice-p\u{e4}ssword", format!("memberOf: {one},dc=example,dc=com\nmemberOf: {two},dc=example,dc=com\nmail: a@example.com\nmail: b@example.com\n")),
        ("ou=people", "erin", "erin-password", format!("memberOf: {one},dc=example,dc=com\n")),
        ("ou=admins,ou=people", "root", "root-password", String::new()),
        ("ou=people", "twin", "twin-password", String::new()),
        ("ou=admins,ou=people", "twin", "twin-password", String::new()),
    ]
    .into_iter()
    .enumerate()
    {
        ldif += &format!(
            "dn: uid={name},{rdn},dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             userPassword:: {}\nentryUUID: 00000000-0000-4000-8000-00000000000{number}\n{more}\n",
            keys::base64(password.as_bytes()),
        );
    }
    ldif
}

const ALICE_PASSWORD: &str = "alice-p\u{e4}ssword";

fn direct() -> Value {
    json!({"bind_dn": PEOPLE})
}

fn searching() -> Value {
    json!({"search": {"base": "dc=example,dc=com", "filter": "(&(objectClass=inetOrgPerson)(uid={username}))",
        "bind_dn": SERVICE, "bind_password": {"file": "certs/directory.password"}}})
}

/// Logins are asked of this directory; these members of `login.accounts.ldap` beside it.
fn asked(config: Config, url: &str, more: &Value) -> Config {
    let mut ldap = json!({"url": url, "ca": "certs/ca.pem", "subject": "entryUUID"});
    if url.starts_with("ldap://") && more.get("start_tls").is_none() {
        ldap.as_object_mut().unwrap().remove("ca");
    }
    ldap.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
        .set("/login/accounts", json!({"ldap": ldap}))
        .set("/login/attempts", json!({"free": 100, "free_per_address": 1000}))
        .file("certs/directory.password", SERVICE_PASSWORD)
}

fn subject(answer: Response) -> Value {
    claims(answer)["sub"].clone()
}

fn claims(answer: Response) -> Value {
    keys::decode(answer.ok().json()["JWT"].as_str().unwrap()).1
}

fn both(one: Value, other: &Value) -> Value {
    let mut all = one;
    all.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    all
}

#[test]
fn a_directory_says_who_may_log_in_by_a_direct_bind_and_by_a_search() {
    let slapd = Slapd::start(&entries());
    let mut subjects = Vec::new();
    for binding in [direct(), searching()] {
        let (_backend, gateway) =
            world_with(|config| asked(config, &slapd.ldaps(), &binding).set("/identifier/tenant", json!("example")));
        let sub = subject(gateway.login_request("alice", ALICE_PASSWORD).send());
        // The directory compares names as it does, and its identifier stays.
        assert_eq!(subject(gateway.login_request("ALICE", ALICE_PASSWORD).send()), sub);
        assert_ne!(subject(gateway.login_request("erin", "erin-password").send()), sub);
        subjects.push(sub.as_str().unwrap().to_owned());
        let refused = |name: &str, password: &str| {
            let answer = gateway.login_request(name, password).header("X-Request-Id", "same-id").send();
            let answer = answer.expect(401, "401-04");
            let mut fields: Vec<_> =
                answer.lines.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date")).collect();
            fields.sort();
            (format!("{fields:?}"), answer.text())
        };
        let wrong = refused("alice", "alice-password");
        for (name, password) in [
            ("nobody", ALICE_PASSWORD),
            ("erin", ALICE_PASSWORD),
            ("alice", "Alice-p\u{e4}ssword"),
            ("*", ALICE_PASSWORD),
            ("ali*", ALICE_PASSWORD),
            ("*)(uid=*", ALICE_PASSWORD),
            ("alice)(objectClass=*", ALICE_PASSWORD),
            ("alice\\2a", ALICE_PASSWORD),
            ("root,ou=admins", "root-password"),
            ("root\\,ou=admins", "root-password"),
            ("alice+cn=alice", ALICE_PASSWORD),
            ("uid=alice,ou=people,dc=example,dc=com", ALICE_PASSWORD),
            ("cn=gateway,dc=example,dc=com", SERVICE_PASSWORD),
            ("\u{1}\u{2}", "x"),
            ("#61", "x"),
            ("\"", "x"),
            ("\u{1f600}", "x"),
            (" ", "x"),
            ("{username}", "x"),
        ] {
            assert_eq!(refused(name, password), wrong, "{name}");
        }
        assert!(!gateway.stderr.all().concat().contains("no verdict"), "{:?}", gateway.stderr.all());
    }
}

#[test]
fn an_empty_password_is_a_wrong_one_although_a_directory_takes_it_for_nobodys() {
    let slapd = Slapd::start(&entries());
    for binding in [direct(), searching()] {
        let (_backend, gateway) = world_with(|config| asked(config, &slapd.ldaps(), &binding));
        for (name, password) in [("alice", ""), ("nobody", ""), ("", ""), ("", "x")] {
            gateway.login_request(name, password).send().expect_one_of(&[400, 401]);
        }
        gateway.login_request("alice", "\0").send().expect_one_of(&[400, 401]);
        gateway.login_request("alice", ALICE_PASSWORD).send().ok();
    }
}

#[test]
fn attributes_of_the_entry_are_claims_of_the_jwt() {
    let slapd = Slapd::start(&entries());
    let wanted = json!({"claims": {"groups": "memberof", "unit": "ou", "title": "uid"}});
    let (_backend, gateway) = world_with(|config| {
        asked(config, &slapd.ldaps(), &both(searching(), &wanted))
            .set("/login/claims", json!(["groups", "unit", "title"]))
    });
    let said = claims(gateway.login_request("alice", ALICE_PASSWORD).send());
    assert_eq!(said["groups"], json!(["cn=staff,ou=groups,dc=example,dc=com", "cn=north,ou=groups,dc=example,dc=com"]));
    assert_eq!(said["title"], "alice");
    assert!(said.get("unit").is_none() && !said.to_string().contains("a@example.com"), "{said}");
    let said = claims(gateway.login_request("erin", "erin-password").send());
    assert_eq!(said["groups"], "cn=staff,ou=groups,dc=example,dc=com");
}

#[test]
fn a_directory_is_verified_by_its_certificate_with_ldaps_and_with_start_tls() {
    let slapd = Slapd::start(&entries());
    let (ldap, ldaps) = (slapd.ldap(), slapd.ldaps());
    let start_tls = json!({"start_tls": true});
    for (url, more) in [(&ldaps, json!({})), (&ldap, start_tls)] {
        let trusting = both(direct(), &more);
        let (_backend, gateway) = world_with(|config| asked(config, url, &trusting));
        gateway.login_request("alice", ALICE_PASSWORD).send().ok();
        let strange = keys::self_signed(&["localhost"]).certificate;
        let doubting = both(trusting, &json!({"ca": "certs/strange.pem"}));
        let (_backend, gateway) =
            world_with(|config| asked(config, url, &doubting).file("certs/strange.pem", &strange));
        gateway.login_request("alice", ALICE_PASSWORD).send().expect(503, "503-02");
        let line = gateway.stderr.wait(|line| line.to_string().contains("gives no verdict on a password")).unwrap();
        assert!(line.to_string().contains("certificate"), "{line}");
        assert!(!gateway.stderr.all().concat().contains(ALICE_PASSWORD));
        let said = gateway.files.run(&["check", "--connect"]).1;
        assert!(said.contains("login.accounts.ldap: I/O error: invalid peer certificate"), "{said}");
    }
    // Without TLS only on this machine.
    let (_backend, gateway) = world_with(|config| asked(config, &ldap, &direct()));
    gateway.login_request("alice", ALICE_PASSWORD).send().ok();
}

#[test]
fn a_directory_that_is_gone_is_an_outage_and_no_failed_attempt() {
    let mut slapd = Slapd::start(&entries());
    let attempts = json!({"free": 1, "free_per_address": 1, "delay": "5m"});
    let (backend, gateway) =
        world_with(|config| asked(config, &slapd.ldaps(), &searching()).set("/login/attempts", attempts));
    let sub = subject(gateway.login_request("alice", ALICE_PASSWORD).send());
    let files = &gateway.files;
    let connects =
        |answers: bool| files.run(&["check", "--connect"]).1.contains("login.accounts.ldap: answers") == answers;
    assert!(connects(true));
    slapd.kill();
    for _ in 0..3 {
        gateway.login_request("alice", "wrong").send().expect(503, "503-02");
        gateway.login_request("alice", ALICE_PASSWORD).send().expect(503, "503-02");
    }
    assert!(connects(false));
    gateway.get("/public/x").send().ok();
    slapd.restart();
    assert_eq!(subject(gateway.login_request("alice", ALICE_PASSWORD).send()), sub);
    for _ in 0..2 {
        gateway.login_request("alice", "wrong").send().expect_one_of(&[401, 429]);
    }
    gateway.login_request("alice", "wrong").send().expect(429, "429-02");
    drop(backend);
}

#[test]
fn an_account_that_may_not_search_and_an_entry_without_one_subject_are_outages() {
    let slapd = Slapd::start(&entries());
    let mut unknown = searching();
    unknown["search"]["base"] = json!("dc=example,dc=org");
    for (more, name, reason) in [
        (both(searching(), &json!({})), "twin", "several entries"),
        (both(searching(), &json!({"subject": "mail"})), "alice", "no single value of mail"),
        (both(direct(), &json!({"subject": "mail"})), "erin", "shows no mail"),
        (unknown, "erin", "result code 32 of a search"),
    ] {
        let (_backend, gateway) = world_with(|config| asked(config, &slapd.ldaps(), &more));
        let password = if name == "alice" { ALICE_PASSWORD.to_owned() } else { format!("{name}-password") };
        gateway.login_request(name, &password).send().expect(503, "503-02");
        let line = gateway.stderr.wait(|line| line.to_string().contains("gives no verdict on a password")).unwrap();
        assert!(line.to_string().contains(reason), "{line}");
    }
    let (_backend, gateway) = world_with(|config| {
        asked(config, &slapd.ldaps(), &searching()).file("certs/directory.password", "another password")
    });
    gateway.login_request("alice", ALICE_PASSWORD).send().expect(503, "503-02");
    assert!(gateway.files.run(&["check", "--connect"]).1.contains("result code 49 of the bind of `search.bind_dn`"));
}

/// A server that reads what it gets and answers with these bytes, or never.
fn odd_server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 1024];
                while matches!(stream.read(&mut buffer), Ok(length) if length > 0) {
                    let _ = stream.write_all(answer);
                }
            });
        }
    });
    url
}

#[test]
fn a_directory_that_never_answers_or_answers_nonsense_is_an_outage_and_holds_nobody_else() {
    for answer in
        [&b""[..], b"\x30\x03\x02\x01\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x30\x84\xff\xff\xff\xff", &[0; 512]]
    {
        let url = odd_server(answer);
        let more = both(direct(), &json!({"timeout": "300ms"}));
        let attempts = json!({"free": 1, "free_per_address": 1, "delay": "5m"});
        let (_backend, gateway) = world_with(|config| asked(config, &url, &more).set("/login/attempts", attempts));
        for _ in 0..3 {
            gateway.login_request("alice", ALICE_PASSWORD).send().expect(503, "503-02");
        }
        gateway.get("/public/x").send().ok();
        assert!(!gateway.stderr.all().concat().contains(ALICE_PASSWORD));
    }
}

#[test]
fn what_is_said_of_a_directory_is_checked_with_the_key_at_fault() {
    let backend = Backend::start();
    let tls = "ldaps://localhost";
    let search = |key: &str, value: &str| {
        let mut all = searching();
        all["search"][key] = json!(value);
        all
    };
    for (url, more, key, said) in [
        ("https://localhost", direct(), ".url", "ldaps://"),
        ("ldap://ldap.example.com", direct(), ".url", "plain text"),
        ("ldaps://localhost/dc=example", direct(), ".url", "behind the host"),
        ("ldaps://localhost:0", direct(), ".url", "port"),
        ("ldaps://[::1]", direct(), ".url", "name of the host"),
        (tls, both(direct(), &json!({"start_tls": true})), ".url", "TLS from the beginning"),
        ("ldap://localhost", both(direct(), &json!({"ca": "certs/ca.pem"})), ".ca", "no TLS"),
        (tls, json!({}), "", "as whom to bind"),
        (tls, both(direct(), &searching()), "", "side by side"),
        (tls, json!({"bind_dn": "cn=admin,dc=example,dc=com"}), ".bind_dn", "{username} is missing"),
        (tls, search("filter", "(uid=alice)"), ".search.filter", "find everybody"),
        (tls, search("filter", "(uid={username}"), ".search.filter", "RFC 4515"),
        (tls, search("base", "ou={username}"), ".search.base", "stands for nothing"),
        (tls, search("bind_dn", " "), ".search.bind_dn", "empty"),
        (tls, both(direct(), &json!({"subject": ""})), ".subject", "empty"),
        (tls, both(direct(), &json!({"timeout": "0s"})), ".timeout", "0"),
        (tls, both(direct(), &json!({"claims": {"tier": "x"}})), ".claims.tier", "no claim in `login.claims`"),
        (tls, both(direct(), &json!({"ca": "certs/missing.pem"})), ".ca", "no such file"),
    ] {
        let said_so = gateway::Workspace::new(&asked(Config::new(&backend), url, &more)).fails(&["check"]);
        let key = format!("login.accounts.ldap{key}");
        assert!(said_so.contains(&key) && said_so.contains(said), "{key}, {said}: {said_so}");
    }
    for (key, value) in [("file", json!("accounts.yaml")), ("backend", json!("legacy")), ("fold", json!(true))] {
        let config = asked(Config::new(&backend), tls, &direct()).set(&format!("/login/accounts/{key}"), value);
        let said = gateway::Workspace::new(&config).fails(&["check"]);
        assert!(said.contains(&format!("`{key}` and `ldap` stand side by side")), "{said}");
    }
    let plain =
        asked(Config::new(&backend), "ldap://ldap.example.com", &both(direct(), &json!({"danger_plaintext": true})));
    gateway::Workspace::new(&plain).succeeds(&["check"]);
}

#[test]
fn the_examples_of_the_page_on_directories_are_right() {
    let page = include_str!("../../../docs/identity-providers.md");
    let section = page.split("\n## ").find(|section| section.starts_with("Accounts in a directory (LDAP)")).unwrap();
    let blocks: Vec<&str> = section.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    let slapd = Slapd::start(&entries());
    for block in blocks {
        let block =
            block.replace("ldaps://ldap.example.com", &slapd.ldaps()).replace("/etc/wicketgate/ca.pem", "certs/ca.pem");
        let backend = Backend::start();
        let mut config = asked(Config::new(&backend), &slapd.ldaps(), &direct());
        config.yaml.as_object_mut().unwrap().remove("login");
        let files = std::sync::Arc::new(gateway::Workspace::new(&config));
        let others: String =
            config.yaml.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        files.write("gateway.yaml", &format!("{others}{block}"));
        files.succeeds(&["check"]);
        let gateway = Gateway::start_in(files, config.signing_key.clone());
        let said = claims(gateway.login_request("alice", ALICE_PASSWORD).send());
        assert_eq!(said["groups"].as_array().unwrap().len(), 2, "{said}");
        gateway.login_request("alice", "wrong").send().expect(401, "401-04");
    }
}
