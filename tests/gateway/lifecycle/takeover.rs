//! Starts beside a running gateway: only one that is asked to takes over; any other is told which process runs.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use crate::harness::redis::RedisServer;
use crate::harness::*;

/// Starts a gateway that must not run beside this one, and what it says.
#[track_caller]
fn refused(gateway: &mut Gateway, arguments: &[&str]) -> String {
    let (code, _, err) = gateway.files.run(&[&["run"], arguments].concat());
    still_serves(gateway);
    assert_eq!(code, 1, "{err}");
    err
}

#[track_caller]
fn still_serves(gateway: &mut Gateway) {
    gateway.get("/public/x").send().ok();
    assert!(gateway.running());
    assert_eq!(gateway.admin("/readyz").status, 200);
    assert!(gateway.stderr.all().iter().all(|line| !line.contains("another process has taken over")));
}

/// Port 0 is another port each time, so a second process can run but for the state.
fn on_another_port(config: &Config) -> Config {
    config.clone().set("/listen/0/address", json!("127.0.0.1:0")).set("/admin/address", json!("127.0.0.1:0"))
}

#[track_caller]
fn names(said: &str, gateway: &Gateway, file: &str) {
    let file = gateway.files.path.join(file);
    for word in [&format!("process {} with {}", gateway.id(), file.display()), "the state", "state.embedded.path"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_start_without_take_over_names_the_running_process_and_changes_nothing() {
    let backend = Backend::start();
    let mut gateway = Gateway::start(&Config::new(&backend));
    let said = refused(&mut gateway, &["--config", "gateway.yaml"]);
    names(&said, &gateway, "gateway.yaml");
    assert!(said.contains("wicketgate run --upgrade"), "{said}");
    // Under another name, it is the same file.
    std::os::unix::fs::symlink("gateway.yaml", gateway.files.path.join("link.yaml")).unwrap();
    assert!(refused(&mut gateway, &["--config", "link.yaml"]).contains("wicketgate run --upgrade"));
    assert!(gateway.files.run(&["check", "--config", "gateway.yaml"]).0 == 0);
}

#[test]
fn another_configuration_on_the_same_state_does_not_take_over_asked_or_not() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let mut gateway = Gateway::start(&config);
    gateway.files.write("other.yaml", &on_another_port(&config).text());
    let said = refused(&mut gateway, &["--config", "other.yaml"]);
    names(&said, &gateway, "gateway.yaml");
    assert!(!said.contains("--upgrade"), "it would not be let either: {said}");
    let said = refused(&mut gateway, &["--upgrade", "--config", "other.yaml"]);
    names(&said, &gateway, "gateway.yaml");
    assert!(said.contains("and the one that asks has") && said.contains("other.yaml"), "{said}");
    let line = gateway.stderr.wait(|line| line["message"] == "takeover by another process refused");
    assert!(line.unwrap()["reason"].as_str().unwrap().contains("other.yaml"));
}

#[test]
fn with_a_shared_state_the_operators_socket_is_what_nobody_takes_over_unasked() {
    let (redis, backend) = (RedisServer::start(), Backend::start());
    let config = Config::new(&backend).set("/state/redis", json!({"url": redis.url()}));
    let mut gateway = Gateway::start(&config);
    gateway.is_ready();
    gateway.files.write("other.yaml", &on_another_port(&config).text());
    for (arguments, why) in [
        (&["--config", "gateway.yaml"][..], "wicketgate run --upgrade"),
        (&["--config", "other.yaml"], "the state is in use"),
        (&["--upgrade", "--config", "other.yaml"], "and the one that asks has"),
    ] {
        let said = refused(&mut gateway, arguments);
        names(&said, &gateway, "gateway.yaml");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_locked_state_without_an_admin_socket_names_the_process_that_holds_it() {
    let backend = Backend::start();
    let mut gateway = Gateway::start(&Config::new(&backend));
    // As in a pod that has the volume and not this process's sockets.
    std::fs::remove_file(gateway.files.path.join("data/admin.sock")).unwrap();
    gateway.files.write("other.yaml", &on_another_port(&Config::new(&backend)).text());
    for arguments in [&["--config", "other.yaml"][..], &["--upgrade", "--config", "other.yaml"]] {
        let said = refused(&mut gateway, arguments);
        names(&said, &gateway, "gateway.yaml");
    }
    assert_eq!(gateway.terminate(), Some(0));
    assert!(!gateway.files.path.join("data/owner.json").exists());
}

#[test]
fn a_start_that_is_to_take_over_starts_also_where_nobody_runs() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let gateway = Gateway::start_to_take_over(files, config.signing_key.clone());
    let said = "nobody runs here to take over from: starting as without --upgrade";
    assert!(gateway.stderr.wait(|line| line["message"] == said).is_some());
    gateway.get("/public/x").send().ok();
}

#[test]
fn another_user_does_not_take_over() {
    let id = program("id", "coreutils", &["-u"]);
    if id.stdout != b"0\n" {
        eprintln!("NOT TRIED: only root can start a gateway as another user");
        return;
    }
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let chown = program("chown", "coreutils", &["-R", "65534", files.path.to_str().unwrap()]);
    assert!(chown.status.success());
    let script = r#"exec setpriv --reuid 65534 --clear-groups "$@""#;
    let mut gateway = Gateway::start_in_shell(files, config.signing_key.clone(), script);
    let said = refused(&mut gateway, &["--upgrade", "--config", "gateway.yaml"]);
    names(&said, &gateway, "gateway.yaml");
    assert!(said.contains("runs as user 65534, and the one that asks as user 0"), "{said}");
}

#[test]
fn a_process_of_another_network_namespace_does_not_take_over() {
    let can = Command::new("unshare").args(["-n", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("NOT TRIED: this machine makes no network namespaces (unshare -n)");
        return;
    }
    let backend = Backend::start();
    let config = Config::new(&backend);
    let mut gateway = Gateway::start(&config);
    gateway.files.write("other.yaml", &on_another_port(&config).text());
    for (file, upgrade) in [("gateway.yaml", true), ("gateway.yaml", false), ("other.yaml", false)] {
        // Loopback is up there, so that nothing else is in its way.
        let script = r#"exec unshare -n bash -c 'ip link set lo up 2> /dev/null; exec "$@"' bash "$@""#;
        let mut command = Command::new("bash");
        command.current_dir(&gateway.files.path).args(["-c", script, "bash", env!("CARGO_BIN_EXE_wicketgate"), "run"]);
        command.args(["--config", file]).args(upgrade.then_some("--upgrade")).process_group(0);
        let output = finish(&mut command).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        names(&said, &gateway, "gateway.yaml");
        assert_eq!(said.contains("in another network namespace"), upgrade, "{said}");
        still_serves(&mut gateway);
    }
    let (mut new, mut old) = gateway.upgrade();
    assert_eq!(old.wait_exit().code(), Some(0));
    still_serves(&mut new);
}
