//! Permissions of configured files and secrets; keys that are easy to guess.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use crate::harness::keys::{TokenKey, base64url};
use crate::harness::*;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// With all kinds of files beside it.
pub(crate) fn with_files(backend: &Backend) -> Config {
    Config::new(backend)
        .cookies("both")
        .trust("https://partner.test", &TokenKey::generate())
        .set("/api_keys_file", json!("api-keys.yaml"))
        .file("api-keys.yaml", "[]")
        .set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
        .set("/listen/0/tls/client_certificate", json!("optional"))
}

/// What it names, and gateway.yaml itself.
pub(crate) const TRUSTED: [&str; 9] = [
    "gateway.yaml",
    "accounts.yaml",
    "api-keys.yaml",
    "certs/partner.json",
    "certs/ca.pem",
    "certs/server.pem",
    "certs/server.key",
    "certs/cookie.key",
    "certs/identifier.key",
];

#[test]
fn a_file_that_everyone_can_write_is_not_trusted() {
    let files = gateway::Workspace::new(&with_files(&Backend::start()));
    let (code, _, complained) = files.run(&["check"]);
    assert_eq!((code, complained.as_str()), (0, ""));
    for name in TRUSTED.into_iter().chain(["certs/signing/20260101T000000Z-es256.pem"]) {
        let path = files.path.join(name);
        chmod(&path, 0o602);
        for command in ["check", "run"] {
            let (code, _, complained) = files.run(&[command]);
            assert_eq!(code, 1, "{name}");
            assert!(complained.contains(name) && complained.contains("chmod"), "{name}: {complained}");
        }
        chmod(&path, 0o600);
    }
    assert_eq!(files.run(&["check"]).0, 0);
}

#[test]
fn a_reload_takes_no_file_that_everyone_can_write() {
    let (_backend, gateway) = world();
    chmod(&gateway.files.path.join("accounts.yaml"), 0o666);
    gateway.hup("reload failed");
    gateway.login(ALICE);
    chmod(&gateway.files.path.join("accounts.yaml"), 0o644);
    gateway.hup("reloaded");
}

#[test]
fn a_file_that_a_group_can_write_is_told_and_taken() {
    let files = gateway::Workspace::new(&with_files(&Backend::start()));
    let path = files.path.join("accounts.yaml");
    chmod(&path, 0o660);
    std::os::unix::fs::chown(&path, None, Some(1)).unwrap();
    let (code, said, complained) = files.run(&["check"]);
    assert!(code == 0 && said.contains("is good"), "{complained}");
    assert!(complained.contains("warning") && complained.contains("accounts.yaml"), "{complained}");
    // The group of one user alone is that user.
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap());
    std::os::unix::fs::chown(&path, None, Some(owner)).unwrap();
    assert_eq!(files.run(&["check"]).2, "");
    // Whoever can replace a file need not write it.
    let open = files.path.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::rename(&path, open.join("accounts.yaml")).unwrap();
    symlink("open/accounts.yaml", &path).unwrap();
    chmod(&open, 0o777);
    let (code, _, complained) = files.run(&["check"]);
    assert!(code == 0 && complained.contains("warning") && complained.contains("open"), "{complained}");
    chmod(&open, 0o1777);
    assert_eq!(files.run(&["check"]).2, "");
}

#[test]
fn a_state_that_everyone_can_change_is_told_and_taken() {
    let files = std::sync::Arc::new(gateway::Workspace::new(&Config::new(&Backend::start())));
    let state = files.path.join("data");
    let check = || files.run(&["check"]);
    assert_eq!(check().2, "", "it need not be there yet");
    let gateway = Gateway::start_in(std::sync::Arc::clone(&files), TokenKey::generate());
    assert_eq!(check().2, "");
    let warned = |path: &Path, bits: &str| {
        let (code, said, complained) = check();
        assert!(code == 0 && said.contains("is good"), "{complained}");
        let path = path.to_str().unwrap();
        let told = |line: &str| line.contains("warning") && line.contains(path) && line.contains(bits);
        assert!(complained.lines().any(told), "{path}: {complained}");
    };
    chmod(&state, 0o777);
    warned(&state, "chmod o-w");
    // The log says it too.
    gateway.hup("reloaded");
    let told = |line: &String| line.contains("\"WARN\"") && line.contains(state.to_str().unwrap());
    assert!(gateway.stderr.all().iter().any(told), "{:?}", gateway.stderr.all());
    // There only the owner of a file can put another one in its place.
    chmod(&state, 0o1777);
    warned(&state, "chmod o-w");
    chmod(&state, 0o700);
    let file = state.join("state.redb");
    for mode in [0o602, 0o666] {
        chmod(&file, mode);
        warned(&file, "chmod o-w");
    }
    // Volumes give the group of the gateway the right to write.
    for (path, mode) in [(&file, 0o660), (&state, 0o770)] {
        std::os::unix::fs::chown(path, None, Some(1)).unwrap();
        chmod(path, mode);
    }
    assert_eq!(check().2, "");
}

#[test]
fn mounts_of_kubernetes_are_taken_as_they_are() {
    let config = with_files(&Backend::start())
        .set("/identifier/key", json!({"credential": "identifier.key"}))
        .set("/login/accounts/file", json!("mounted/accounts.yaml"));
    let files = std::sync::Arc::new(gateway::Workspace::new(&config));
    let mounted = files.path.join("mounted");
    std::fs::create_dir_all(mounted.join("..2026_11_24")).unwrap();
    symlink("..2026_11_24", mounted.join("..data")).unwrap();
    chmod(&mounted, 0o1777);
    for (name, from, mode) in
        [("accounts.yaml", "accounts.yaml", 0o644), ("identifier.key", "certs/identifier.key", 0o440)]
    {
        std::fs::copy(files.path.join(from), mounted.join("..2026_11_24").join(name)).unwrap();
        chmod(&mounted.join("..2026_11_24").join(name), mode);
        symlink(format!("..data/{name}"), mounted.join(name)).unwrap();
    }
    let more = [("CREDENTIALS_DIRECTORY", mounted)];
    let gateway = Gateway::start_with(files, config.signing_key.clone(), &more);
    gateway.login(ALICE);
    assert!(!gateway.stderr.all().iter().any(|line| line.contains("\"WARN\"")), "{:?}", gateway.stderr.all());
}

/// `check` as another user than the one whose files these are.
fn check_as(user: u32, files: &gateway::Workspace) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    let output = command.current_dir(&files.path).args(["check", "--files-only"]).uid(user).gid(user).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_key_may_be_readable_by_a_group_of_the_gateway_and_by_nobody_else() {
    const USER: u32 = 65_534;
    const FOREIGN: u32 = 54_321;
    let files = gateway::Workspace::new(&with_files(&Backend::start()));
    let signing = "certs/signing/20260101T000000Z-es256.pem";
    let all = TRUSTED.into_iter().chain([signing]).map(|name| files.path.join(name));
    for path in all.clone() {
        std::os::unix::fs::chown(&path, Some(0), Some(USER)).unwrap();
        chmod(&path, 0o440);
    }
    assert_eq!(check_as(USER, &files), (true, String::new()));
    for name in ["certs/server.key", "certs/cookie.key", "certs/identifier.key", signing] {
        let path = files.path.join(name);
        for mode in [0o444, 0o460] {
            chmod(&path, mode);
            let (good, complained) = check_as(USER, &files);
            assert!(!good && complained.contains(name), "{name} {mode:o}: {complained}");
        }
        // As a volume with `fsGroup` has it, whoever the owner is.
        chmod(&path, 0o440);
        std::os::unix::fs::chown(&path, Some(USER), Some(USER)).unwrap();
        assert_eq!(check_as(USER, &files), (true, String::new()));
        std::os::unix::fs::chown(&path, Some(USER), Some(FOREIGN)).unwrap();
        let (good, complained) = check_as(USER, &files);
        assert!(!good && complained.contains(name) && complained.contains("chmod 600"), "{name}: {complained}");
        chmod(&path, 0o400);
        assert_eq!(check_as(USER, &files), (true, String::new()));
    }
}

#[test]
fn keys_that_repeat_themselves_are_refused() {
    let backend = Backend::start();
    let identifier = |bytes: &[u8]| format!("v1:{}\n", base64url(bytes));
    for key in [identifier(&[0; 64]), identifier(&[7; 64]), identifier(&b"abcdefgh".repeat(8))] {
        let files = gateway::Workspace::new(&Config::new(&backend).file("certs/identifier.key", &key));
        let (code, _, complained) = files.run(&["check"]);
        assert_eq!(code, 1, "{key}");
        assert!(complained.contains("identifier.key") && complained.contains("new identifier-key"), "{complained}");
        assert!(!complained.contains(key.trim()));
    }
    for key in
        ["0".repeat(64), "\0".repeat(32), "deadbeef".repeat(8), format!("{}\n{}", "ab".repeat(20), "x".repeat(40))]
    {
        let config = Config::new(&backend).cookies("cookie").file("certs/cookie.key", &key);
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert_eq!(code, 1, "{key:?}");
        assert!(complained.contains("login.cookie.keys[0]") && complained.contains("openssl rand"), "{complained}");
    }
    let partner = json!([{"issuer": "https://partner.test", "secret": {"file": "certs/partner.key"},
        "audiences": ["legacy-api"], "algorithms": ["HS256"]}]);
    let config = Config::new(&backend).set("/trusted_issuers", partner).file("certs/partner.key", &"0".repeat(64));
    let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
    assert!(code == 1 && complained.contains("secret"), "{complained}");
}

#[test]
fn a_customers_number_needs_no_argument_that_others_can_see() {
    let files = gateway::Workspace::new(&Config::new(&Backend::start()));
    let (_, by_argument, _) = files.run(&["id", "for", ALICE.subject]);
    assert!(by_argument.starts_with("t1-"));
    let (_, bob, _) = files.run(&["id", "for", BOB.subject]);
    for args in [&["id", "for"][..], &["id", "for", "-"]] {
        for line_end in ["", "\n", "\r\n"] {
            let (code, said, complained) = files.run_with(args, format!("{}{line_end}", ALICE.subject).as_bytes());
            assert_eq!((code, &said), (0, &by_argument), "{complained}");
        }
        let both = format!("{}\n\n{}\n", ALICE.subject, BOB.subject);
        let (code, said, _) = files.run_with(args, both.as_bytes());
        assert_eq!((code, said), (0, format!("{by_argument}{bob}")));
        // The mark with which Windows begins a text is no part of it.
        let marked = format!("\u{feff}{}\r\n", ALICE.subject);
        assert_eq!(files.run_with(args, marked.as_bytes()).1, by_argument);
        assert_eq!(files.run_with(args, "\u{feff}".as_bytes()).0, 1);
        let (code, said, complained) = files.run_with(args, b"\n");
        assert!(code == 1 && said.is_empty() && complained.contains("standard input"), "{said}{complained}");
    }
}
