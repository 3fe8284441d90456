//! The gateway as a systemd service: notifications, inherited sockets, the unit.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::harness::*;

/// Stands in for systemd: hears what the gateway says.
struct Manager(UnixDatagram);

impl Manager {
    fn on(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// The next message that has this line, waiting for it.
    #[track_caller]
    fn hears(&self, line: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let count = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("no {line}: {error}"));
            let message = String::from_utf8(bytes[..count].to_vec()).unwrap();
            if message.lines().any(|found| found == line) {
                return message;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_life_and_end() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let place = files.path.join("notify");
    let manager = Manager::on(UnixDatagram::bind(&place).unwrap());
    let environment = [("NOTIFY_SOCKET", place), ("WATCHDOG_USEC", "3000000".into())];
    let mut gateway = Gateway::start_with(files, config.signing_key.clone(), &environment);
    assert!(manager.hears("READY=1").contains("STATUS=serving"));
    manager.hears("WATCHDOG=1");
    gateway.signal("HUP");
    let reloading = manager.hears("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    assert!(manager.hears("READY=1").contains("STATUS=serving"));
    gateway.reload(&config.route("key", "backend", json!("nowhere")), "reload failed");
    manager.hears("RELOADING=1");
    let failed = manager.hears("READY=1");
    assert!(failed.contains("reload failed") && failed.lines().count() == 2, "{failed}");
    manager.hears("WATCHDOG=1");
    gateway.signal("TERM");
    manager.hears("STOPPING=1");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn after_an_upgrade_the_new_process_is_the_service() {
    let name = format!("wicketgate-test-{}", std::process::id());
    let manager = Manager::on(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap());
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let environment = [("NOTIFY_SOCKET", PathBuf::from(format!("@{name}")))];
    let mut gateway = Gateway::start_with(Arc::clone(&files), config.signing_key.clone(), &environment);
    manager.hears("READY=1");
    let mut new = Gateway::start_to_take_over(files, config.signing_key.clone());
    let line = gateway.stderr.wait(|line| line["message"] == "another process has taken over").unwrap();
    manager.hears(&format!("MAINPID={}", line["id"]));
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(new.running());
}

/// A listening socket that a program which is started from here gets as well, and its descriptor.
fn inherited() -> (TcpListener, i32) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
    let descriptor = socket.as_raw_fd();
    (socket, descriptor)
}

#[test]
fn sockets_of_the_service_manager_are_used_and_what_waits_there_is_answered() {
    let backend = Backend::start();
    let (socket, descriptor) = inherited();
    let address = socket.local_addr().unwrap();
    let config = Config::new(&backend)
        .set("/workers", json!(3))
        .set("/listen/0/address", json!(address.to_string()))
        .without("/listen/0/tls");
    let mut early = Connection::plain(address);
    let request = Request::new(address, "GET", "/public/x");
    early.send(&request.bytes());
    let script = format!(r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{descriptor}"#);
    let files = Arc::new(gateway::Workspace::new(&config));
    let mut gateway = Gateway::start_in_shell(files, config.signing_key.clone(), &script);
    assert_eq!(gateway.address, address);
    early.receive("GET").unwrap().ok();
    for _ in 0..6 {
        request.send_on(&mut Connection::plain(address)).ok();
    }
    assert_eq!(gateway.terminate(), Some(0));
    // The service manager keeps it, and what comes now waits for the next start.
    drop(Connection::plain(address));
}

#[test]
fn a_socket_of_the_service_manager_that_nothing_is_configured_for_is_an_error() {
    let backend = Backend::start();
    let (socket, descriptor) = inherited();
    let files = gateway::Workspace::new(&Config::new(&backend));
    let script = format!(r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" run --config gateway.yaml 3<&{descriptor}"#);
    let mut command = std::process::Command::new("bash");
    command.current_dir(&files.path).args(["-c", &script, env!("CARGO_BIN_EXE_wicketgate")]);
    let output = finish(&mut command).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("the service manager listens on {}", socket.local_addr().unwrap())), "{said}");
}

#[test]
fn the_units_are_good() {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd");
    let directory = std::env::temp_dir().join(format!("wicketgate-units-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(units).unwrap() {
        let path = entry.unwrap().path();
        // A configuration to begin with stands beside them.
        if path.extension().is_some_and(|extension| extension == "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // It wants to see the program, and that of Debian 12 does not know this type yet.
        let text = text.replace("/usr/local/bin/wicketgate", env!("CARGO_BIN_EXE_wicketgate"));
        let name = directory.join(path.file_name().unwrap());
        std::fs::write(&name, text.replace("Type=notify-reload", "Type=notify")).unwrap();
        names.push(name.to_str().unwrap().to_owned());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let output = program("systemd-analyze", "systemd", &[&["verify", "--man=no"], &names[..]].concat());
    std::fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // What it says of units that are on this machine is about this machine.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("wicketgate")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn the_limit_of_client_connections_is_logged_at_the_start() {
    let (_backend, gateway) = world();
    let line = gateway.stderr.wait(|line| line["connections"].is_u64()).unwrap();
    assert!(line["message"].as_str().unwrap().contains("RLIMIT_NOFILE"), "{line}");
    gateway.expect_metric("wicketgate_connections_open", &[], 0.0);
}
