//! Proxies of others on a free port: a real nginx, a real HAProxy, a real Caddy, a real stunnel.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A running proxy, killed when dropped.
pub(crate) struct OtherProxy {
    child: Child,
    directory: PathBuf,
    pub(crate) address: SocketAddr,
}

impl OtherProxy {
    /// nginx with these servers, made for the port that it gets.
    pub(crate) fn nginx(servers: impl Fn(SocketAddr) -> String) -> Self {
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {name};\n"))
            .concat();
        let text = |address| {
            format!(
                "error_log stderr;\npid nginx.pid;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\n    access_log off;\n{places}{}\n}}\n",
                servers(address)
            )
        };
        Self::start("nginx", "nginx-light", text, |directory| {
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(directory).args(["-c", "config"]);
            command
        })
    }

    /// HAProxy with these sections, made for the port that it gets.
    pub(crate) fn haproxy(sections: impl Fn(SocketAddr) -> String) -> Self {
        Self::start("haproxy", "haproxy", sections, |directory| {
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", "config"]).current_dir(directory);
            command
        })
    }

    /// Caddy with these sites, made for the port that it gets.
    pub(crate) fn caddy(sites: impl Fn(SocketAddr) -> String) -> Self {
        let text = |address| format!("{{\n    admin off\n    auto_https off\n}}\n{}", sites(address));
        Self::start("caddy", "caddy", text, |directory| {
            let mut command = Command::new("caddy");
            command.args(["run", "--adapter", "caddyfile", "--config", "config"]).current_dir(directory);
            command.env("HOME", directory).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
            command.stderr(Stdio::null());
            command
        })
    }

    /// stunnel with these services, made for the port that it gets.
    pub(crate) fn stunnel(services: impl Fn(SocketAddr) -> String) -> Self {
        let text = |address| format!("foreground = yes\npid =\n{}", services(address));
        Self::start("stunnel", "stunnel4", text, |directory| {
            let mut command = Command::new("stunnel");
            command.arg(directory.join("config")).stderr(Stdio::null());
            command
        })
    }

    fn start(
        name: &str,
        package: &str,
        text: impl Fn(SocketAddr) -> String,
        command: impl Fn(&Path) -> Command,
    ) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-{name}-{}-{number}", std::process::id()));
        // Somebody else may take the port in between.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("config"), text(address)).unwrap();
            let child = command(&directory).stdin(Stdio::null()).spawn();
            let child = child
                .unwrap_or_else(|error| panic!("cannot run {name} ({error}): install the Debian package {package}"));
            let mut proxy = Self { child, directory: directory.clone(), address };
            if proxy.answers() {
                return proxy;
            }
        }
        panic!("{name} does not start");
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            assert!(Instant::now() < until, "it does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for OtherProxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}
