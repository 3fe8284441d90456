//! `wicketgate state backup` and `restore`: what holds after a restore, and what is never lost.

use std::os::unix::fs::PermissionsExt as _;

use crate::client_keys::{ask, assertion, in_file};
use crate::clock_skew::clock;
use crate::dpop::Proof;
use crate::harness::config::FREE_API_KEY;
use crate::harness::gateway::Workspace;
use crate::harness::keys::{TokenKey, now};
use crate::harness::provider::token_with;
use crate::harness::*;

/// The commands of the chapter in docs/operations.md, without the program's name.
fn documented() -> Vec<Vec<&'static str>> {
    let chapter = include_str!("../../docs/operations.md").split("\n### Backups\n").nth(1).unwrap();
    let chapter = chapter.split("\n#").next().unwrap();
    let lines = chapter.lines().filter_map(|line| line.strip_prefix("wicketgate "));
    lines.map(|line| line.split_whitespace().collect()).collect()
}

#[track_caller]
fn good(files: &Workspace, args: &[&str]) -> String {
    let (code, said, complained) = files.run(args);
    assert_eq!(code, 0, "{args:?}: {said}{complained}");
    said
}

#[track_caller]
fn refused(files: &Workspace, args: &[&str]) -> String {
    let (code, said, complained) = files.run(args);
    assert_eq!(code, 1, "{args:?}: {said}{complained}");
    complained
}

fn log_in(gateway: &Gateway, account: Account) -> String {
    let answer = gateway.login_request(account.name, account.secret).send().ok();
    answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn by_cookie(gateway: &Gateway, pair: &str) -> Request {
    gateway.get("/me/x").header("Cookie", pair)
}

fn states(files: &Workspace) -> Vec<String> {
    let names = std::fs::read_dir(files.path.join("data")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("state"));
    names.sort();
    names
}

#[test]
fn a_restored_backup_brings_nothing_back_to_life_that_was_ended_and_what_it_cannot_know_it_says() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let (stays, goes) = (log_in(&gateway, ALICE), log_in(&gateway, BOB));
    let client = gateway.client_token();
    gateway.get("/key/x").api_key(FREE_API_KEY).send().ok();
    good(&gateway.files, &["revoke", "api-key", "asapp-prod"]);
    let [backup, restore, keep] = &documented()[..] else { panic!("{:?}", documented()) };
    // The gateway runs, and goes on.
    let said = good(&gateway.files, backup);
    assert!(said.contains(" records written to "), "{said}");
    let file = gateway.files.path.join(backup[2]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // What comes after it: a logout, and a login.
    gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin").header("Cookie", &goes).send().expect(204, "");
    let late = log_in(&gateway, BOB);

    let complained = refused(&gateway.files, restore);
    assert!(complained.contains("a gateway runs with this state"), "{complained}");
    by_cookie(&gateway, &stays).send().ok();
    let key = gateway.signing_key.clone();
    let files = gateway.kill();
    let said = good(&files, restore);
    for words in ["customers log in again", "Not known here", "api_key", "The state before is"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let kept = states(&files);
    assert!(kept.len() == 2 && kept[1].starts_with("state.redb.before-restore-"), "{kept:?}");
    let gateway = Gateway::start_in(files, key.clone());
    for ended in [&stays, &goes, &late] {
        by_cookie(&gateway, ended).send().expect(401, "401-03");
    }
    gateway.get("/system/x").bearer(&client).send().expect(401, "");
    // API keys go by what the backup knows, and everybody can begin again.
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
    gateway.get("/key/x").api_key(FREE_API_KEY).send().ok();
    by_cookie(&gateway, &log_in(&gateway, ALICE)).send().ok();
    gateway.get("/system/x").bearer(&gateway.client_token()).send().ok();

    // Whoever asks for it gets the logins of the backup back, with what that risks.
    let files = gateway.kill();
    let said = good(&files, keep);
    assert!(said.contains("Risk: ") && said.contains("are good again"), "{said}");
    let gateway = Gateway::start_in(files, key);
    by_cookie(&gateway, &stays).send().ok();
    by_cookie(&gateway, &goes).send().ok();
    by_cookie(&gateway, &late).send().expect(401, "401-03");
    assert_eq!(states(&gateway.files).len(), 3);
}

#[test]
fn a_backup_that_is_cut_off_changed_or_of_a_later_version_is_refused_by_name_and_the_state_stays() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    let stays = log_in(&gateway, ALICE);
    let key = gateway.signing_key.clone();
    let files = gateway.kill();
    // Also while no gateway runs.
    good(&files, &["state", "backup", "good"]);
    let text = std::fs::read_to_string(files.path.join("good")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let count = lines.len() - 2;
    assert!(count >= 1 && lines[0].starts_with("wicketgate-state 1 "), "{text}");
    let later = format!("{}\n780000 {{}}\n{}\n", lines[..=count].join("\n"), lines[count + 1]);
    let cases = [
        ("cut off", format!("{}\n", lines[..=count].join("\n")), "is cut off after"),
        ("cut within", text[..text.len() - 20].to_owned(), "is cut off after"),
        ("changed", text.replacen("\"issued\":1", "\"issued\":2", 1), "is damaged in line"),
        ("one less", format!("{}\n{}\n", lines[0], lines[count + 1]), "is damaged in line"),
        ("later record", later, "was made by a later version of wicketgate (a record of kind `x`)"),
        (
            "later format",
            text.replacen("wicketgate-state 1", "wicketgate-state 2", 1),
            "later version of wicketgate (format 2)",
        ),
        ("another", "hello\n".to_owned(), "is no backup of wicketgate's state"),
    ];
    for (name, bad, why) in cases {
        files.write(name, &bad);
        let complained = refused(&files, &["state", "restore", name]);
        assert!(complained.contains(why) && complained.contains(name), "{name}: {complained}");
        assert_eq!(states(&files), ["state.redb"], "{name}");
    }
    // A backup that cannot be written leaves nothing behind.
    refused(&files, &["state", "backup", "no/such/place"]);
    let gateway = Gateway::start_in(files, key);
    by_cookie(&gateway, &stays).send().ok();
    let left = std::fs::read_dir(&gateway.files.path).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("partial")));
}

#[test]
fn what_was_good_once_is_not_good_again_after_a_restore_nor_is_a_token_of_a_clock_that_is_ahead() {
    const PARTNER: &str = "https://login.example.com";
    let (key, partner) = (TokenKey::generate(), TokenKey::generate());
    let (_backend, gateway) = world_with(|c| in_file(c, &[key.jwk("one")]).trust(PARTNER, &partner));
    let asked = |gateway: &Gateway, text: &str| ask(gateway, text).status;
    let proved = |gateway: &Gateway, proof: &str| {
        gateway.token_request(CLIENT.name, CLIENT.secret).header("DPoP", proof).send().status
    };
    let with = |ahead: u64, has_date: bool| {
        assertion(&key, |claims| {
            claims["iat"] = json!(now() + ahead);
            claims["exp"] = json!(now() + ahead + 290);
            if !has_date {
                claims.as_object_mut().unwrap().remove("iat");
            }
        })
    };
    let proof = |ahead: u64| {
        let mut proof = Proof::new(&key, "POST", "/oauth/access_token");
        proof.claims["iat"] = json!(now() + ahead);
        proof.text()
    };
    let partners =
        |ahead: u64| token_with(&partner, "partner-1", PARTNER, "ann", |claims| claims["iat"] = json!(now() + ahead));
    let called = |gateway: &Gateway, token: &str| gateway.get("/me/x").customer(token).send().status;
    good(&gateway.files, &["state", "backup", "it"]);
    // Used after the backup.
    let (assertions, proofs, token) =
        ([with(0, true), with(0, false), with(20, true)], [proof(0), proof(20)], partners(20));
    assertions.iter().for_each(|text| assert_eq!(asked(&gateway, text), 200));
    proofs.iter().for_each(|text| assert_eq!(proved(&gateway, text), 200));
    assert_eq!(called(&gateway, &token), 200);
    let signing_key = gateway.signing_key.clone();
    let files = gateway.kill();
    good(&files, &["state", "restore", "it"]);
    let gateway = Gateway::start_in(files, signing_key.clone());
    for text in &assertions {
        let answer = ask(&gateway, text).expect(401, "");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "client_assertion_used");
    }
    proofs.iter().for_each(|text| assert_ne!(proved(&gateway, text), 200));
    assert_eq!(called(&gateway, &token), 401);
    gateway.client_token();
    // Two minutes later everything new is good, once.
    let files = gateway.kill();
    let gateway = Gateway::start_with(files, signing_key.clone(), &clock("+120s"));
    for text in [with(120, true), with(120, false)] {
        assert_eq!((asked(&gateway, &text), asked(&gateway, &text)), (200, 401));
    }
    let fresh = proof(120);
    assert_eq!(proved(&gateway, &fresh), 200);
    assert_ne!(proved(&gateway, &fresh), 200);
    assert_eq!(called(&gateway, &partners(120)), 200);

    // With `--keep-logins` that is a risk, and said.
    let files = gateway.kill();
    let said = good(&files, &["state", "restore", "it", "--keep-logins"]);
    assert!(said.contains("`assertion_lifetime`"), "{said}");
    let gateway = Gateway::start_in(files, signing_key);
    assert_eq!(asked(&gateway, &assertions[0]), 200);
}

#[test]
fn a_restore_names_what_must_be_looked_after_and_counts_the_rest() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    for _ in 0..3 {
        let cookie = log_in(&gateway, BOB);
        let out = gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin").header("Cookie", &cookie);
        out.send().expect(204, "");
    }
    for args in [["revoke", "token", "one"], ["revoke", "token", "two"], ["revoke", "client", CLIENT.name]] {
        good(&gateway.files, &args);
    }
    good(&gateway.files, &["state", "backup", "it"]);
    let files = gateway.kill();
    let said = good(&files, &["state", "restore", "it"]);
    let listed: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(listed, [&*format!("client {}", CLIENT.name), "logins: 3", "tokens: 2"], "{said}");
}

#[test]
fn whatever_page_of_the_state_is_damaged_a_backup_can_be_restored_and_no_command_breaks_down() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    log_in(&gateway, ALICE);
    let mut gateway = gateway.restart();
    let stays = log_in(&gateway, BOB);
    let key = gateway.signing_key.clone();
    assert_eq!(gateway.terminate(), Some(0));
    let files = gateway.kill();
    good(&files, &["state", "backup", "good"]);
    let state = files.path.join("data/state.redb");
    let whole = std::fs::read(&state).unwrap();
    let mut refused = 0;
    for offset in (4_096..whole.len()).step_by(4_096) {
        let mut damaged = whole.clone();
        let page = damaged.iter_mut().skip(offset).take(4_096).enumerate();
        page.for_each(|(at, byte)| *byte = u8::try_from((at * 37 + 11) % 251).unwrap());
        let damage = || std::fs::write(&state, &damaged).unwrap();
        let mut commands = vec![vec!["check"], vec!["state", "backup", "other"]];
        while let Some(command) = commands.pop() {
            damage();
            let (code, said, complained) = files.run(&command);
            assert!(!complained.contains("panicked") && !complained.contains("backtrace"), "{offset}: {complained}");
            assert!(matches!(code, 0 | 1), "{offset} {command:?}: {said}{complained}");
            if code == 1 {
                let told = format!("{said}{complained}");
                assert!(told.contains("is damaged") && told.contains("state restore"), "{offset} {command:?}: {told}");
                refused += 1;
                // What `check` finds, a start finds too.
                if command == ["check"] {
                    commands.push(vec!["run"]);
                }
            }
        }
        damage();
        let said = good(&files, &["state", "restore", "good", "--keep-logins"]);
        let aside = said.lines().find_map(|line| line.strip_prefix("The state before is ")).unwrap();
        let aside = files.path.join(aside.trim_end_matches('.'));
        assert!(aside.exists() && states(&files).len() == 2, "{said}");
        std::fs::remove_file(aside).unwrap();
    }
    assert!(refused > 2, "{refused}");
    let gateway = Gateway::start_in(files, key);
    by_cookie(&gateway, &stays).send().ok();
}

#[test]
fn a_backup_takes_the_place_of_an_older_one_and_of_no_other_file() {
    let (_backend, gateway) = world_with(|c| c.cookies("cookie"));
    log_in(&gateway, ALICE);
    let before = std::fs::read(gateway.files.config()).unwrap();
    gateway.files.write("notes", "wicketgate-states are kept elsewhere\n");
    for command in ["backup", "export"] {
        for name in ["gateway.yaml", "notes", "data"] {
            let complained = refused(&gateway.files, &["state", command, name]);
            assert!(complained.contains("is no backup of wicketgate's state"), "{name}: {complained}");
            assert!(complained.contains("name another file"), "{name}: {complained}");
        }
        good(&gateway.files, &["state", command, "state.backup"]);
        good(&gateway.files, &["state", command, "state.backup"]);
    }
    assert_eq!(std::fs::read(gateway.files.config()).unwrap(), before);
    // Also while no gateway runs.
    let files = gateway.kill();
    refused(&files, &["state", "backup", "gateway.yaml"]);
    good(&files, &["state", "backup", "state.backup"]);
    assert_eq!(std::fs::read(files.config()).unwrap(), before);
}
