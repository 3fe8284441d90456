//! A real nginx on a free port.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A running nginx, killed when dropped.
pub(crate) struct Nginx {
    child: Child,
    directory: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// With these servers, made for the port that it gets.
    pub(crate) fn start(servers: impl Fn(SocketAddr) -> String) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-nginx-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        // Somebody else may take the port in between.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("    {name}_temp_path {name};\n"))
                .concat();
            let text = format!(
                "error_log stderr;\npid nginx.pid;\ndaemon off;\nmaster_process off;\nevents {{}}\nhttp {{\n    access_log off;\n{places}{}\n}}\n",
                servers(address)
            );
            std::fs::write(directory.join("nginx.conf"), text).unwrap();
            let child = Command::new("nginx")
                .args(["-e", "stderr", "-p"])
                .arg(&directory)
                .args(["-c", "nginx.conf"])
                .stdin(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("cannot run nginx ({error}): install the Debian package nginx-light"));
            let mut nginx = Self { child, directory: directory.clone(), address };
            if nginx.answers() {
                return nginx;
            }
        }
        panic!("nginx does not start: see its messages above");
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            assert!(Instant::now() < until, "nginx does not listen");
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}
