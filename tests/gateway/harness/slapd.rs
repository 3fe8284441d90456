//! A real directory, OpenLDAP's `slapd`, on free ports with a database of its own.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{DEADLINE, keys, program};

/// A server, killed with the last use.
pub(crate) struct Slapd {
    child: Child,
    directory: PathBuf,
    ports: [u16; 2],
}

impl Slapd {
    /// A directory below dc=example,dc=com with these entries, as LDIF. Everybody who is bound may read everything but
    /// passwords.
    pub(crate) fn start(entries: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-slapd-{}-{number}", std::process::id()));
        std::fs::create_dir_all(directory.join("data")).unwrap();
        let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let write = |name: &str, text: &str| {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("server.pem", &keys::server().certificate);
        write("server.key", &keys::server().key);
        write("ca.pem", &keys::authority().pem());
        write("entries.ldif", entries);
        write(
            "slapd.conf",
            &format!(
                "include /etc/ldap/schema/core.schema\n\
                 include /etc/ldap/schema/cosine.schema\n\
                 include /etc/ldap/schema/inetorgperson.schema\n\
                 modulepath /usr/lib/ldap\n\
                 moduleload back_mdb\n\
                 moduleload memberof\n\
                 pidfile {}\n\
                 TLSCACertificateFile {}\n\
                 TLSCertificateFile {}\n\
                 TLSCertificateKeyFile {}\n\
                 access to attrs=userPassword by anonymous auth by * none\n\
                 access to * by users read by * none\n\
                 database mdb\n\
                 suffix \"dc=example,dc=com\"\n\
                 directory {}\n",
                at("slapd.pid"),
                at("ca.pem"),
                at("server.pem"),
                at("server.key"),
                at("data"),
            ),
        );
        let loaded = program("/usr/sbin/slapadd", "slapd", &["-f", &at("slapd.conf"), "-l", &at("entries.ldif")]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        // Somebody else may take a port in between.
        loop {
            let free = || TcpListener::bind("127.0.0.1:0").unwrap();
            let ports = [free(), free()].map(|listener| listener.local_addr().unwrap().port());
            let mut server = Self { child: launch(&directory, ports), directory: directory.clone(), ports };
            if server.answers() {
                return server;
            }
        }
    }

    /// Its plain address.
    pub(crate) fn ldap(&self) -> String {
        format!("ldap://localhost:{}", self.ports[0])
    }

    /// Its address with TLS.
    pub(crate) fn ldaps(&self) -> String {
        format!("ldaps://localhost:{}", self.ports[1])
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again on the same ports, with the same entries.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = launch(&self.directory, self.ports);
        assert!(self.answers(), "slapd does not come back");
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && self.child.try_wait().unwrap().is_none() {
            if self.ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn launch(directory: &Path, [plain, tls]: [u16; 2]) -> Child {
    Command::new("/usr/sbin/slapd")
        .args(["-d", "0", "-h", &format!("ldap://127.0.0.1:{plain}/ ldaps://127.0.0.1:{tls}/"), "-f"])
        .arg(directory.join("slapd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run slapd ({error}): install the Debian package slapd"))
}
