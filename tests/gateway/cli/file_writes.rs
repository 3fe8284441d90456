//! Files that commands write: whole or not at all, with a reason and a remedy.

use std::process::Command;

use crate::harness::gateway::Workspace;
use crate::harness::keys::sha256_hex;
use crate::harness::*;

/// Runs a script in a mount namespace of its own, beside gateway.yaml; `$0` is the program. Exit code, standard output,
/// standard error.
fn in_mounts(files: &Workspace, script: &str) -> (i32, String, String) {
    let mut command = Command::new("unshare");
    command.current_dir(&files.path).args(["-m", "bash", "-c", script, env!("CARGO_BIN_EXE_wicketgate")]);
    let output = finish(&mut command).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

const READ_ONLY: &str = r#"mount --bind "$PWD" "$PWD" && mount -o remount,ro,bind "$PWD" && cd "$PWD" && "#;

#[test]
fn a_key_that_finds_no_room_on_the_disk_leaves_no_file() {
    let files = Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    for command in [
        "rotate signing-key",
        "new signing-key --directory certs/signing",
        "new identifier-key --file certs/signing/identifier.pem",
    ] {
        let script = format!(
            "mount -t tmpfs -o size=8k tmpfs certs/signing; head -c 99k /dev/zero 2>/dev/null >certs/signing/filler
            \"$0\" {command}; echo \"code $?\"; ls -A certs/signing"
        );
        let (_, said, complained) = in_mounts(&files, &script);
        assert_eq!(said, "code 1\nfiller\n", "{command}: {complained}");
        assert!(complained.contains("No space left"), "{command}: {complained}");
    }
    assert_eq!(files.run(&["check"]).0, 0);
}

#[test]
fn signing_keys_of_the_same_second_have_names_in_the_order_in_which_they_were_made() {
    let files = Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let names = || -> Vec<String> {
        let listing = std::fs::read_dir(files.path.join("certs/signing")).unwrap();
        let mut names: Vec<_> = listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mut before = names();
    for round in 0..8 {
        let algorithm = if round % 2 == 0 { "es256" } else { "eddsa" };
        let args: &[&str] = if round % 4 < 2 {
            &["rotate", "signing-key"]
        } else {
            &["new", "signing-key", "--directory", "certs/signing"]
        };
        let (code, _, complained) = files.run(&[args, &["--algorithm", algorithm]].concat());
        assert_eq!(code, 0, "{complained}");
        let after = names();
        assert_eq!(after[..before.len()], before, "the new one is the last");
        assert_eq!(after.len(), before.len() + 1);
        before = after;
    }
    let (code, _, complained) = files.run(&["check"]);
    assert_eq!((code, complained.as_str()), (0, ""));
    // What somebody has chosen the name of is never replaced.
    let (code, _, complained) = files.run(&["new", "identifier-key", "--file", "certs/identifier.key"]);
    assert!(code == 1 && complained.contains("certs/identifier.key"), "{complained}");
    assert_eq!(files.run(&["check"]).0, 0);
}

/// The line behind "shown this once:".
#[track_caller]
fn shown(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("  ")).unwrap_or_else(|| panic!("nothing shown: {said}")).to_owned()
}

/// The items of the list that is to be written.
fn to_write(complained: &str) -> Vec<String> {
    let items = complained.lines().filter_map(|line| line.trim().strip_prefix("- \"")?.strip_suffix('"'));
    items.map(str::to_owned).collect()
}

#[test]
fn whoever_writes_by_hand_what_a_rotation_could_not_has_the_secret_too() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Workspace::new(&config);
    let before = std::fs::read_to_string(files.config()).unwrap();
    let (code, said, complained) = in_mounts(&files, &format!("{READ_ONLY}\"$0\" rotate api-key asapp-prod"));
    assert_eq!(code, 1, "{said}{complained}");
    let key = shown(&said);
    let digests = to_write(&complained);
    assert_eq!((digests.len(), &digests[0]), (2, &sha256_hex(&key)), "{complained}");
    let (code, by_client, client_complained) =
        in_mounts(&files, &format!("{READ_ONLY}\"$0\" rotate client-secret {}", CLIENT.name));
    assert_eq!(code, 1, "{by_client}{client_complained}");
    let (secret, hashes) = (shown(&by_client), to_write(&client_complained));
    for (said, complained) in [(&said, &complained), (&by_client, &client_complained)] {
        assert!(said.contains("not good yet") && !said.contains("is good until"), "{said}");
        assert!(complained.contains("read-only") && complained.contains("has not been changed"), "{complained}");
        assert!(!complained.contains(&key) && !complained.contains(&secret), "{complained}");
    }
    assert_eq!(std::fs::read_to_string(files.config()).unwrap(), before);
    let obeyed = config.set("/api_keys/0/sha256", json!(digests)).set("/clients/0/secrets", json!(hashes));
    let gateway = Gateway::start(&obeyed);
    for key in [key.as_str(), API_KEY] {
        gateway.get("/key/x").api_key(key).send().ok();
    }
    for secret in [secret.as_str(), CLIENT.secret] {
        gateway.token_request(CLIENT.name, secret).send().ok();
    }
}

#[test]
fn a_secret_that_could_not_be_shown_is_told_and_never_offered_by_its_digest() {
    let files = Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let (code, _, complained) = in_mounts(&files, "\"$0\" rotate api-key asapp-prod >/dev/full");
    assert!(code == 1 && complained.contains("could not be shown, so nobody has it"), "{complained}");
    let script = format!("{READ_ONLY}\"$0\" rotate api-key asapp-prod >/dev/full");
    let (code, _, complained) = in_mounts(&files, &script);
    assert!(code == 1 && complained.contains("no file has been changed"), "{complained}");
    assert_eq!(to_write(&complained), Vec::<String>::new());
}

#[test]
fn a_rotation_that_cannot_keep_the_group_of_a_file_names_the_group() {
    let files = Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let user = "setpriv --reuid 1234 --regid 1234 --clear-groups ./program";
    let script = format!(
        "chown -R 1234:77 . && touch program && mount --bind \"$0\" program && {user} rotate api-key asapp-prod"
    );
    let (code, said, complained) = in_mounts(&files, &script);
    assert!(code == 1 && said.contains("wgk_asapp-prod."), "{said}{complained}");
    assert!(complained.contains("group 77") && complained.contains("run it as"), "{complained}");
    let left: Vec<_> = std::fs::read_dir(&files.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{left:?}");
}
