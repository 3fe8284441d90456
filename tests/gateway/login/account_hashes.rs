//! Account files with hashes that companies have: bcrypt, PBKDF2, scrypt, SHA-crypt, htpasswd.

use std::time::{Duration, Instant};

use super::lockout::{HOME, from, usual};
use crate::harness::keys::argon2id;
use crate::harness::*;

const PASSWORD: &str = "corr\u{e9}ct horse $1";

fn text(output: std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A hash by PHP's password_hash.
fn bcrypt(password: &str, cost: u32) -> String {
    let script = format!("echo password_hash($argv[1], PASSWORD_BCRYPT, ['cost' => {cost}]);");
    text(program("php", "php-cli", &["-r", &script, "--", password]))
}

/// A hash by openssl.
fn sha_crypt(kind: &str, password: &str) -> String {
    text(program("openssl", "openssl", &["passwd", kind, "-salt", "saltsaltsaltsalt", "--", password]))
}

/// The hashes of a password that Python makes: PBKDF2 as passlib, Django and the PHC format write it, and scrypt.
fn of_python(password: &str) -> Vec<String> {
    const SCRIPT: &str = r#"
import base64, hashlib, sys
password, salt = sys.argv[1].encode(), b"sixteenBytesSalt"
b64 = lambda data: base64.b64encode(data).decode()
plain = lambda data: b64(data).rstrip("=")
sha256 = hashlib.pbkdf2_hmac("sha256", password, salt, 12000)
sha512 = hashlib.pbkdf2_hmac("sha512", password, salt, 12000)
scrypt = hashlib.scrypt(password, salt=salt, n=2**14, r=8, p=2, dklen=32)
print("$pbkdf2-sha256$i=12000,l=32$" + plain(salt) + "$" + plain(sha256))
print("$pbkdf2-sha512$12000$" + plain(salt).replace("+", ".") + "$" + plain(sha512).replace("+", "."))
print("pbkdf2_sha256$12000$" + salt.decode() + "$" + b64(sha256))
print("$scrypt$ln=14,r=8,p=2$" + plain(salt) + "$" + plain(scrypt))
"#;
    let output = text(program("python3", "python3", &["-c", SCRIPT, password]));
    output.lines().map(str::to_owned).collect()
}

/// Names and hashes of one password, of every kind that is accepted.
fn all_kinds() -> Vec<(String, String)> {
    let mut hashes = vec![
        argon2id(PASSWORD),
        bcrypt(PASSWORD, 5),
        format!("{{bcrypt}}{}", bcrypt(PASSWORD, 4 + 2).replacen("$2y$", "$2a$", 1)),
        bcrypt(PASSWORD, 6).replacen("$2y$", "$2b$", 1),
        sha_crypt("-5", PASSWORD),
        format!("{{CRYPT}}{}", sha_crypt("-6", PASSWORD)),
    ];
    hashes.extend(of_python(PASSWORD));
    hashes.into_iter().enumerate().map(|(number, hash)| (format!("user{number}"), hash)).collect()
}

fn with_accounts(config: Config, name: &str, text: &str) -> Config {
    config.set("/login/accounts/file", json!(name)).file(name, text)
}

#[test]
fn passwords_whose_hashes_other_programs_made_log_in_and_others_do_not() {
    let accounts: Vec<Value> = all_kinds()
        .iter()
        .map(|(name, hash)| json!({"username": name, "password": hash, "subject": format!("of {name}")}))
        .collect();
    let (_backend, gateway) =
        world_with(|config| with_accounts(config, "others.yaml", &Value::from(accounts).to_string()));
    for (name, hash) in all_kinds() {
        let answer = gateway.login_request(&name, PASSWORD).send();
        assert_eq!(answer.status, 200, "{hash}");
        for wrong in [
            "corr\u{e9}ct horse $",
            "corr\u{e9}ct horse $1 ",
            "correct horse $1",
            &format!("{PASSWORD}\0"),
            &format!("{PASSWORD}\0x"),
        ] {
            // HMAC fills a key with NUL: to PBKDF2 and scrypt that is the same password.
            if wrong.ends_with('\0') && (hash.contains("pbkdf2") || hash.contains("scrypt")) {
                continue;
            }
            gateway.login_request(&name, wrong).send().expect(401, "401-04");
        }
    }
}

#[test]
fn a_bcrypt_hash_knows_72_bytes_of_a_password_as_everywhere_and_argon2id_all() {
    let long = "x".repeat(80);
    let accounts = json!([
        {"username": "bcrypt", "password": bcrypt(&long, 5), "subject": "1"},
        {"username": "argon2id", "password": argon2id(&long), "subject": "2"},
    ]);
    let (_backend, gateway) = world_with(|config| with_accounts(config, "others.yaml", &accounts.to_string()));
    let log_in = |name: &str, length: usize| gateway.login_request(name, &long[..length]).send().status;
    assert_eq!([80, 72, 71].map(|length| log_in("bcrypt", length)), [200, 200, 401]);
    assert_eq!([80, 79, 72].map(|length| log_in("argon2id", length)), [200, 401, 401]);
}

#[test]
fn an_htpasswd_file_is_a_file_of_accounts_whose_names_are_the_customers() {
    let lines = |hash: &str| format!("# staff\n\nerin:{hash}\nalice smith:{}:a comment\n", sha_crypt("-6", "second"));
    let (_backend, gateway) =
        world_with(|config| with_accounts(config, "users.htpasswd", &lines(&bcrypt(PASSWORD, 5))));
    let subject = |name: &str, password: &str| {
        let answer = gateway.login_request(name, password).send().ok().json();
        keys::decode(answer["JWT"].as_str().unwrap()).1["sub"].as_str().unwrap().to_owned()
    };
    let erin = subject("erin", PASSWORD);
    assert_eq!(
        gateway.files.succeeds(&["id", "trace", &erin]).trim().rsplit(' ').next(),
        Some("erin"),
        "the name is the subject"
    );
    assert_ne!(erin, subject("alice smith", "second"));
    gateway.login_request("# staff", "").send().expect(400, "");
    gateway.login_request("erin", "second").send().expect(401, "401-04");
    // It is read again by itself.
    gateway.files.write("users.htpasswd", &lines(&bcrypt("another", 5)));
    eventually("the new password is in force", || gateway.login_request("erin", "another").send().status == 200);
    gateway.login_request("erin", PASSWORD).send().expect(401, "401-04");
}

#[test]
fn hashes_that_are_guessed_in_no_time_are_refused_with_their_line_and_what_to_do() {
    let backend = Backend::start();
    let apr1 = text(program("openssl", "openssl", &["passwd", "-apr1", "hunter2"]));
    for (hash, said) in [
        (apr1.as_str(), "MD5"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA"),
        ("rqXexS6ZhobKA", "DES"),
        ("hunter2", "not a password hash"),
        ("", "not a password hash"),
        ("$2y$04$IvChdDl28Si0Bb8i.Z11TOD89vJ9qf.5c9.dkzxe0oVb5TyXk8xj.", "too cheap"),
        ("$2y$17$IvChdDl28Si0Bb8i.Z11TOD89vJ9qf.5c9.dkzxe0oVb5TyXk8xj.", "too dear"),
    ] {
        let lines = format!("# staff\nalice:{}\nerin:{hash}\n", bcrypt(PASSWORD, 10));
        let files = gateway::Workspace::new(&with_accounts(Config::new(&backend), "users.htpasswd", &lines));
        let complained = files.fails(&["check"]);
        for part in ["users.htpasswd:3: ", said, "wicketgate hash-password"] {
            assert!(complained.contains(part), "{hash}: {complained}");
        }
        assert!(hash.is_empty() || !complained.contains(hash), "{complained}");
    }
    let twice = format!("erin:{0}\nerin:{0}\n", bcrypt(PASSWORD, 10));
    let files = gateway::Workspace::new(&with_accounts(Config::new(&backend), "users.htpasswd", &twice));
    assert!(files.fails(&["check"]).contains("users.htpasswd:2: this username stands in the file twice"));
}

#[test]
fn hashes_that_cost_less_than_is_usual_today_are_warned_about_and_never_written() {
    let backend = Backend::start();
    let lines = format!("alice:{}\nerin:{}\n", bcrypt(PASSWORD, 10), bcrypt(PASSWORD, 5));
    let config = with_accounts(Config::new(&backend), "users.htpasswd", &lines);
    let files = std::sync::Arc::new(gateway::Workspace::new(&config));
    let (code, _, warned) = files.run(&["check"]);
    assert_eq!(code, 0, "{warned}");
    assert!(warned.contains("users.htpasswd:2: this hash is cheap to guess: bcrypt of cost 5"), "{warned}");
    let gateway = Gateway::start_in(std::sync::Arc::clone(&files), config.signing_key.clone());
    gateway.login_request("erin", PASSWORD).send().ok();
    assert_eq!(std::fs::read_to_string(files.path.join("users.htpasswd")).unwrap(), lines);
}

#[test]
fn clients_prove_themselves_by_secrets_whose_hashes_other_programs_made() {
    let hashes: Vec<String> = all_kinds().into_iter().map(|(_, hash)| hash).collect();
    let (_backend, gateway) = world_with(|config| config.set("/clients/0/secrets", json!([bcrypt("first", 5)])));
    gateway.token_request(CLIENT.name, "first").send().ok();
    gateway.token_request(CLIENT.name, "second").send().expect(401, "");
    for hash in hashes {
        let until = json!([format!("{hash} until 2099-01-01T00:00:00Z"), bcrypt("first", 5)]);
        let (_backend, gateway) = world_with(|config| config.set("/clients/0/secrets", until));
        assert_eq!(gateway.token_request(CLIENT.name, PASSWORD).send().status, 200, "{hash}");
        gateway.token_request(CLIENT.name, "first").send().ok();
        gateway.token_request(CLIENT.name, "wrong").send().expect(401, "");
    }
}

/// The fastest refusal of some.
fn fastest(gateway: &Gateway, name: &str, password: &str) -> Duration {
    let request = from(HOME, gateway.login_request(name, password));
    let mut connection = gateway.connect();
    connection.patience(Duration::from_secs(60));
    let one = |_| {
        let start = Instant::now();
        request.send_on(&mut connection).expect(401, "401-04");
        start.elapsed()
    };
    (0..4).map(one).min().unwrap()
}

#[test]
fn refusals_take_as_long_as_the_dearest_hash_of_any_kind_whoever_is_named() {
    let accounts = json!([
        {"username": "bcrypt", "password": bcrypt(PASSWORD, 10), "subject": "1"},
        {"username": "sha", "password": sha_crypt("-6", PASSWORD), "subject": "2"},
        {"username": "argon2id", "password": argon2id(PASSWORD), "subject": "3"},
        {"username": "pbkdf2", "password": of_python(PASSWORD)[0], "subject": "4"},
    ]);
    let (_backend, gateway) = world_with(|config| {
        let config = usual(config).set("/login/attempts", json!({"free": 1000, "free_per_address": 10_000}));
        with_accounts(config, "mixed.yaml", &accounts.to_string())
    });
    // Before anybody with the dearest hash was asked for.
    let first = fastest(&gateway, "sha", "wrong");
    let dearest = fastest(&gateway, "bcrypt", "wrong");
    assert!(first > dearest / 2, "{first:?}, the dearest: {dearest:?}");
    for name in ["sha", "argon2id", "pbkdf2", "nobody"] {
        let took = fastest(&gateway, name, "wrong");
        assert!(took > dearest / 2 && took < dearest * 3, "{name}: {took:?}, the dearest: {dearest:?}");
    }
    // The right password need not wait.
    let start = Instant::now();
    gateway.login_request("sha", PASSWORD).send().ok();
    assert!(start.elapsed() < dearest, "{:?}, the dearest: {dearest:?}", start.elapsed());
}

#[test]
fn a_long_password_tells_no_more_than_a_short_one_whose_hash_sha_crypt_made() {
    // 40,000 rounds: each hashes the whole password.
    let script = "print crypt($ARGV[0], '$6$rounds=40000$saltsaltsaltsalt')";
    let hash = text(program("perl", "perl", &["-e", script, "--", PASSWORD]));
    let accounts = json!([
        {"username": "sha", "password": hash, "subject": "1"},
        {"username": "bcrypt", "password": bcrypt(PASSWORD, 5), "subject": "2"},
    ]);
    let (_backend, gateway) = world_with(|config| {
        let config = usual(config).set("/login/attempts", json!({"free": 1000, "free_per_address": 10_000}));
        with_accounts(config, "mixed.yaml", &accounts.to_string())
    });
    gateway.login_request("sha", PASSWORD).send().ok();
    let dearest = |password: &str| fastest(&gateway, "sha", password);
    for password in ["wrong".to_owned(), "x".repeat(500), "x".repeat(5_000)] {
        let dearest = dearest(&password);
        for name in ["bcrypt", "nobody"] {
            let took = fastest(&gateway, name, &password);
            assert!(took > dearest / 2, "{name}, {} bytes: {took:?}, the dearest: {dearest:?}", password.len());
        }
    }
    let (long, longest) = (dearest(&"x".repeat(511)), dearest(&"x".repeat(6_000)));
    assert!(longest < long * 3, "a password of 6000 bytes: {longest:?}, one of 511: {long:?}");
}

/// Top-level keys of YAML that a page shows, in the place of those of the usual configuration.
fn shown(config: &Config, examples: &[&str]) -> String {
    let keys = config.yaml.as_object().unwrap().iter();
    let others = keys.filter(|(key, _)| !examples.iter().any(|example| example.starts_with(&format!("{key}:"))));
    others
        .map(|(key, value)| format!("{key}: {value}\n"))
        .chain(examples.iter().map(|example| example.to_string()))
        .collect()
}

#[test]
fn the_examples_of_the_page_on_accounts_are_right() {
    const PAGE: &str = include_str!("../../../docs/identity-providers.md");
    let section =
        PAGE.split("\n## ").find(|section| section.starts_with("Accounts and passwords that you have")).unwrap();
    let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).collect();
    let [htpasswd, lines, clients, backend] = blocks[..] else { panic!("{blocks:?}") };
    let yaml = |block: &str| block.strip_prefix("yaml\n").unwrap().to_owned();
    let own = Backend::start();
    let config = Config::new(&own).file("users.htpasswd", lines.trim_start()).file("clients.yaml", "[]");
    let files = gateway::Workspace::new(&config);
    let htpasswd = yaml(htpasswd).replace("/etc/nginx/", "");
    for examples in [vec![htpasswd, yaml(clients)], vec![yaml(backend)]] {
        let examples: Vec<&str> = examples.iter().map(String::as_str).collect();
        files.write("gateway.yaml", &shown(&config, &examples));
        files.succeeds(&["check"]);
    }
}
