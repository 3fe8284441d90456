//! Pipes, sockets, devices and empty files in the place of a configured file.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::config::file_permissions::{TRUSTED, with_files};
use crate::harness::gateway::Workspace;
use crate::harness::*;

fn make_fifo(path: &std::path::Path) {
    assert!(program("mkfifo", "coreutils", &[path.to_str().unwrap()]).status.success());
}

#[test]
fn a_pipe_socket_or_device_in_place_of_a_file_is_an_error_and_nobody_waits_for_it() {
    let files = Workspace::new(&with_files(&Backend::start()));
    assert_eq!(files.run(&["check"]).0, 0);
    for name in TRUSTED.into_iter().chain(["certs/signing/20260101T000000Z-es256.pem"]) {
        let path = files.path.join(name);
        let aside = files.path.join("aside");
        std::fs::rename(&path, &aside).unwrap();
        for (kind, what) in [("fifo", "a named pipe"), ("socket", "a socket"), ("device", "a device")] {
            match kind {
                "fifo" => make_fifo(&path),
                "socket" => drop(UnixListener::bind(&path).unwrap()),
                _ => symlink("/dev/zero", &path).unwrap(),
            }
            let (code, _, complained) = files.run(&["check"]);
            assert_eq!(code, 1, "{name}: {kind}: {complained}");
            assert!(complained.contains(name) && complained.contains(what), "{name}: {complained}");
            std::fs::remove_file(&path).unwrap();
        }
        // A link to a file is a file.
        symlink(&aside, &path).unwrap();
        assert_eq!(files.run(&["check"]).0, 0, "{name}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
}

#[test]
fn a_reload_does_not_wait_for_a_named_pipe() {
    let (_backend, gateway) = world();
    let path = gateway.files.path.join("accounts.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    make_fifo(&path);
    gateway.hup("reload failed");
    gateway.login(ALICE);
    std::fs::remove_file(&path).unwrap();
    gateway.files.write("accounts.yaml", &text);
    gateway.hup("reloaded");
    gateway.login(ALICE);
}

#[test]
fn gateway_yaml_comes_from_standard_input_and_from_another_program_too() {
    let files = Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let root = files.path.display();
    let text = std::fs::read_to_string(files.config()).unwrap();
    let text = text.replace("\"certs/", &format!("\"{root}/certs/"));
    let text = text.replace("\"accounts.yaml\"", &format!("\"{root}/accounts.yaml\""));
    files.write("absolute.yaml", &text);
    for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let (code, _, complained) = files.run_with(&["check", "--config", path], text.as_bytes());
        assert_eq!(code, 0, "{path}: {complained}");
    }
    let script = "\"$0\" check --config <(cat absolute.yaml) && \"$0\" check --config /dev/stdin < absolute.yaml";
    let mut command = Command::new("bash");
    command.current_dir(&files.path).args(["-c", script, env!("CARGO_BIN_EXE_wicketgate")]);
    let output = finish(&mut command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_of_accounts_without_content_locks_nobody_out() {
    let (_backend, gateway) = world();
    for text in ["", "\n", "# moved\n", "---\n", "null\n", "~"] {
        gateway.files.write("accounts.yaml", text);
        let (code, _, complained) = gateway.files.run(&["check"]);
        assert_eq!(code, 1, "{text:?}");
        for part in ["login.accounts.file", "accounts.yaml has no accounts", "[]", "hash-password"] {
            assert!(complained.contains(part), "{part} in {complained}");
        }
        gateway.hup("reload failed");
        gateway.login(ALICE);
    }
    // Who means it writes it.
    gateway.files.write("accounts.yaml", "[]");
    gateway.hup("reloaded");
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(401, "");
}
