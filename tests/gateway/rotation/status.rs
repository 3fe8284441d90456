//! Versions of a key as `wicketgate keys` and `rotate` list them.

use crate::harness::config::FREE_API_KEY;
use crate::harness::*;
use crate::rotation::keys::run;

/// The lines of the table about this.
fn lines(gateway: &Gateway, about: &str) -> Vec<String> {
    run(gateway, &["keys"]).lines().filter(|line| line.contains(about)).map(str::to_owned).collect()
}

#[test]
fn an_api_key_that_is_revoked_is_shown_so_and_no_rotation_says_that_it_is_still_good() {
    let (_backend, gateway) = world();
    let said = run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1h"]);
    assert!(said.contains("The key before is good until"), "{said}");
    run(&gateway, &["revoke", "api-key", "asapp-prod"]);
    let mine = lines(&gateway, "asapp-prod");
    assert_eq!(mine.len(), 2);
    assert!(mine.iter().all(|line| line.contains(" revoked ") && line.ends_with("yes")), "{mine:?}");
    let said = run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1h"]);
    assert!(said.contains("The key before is revoked") && !said.contains("is good until"), "{said}");
    let new = said.lines().find_map(|line| line.trim().starts_with("wgk_").then(|| line.trim())).unwrap();
    gateway.get("/key/x").api_key(new).send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
    let mine = lines(&gateway, "asapp-prod");
    assert!(mine[0].contains(" current ") && mine[1..].iter().all(|line| line.contains(" revoked ")), "{mine:?}");
    // Nobody else's is.
    gateway.get("/key/x").api_key(FREE_API_KEY).send().ok();
    let others = run(&gateway, &["keys"]).lines().filter(|line| line.contains(" revoked ")).count();
    assert_eq!(others, 2);
    // Where no gateway runs, nobody knows what is revoked.
    let files = gateway.files.clone();
    drop(gateway);
    let (code, said, _) = files.run(&["rotate", "api-key", "asapp-prod"]);
    assert!(code == 0 && said.contains("unless it is revoked"), "{said}");
}

#[test]
fn the_only_signing_key_is_current_from_the_beginning() {
    let config = Config::new(&Backend::start()).set("/issuer/publish_delay", json!("10m"));
    let files = std::sync::Arc::new(gateway::Workspace::new(&config));
    let directory = files.path.join("certs/signing");
    for file in std::fs::read_dir(&directory).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let (code, _, complained) = files.run(&["new", "signing-key", "--directory", "certs/signing"]);
    assert_eq!(code, 0, "{complained}");
    let gateway = Gateway::start_in(files, config.signing_key.clone());
    let kid = keys::decode(&gateway.login(ALICE)).0["kid"].as_str().unwrap().to_owned();
    let only = lines(&gateway, "signing_key");
    assert!(only.len() == 1 && only[0].contains(&kid) && only[0].contains(" current "), "{only:?}");
    assert!(only[0].contains(" current   -  "), "it has no time from which on it signs: {only:?}");
    // The next one is not.
    run(&gateway, &["rotate", "signing-key", "--algorithm", "rs256"]);
    assert_eq!(keys::decode(&gateway.login(ALICE)).0["kid"], json!(kid));
    let both = lines(&gateway, "signing_key");
    assert!(both[0].contains(" next ") && both[1].contains(&kid) && both[1].contains(" current "), "{both:?}");
}
