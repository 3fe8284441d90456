//! `check` tries the addresses, files and rights that a start needs; a running gateway is not disturbed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::gateway::Workspace;
use crate::harness::identity_provider::IdentityProvider;
use crate::harness::keys::TokenKey;
use crate::harness::redis::RedisServer;
use crate::harness::*;

fn good() -> Config {
    Config::with_server("http://127.0.0.1:9")
}

/// Runs a command of the program by a shell that does something else before: exit code and what it says.
fn by_shell(files: &Workspace, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("bash");
    command.current_dir(&files.path).args(["-c", script, "bash", env!("CARGO_BIN_EXE_wicketgate")]).args(arguments);
    let output = finish(&mut command).unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// `check` and `run` say the same, with what is wrong, what to do about it, and where: a place in gateway.yaml.
#[track_caller]
fn both_refuse(files: &Workspace, script: &str, words: &[&str]) {
    for command in ["check", "run"] {
        let (code, said) = by_shell(files, script, &[command, "--config", "gateway.yaml"]);
        assert_eq!(code, Some(1), "{command}: {said}");
        for word in words.iter().chain(&["gateway.yaml:"]) {
            assert!(said.contains(word), "{command}: {word}: {said}");
        }
    }
    assert_eq!(by_shell(files, script, &["check", "--files-only"]).0, Some(0));
}

const AS_IT_IS: &str = r#"exec "$@""#;

fn is_root() -> bool {
    rustix::process::geteuid().is_root() || {
        eprintln!("NOT TRIED: only root can start a gateway as another user");
        false
    }
}

#[test]
fn addresses_that_cannot_be_had_are_found_by_check_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (at, address, words) in [
        ("/listen/0/address", &*taken, ["another program listens there", "change `listen[].address`"]),
        ("/admin/address", &taken, ["another program listens there", "change `admin.address`"]),
        ("/listen/0/address", "192.0.2.1:8443", ["this machine does not have this address", "`ip address`"]),
    ] {
        let files = Workspace::new(&good().set(at, json!(address)));
        both_refuse(&files, AS_IT_IS, &[words[0], words[1], address]);
    }
}

#[test]
fn a_low_port_without_the_right_is_told_with_what_gives_it() {
    let low = r#"unshare -n true 2> /dev/null || exit 77; ip link set lo up 2> /dev/null; exec "$@""#;
    if !is_root() {
        return;
    }
    let files = Workspace::new(&good().set("/listen/0/address", json!("0.0.0.0:443")));
    assert!(program("chown", "coreutils", &["-R", "65534", files.path.to_str().unwrap()]).status.success());
    if by_shell(&files, low, &["check", "--files-only"]).0 == Some(77) {
        eprintln!("NOT TRIED: this machine makes no network namespaces (unshare -n), where low ports need a right");
        return;
    }
    let script = r#"exec unshare -n setpriv --reuid 65534 --clear-groups "$@""#;
    both_refuse(&files, script, &["needs a right that this user does not have", "CAP_NET_BIND_SERVICE"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_found_by_check_too() {
    if !is_root() {
        return;
    }
    let script = r#"exec setpriv --reuid 65534 --clear-groups "$@""#;
    for (config, name) in [
        // The default, beside a gateway.yaml in a directory that is read-only.
        (good(), "data"),
        (good().set("/state/embedded/path", json!("there")), "there"),
    ] {
        let files = Workspace::new(&config);
        assert!(program("chown", "coreutils", &["-R", "65534", files.path.to_str().unwrap()]).status.success());
        if name == "there" {
            std::fs::create_dir(files.path.join("there")).unwrap();
        }
        std::os::unix::fs::chown(&files.path, Some(0), None).unwrap();
        std::fs::set_permissions(&files.path, PermissionsExt::from_mode(0o755)).unwrap();
        let place = files.path.join(name).display().to_string();
        both_refuse(&files, script, &["cannot open", &place, "Permission denied", "change `state.embedded.path`"]);
        assert!(!files.path.join("data").exists());
    }
    let files = Workspace::new(&good().set("/admin/socket", json!("/proc/1/admin.sock")));
    both_refuse(&files, AS_IT_IS, &["/proc/1/admin.sock", "change `admin.socket`"]);
}

#[test]
fn a_file_of_the_state_that_is_foreign_or_damaged_is_found_by_check_too() {
    let files = Workspace::new(&good());
    std::fs::create_dir(files.path.join("data")).unwrap();
    for content in ["", "a foreign file", &"x".repeat(100_000)] {
        files.write("data/state.redb", content);
        both_refuse(&files, AS_IT_IS, &["state.redb", "is damaged", "state.embedded.path"]);
        assert_eq!(std::fs::read_to_string(files.path.join("data/state.redb")).unwrap(), content);
    }
    std::fs::remove_file(files.path.join("data/state.redb")).unwrap();
    std::fs::create_dir(files.path.join("data/state.redb")).unwrap();
    both_refuse(&files, AS_IT_IS, &["state.redb", "cannot open"]);
}

#[test]
fn a_socket_whose_path_is_too_long_and_accounts_that_are_empty_are_found_by_check_too() {
    let long = format!("data/{}.sock", "a".repeat(110));
    for (config, words) in [
        (good().set("/admin/socket", json!(long)), ["at most 107 bytes", "change `admin.socket`"]),
        (good().file("accounts.yaml", ""), ["has no accounts", "write [] to let nobody log in"]),
    ] {
        let files = Workspace::new(&config);
        for command in ["check", "run"] {
            let (code, _, said) = files.run(&[command]);
            assert!(code == 1 && words.iter().all(|word| said.contains(word)), "{command}: {said}");
        }
    }
}

#[test]
fn a_check_beside_the_gateway_that_runs_is_good_and_changes_nothing() {
    let backend = Backend::start();
    let address = |port: u16| json!(format!("127.0.0.1:{port}"));
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, admin) = (free(), free());
    let config = Config::new(&backend).set("/listen/0/address", address(port)).set("/admin/address", address(admin));
    let mut gateway = Gateway::start(&config);
    for _ in 0..3 {
        let (code, _, said) = gateway.files.run(&["check"]);
        assert_eq!(code, 0, "{said}");
    }
    // What it could not take over is a fault all the same.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    gateway.files.configure(&config.clone().set("/admin/address", address(taken.local_addr().unwrap().port())));
    let (code, _, said) = gateway.files.run(&["check"]);
    assert!(code == 1 && said.contains("another program listens there"), "{said}");
    // Another file on its addresses and its state is one too.
    gateway.files.write("other.yaml", &config.text());
    let (code, _, said) = gateway.files.run(&["check", "--config", "other.yaml"]);
    assert!(code == 1 && said.contains(&format!("process {} with", gateway.id())), "{said}");
    gateway.get("/public/x").send().ok();
    gateway.files.configure(&config);
    assert_eq!(gateway.terminate(), Some(0));
    // A crash leaves a file that the next start mends.
    let files = Gateway::start(&config).kill();
    let (code, _, said) = files.run(&["check"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn check_connect_asks_redis_issuers_and_backends_and_names_each_that_does_not_answer() {
    let (mut redis, backend) = (RedisServer::start(), Backend::start());
    let provider = IdentityProvider::start(&[TokenKey::generate().jwk("one")]);
    let issuer = json!({
        "issuer": "https://partner.test", "jwks": provider.jwks_url(), "audiences": ["legacy-api"], "algorithms": ["ES256"],
    });
    let config =
        Config::new(&backend).set("/state/redis", json!({"url": redis.url()})).set("/trusted_issuers", json!([issuer]));
    let files = Workspace::new(&config);
    let connect = || {
        let (code, out, err) = files.run(&["check", "--connect"]);
        (code, format!("{out}{err}"))
    };
    let (code, said) = connect();
    assert_eq!(code, 0, "{said}");
    for who in ["state.redis", "issuer ", "backend legacy at 127.0.0.1:"] {
        assert!(said.lines().any(|line| line.starts_with(who) && line.ends_with(": answers")), "{who}: {said}");
    }
    assert!(!files.path.join("data").exists(), "it leaves nothing behind");
    redis.kill();
    let (code, said) = connect();
    assert_eq!(code, 1, "{said}");
    let silent: Vec<&str> = said.lines().filter(|line| line.contains("refused")).collect();
    assert!(matches!(silent[..], [line] if line.starts_with("state.redis: ")), "{said}");
    // Without being asked to, it asks nobody.
    assert_eq!(files.run(&["check"]).0, 0);
    let files = Workspace::new(
        &good().set("/backends/legacy/servers", json!(["http://127.0.0.1:9", "https://nowhere.invalid"])),
    );
    let (code, out, err) = files.run(&["check", "--connect"]);
    assert!(code == 1 && err.contains("2 servers cannot be used: see above"), "{out}{err}");
    assert!(out.contains("backend legacy at 127.0.0.1:9: no connection: Connection refused"), "{out}");
    assert!(out.contains("backend legacy at nowhere.invalid: DNS lookup failed"), "{out}");
}
