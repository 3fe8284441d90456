//! Real servers of others as backends, on free ports: nginx, Apache httpd, PHP-FPM, Tomcat, Python.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{DEADLINE, program};

/// A running server in a directory of its own; ended when dropped.
pub(crate) struct Neighbour {
    child: Child,
    pub(crate) directory: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Neighbour {
    /// nginx with these lines in its `http` section; `ADDRESS` in them is where it listens.
    pub(crate) fn nginx(lines: &str) -> Self {
        Self::start("nginx", "nginx-light", |directory, address| {
            let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("    {name}_temp_path {name};\n"))
                .concat();
            let head = "error_log stderr notice;\npid nginx.pid;\ndaemon off;\nworker_processes 1;\nevents {}\n";
            let lines = lines.replace("ADDRESS", &address.to_string());
            let log = "    log_format line '$request';\n    access_log requests line;\n";
            write(directory, "config", &format!("{head}http {{\n{log}{places}{lines}\n}}\n"));
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(directory).args(["-c", "config"]);
            command
        })
    }

    /// Apache httpd with the event MPM, these modules beside the usual ones and these lines, in which `DIRECTORY` is its
    /// directory; `show` in that is the CGI program tests/clients/backends/show.sh, and `files` an empty directory.
    pub(crate) fn apache(modules: &[&str], lines: &str) -> Self {
        Self::start("apache2", "apache2-bin", |directory, address| {
            let here = directory.display();
            let load = |name: &&str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
            let modules: String = ["mpm_event", "authz_core", "alias"].iter().chain(modules).map(load).collect();
            let lines = lines.replace("DIRECTORY", &here.to_string());
            // Without these it begins with more threads than a test needs.
            let size = "ServerLimit 2\nStartServers 1\nThreadsPerChild 10\nMaxRequestWorkers 20\nMinSpareThreads 1\nMaxSpareThreads 20\n";
            let files = "PidFile httpd.pid\nErrorLog /dev/stderr\nLogFormat \"%r\" line\nCustomLog requests line\n";
            let head =
                format!("ServerRoot {here}\nDefaultRuntimeDir {here}\nListen {address}\nServerName server.internal\n");
            write(
                directory,
                "config",
                &format!("{head}{files}User www-data\nGroup www-data\n{modules}{size}{lines}\n"),
            );
            std::fs::create_dir_all(directory.join("files")).unwrap();
            let script = copied(directory, "show.sh", "show");
            std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
            let mut command = Command::new("apache2");
            command.arg("-d").arg(directory).args(["-f", "config", "-D", "FOREGROUND"]);
            command
        })
    }

    /// PHP-FPM, which speaks FastCGI; tests/clients/backends/show.php is in its directory.
    pub(crate) fn php_fpm() -> Self {
        Self::start("php-fpm", "php-fpm", |directory, address| {
            let pool = "user = www-data\ngroup = www-data\npm = static\npm.max_children = 2\n";
            let text = format!("[global]\nerror_log = /dev/stderr\ndaemonize = no\n[show]\n{pool}listen = {address}\n");
            write(directory, "config", &text);
            copied(directory, "show.php", "show.php");
            let mut command = Command::new(php_fpm_program());
            command.args(["-n", "-F", "-p"]).arg(directory).arg("-y").arg(directory.join("config"));
            command
        })
    }

    /// Tomcat with the servlet of tests/clients/backends/Show.java.
    pub(crate) fn tomcat() -> Self {
        let is_jar = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("tomcat10-") && name.ends_with(".jar")
        };
        let jars = std::fs::read_dir("/usr/share/java").into_iter().flatten().map(|entry| entry.unwrap().path());
        let jars: Vec<PathBuf> = jars.filter(is_jar).collect();
        assert!(!jars.is_empty(), "no Tomcat in /usr/share/java: install the Debian package libtomcat10-java");
        Self::start("java", "default-jdk-headless", |directory, address| {
            let mut command = Command::new("java");
            // Begins sooner than with all that a long run would gain from.
            command
                .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
                .arg(std::env::join_paths(&jars).unwrap());
            command.arg(source("Show.java")).arg(address.port().to_string()).arg(directory);
            command
        })
    }

    /// A server of Python's library: `http.server`, `http.server-1.1`, the same `-single`, or `wsgiref`.
    pub(crate) fn python(kind: &str) -> Self {
        Self::start("python3", "python3", |directory, address| {
            let mut command = Command::new("python3");
            command.arg(source("show.py")).args([kind, &address.port().to_string()]).arg(directory.join("requests"));
            command
        })
    }

    fn start(name: &str, package: &str, command: impl Fn(&Path, SocketAddr) -> Command) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-{name}-{}-{number}", std::process::id()));
        // Somebody else may take the port in between.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            std::fs::create_dir_all(&directory).unwrap();
            // As root, servers work as a user without rights, who must find its files.
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
            let output = File::create(directory.join("output")).unwrap();
            let mut command = command(&directory, address);
            command.current_dir(&directory).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
            let child = command.spawn();
            let child = child
                .unwrap_or_else(|error| panic!("cannot run {name} ({error}): install the Debian package {package}"));
            let mut neighbour = Self { child, directory: directory.clone(), address };
            if neighbour.answers() {
                return neighbour;
            }
            eprintln!("{name} has ended: {}", neighbour.output());
        }
        panic!("{name} does not start");
    }

    /// Waits until it listens; false where it has ended.
    fn answers(&mut self) -> bool {
        // Java compiles its program first, and other tests run beside it.
        let until = Instant::now() + 6 * DEADLINE;
        while self.is_running() {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            assert!(Instant::now() < until, "it does not listen: {}", self.output());
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The request lines that it has written to its log.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What it has said on its outputs.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.directory.join("output")).unwrap_or_default()
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    pub(crate) fn signal(&self, name: &str) {
        program("kill", "procps", &["-s", name, &self.child.id().to_string()]);
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}: {}", self.directory.display(), self.output());
        }
        // Those with processes of their own end them at SIGTERM.
        if self.is_running() {
            self.signal("TERM");
        }
        let until = Instant::now() + DEADLINE;
        while self.is_running() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

/// A program of tests/clients/backends.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/backends").join(name)
}

/// The same as a file where every user finds it.
fn copied(directory: &Path, name: &str, target: &str) -> PathBuf {
    let path = directory.join(target);
    std::fs::write(&path, std::fs::read(source(name)).unwrap()).unwrap();
    path
}

/// Debian has the version in its name.
fn php_fpm_program() -> PathBuf {
    let programs = std::fs::read_dir("/usr/sbin").into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        programs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("php-fpm")).collect();
    found.sort();
    found.pop().expect("no php-fpm in /usr/sbin: install the Debian package php-fpm")
}
