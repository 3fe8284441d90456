//! The directory of a gateway: gateway.yaml, what it names, and the commands that are run in it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::Config;
use super::{finish, keys};

/// A directory with gateway.yaml and all that it names; removed with the last user.
pub(crate) struct Workspace {
    pub(crate) path: PathBuf,
}

impl Workspace {
    pub(crate) fn new(config: &Config) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("wicketgate-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(path.join("certs/signing")).unwrap();
        let workspace = Self { path };
        workspace.write("certs/server.pem", &keys::server().certificate);
        workspace.write("certs/server.key", &keys::server().key);
        workspace.write("certs/ca.pem", &keys::authority().pem());
        workspace.write("certs/signing/20260101T000000Z-es256.pem", &config.signing_key.pem);
        workspace.write("certs/identifier.key", &keys::key_file());
        workspace.configure(config);
        workspace
    }

    /// Writes gateway.yaml, the accounts and the further files; keys and certificates stay.
    pub(crate) fn configure(&self, config: &Config) {
        self.write("accounts.yaml", &config.accounts_text());
        for (name, text) in &config.files {
            self.write(name, text);
        }
        self.write("gateway.yaml", &config.text());
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("gateway.yaml")
    }

    /// Runs the program to its end: exit code, standard output, standard error.
    pub(crate) fn run(&self, args: &[&str]) -> (i32, String, String) {
        self.run_from(&self.path, args)
    }

    /// Standard output of a command that must end with exit code 0.
    #[track_caller]
    pub(crate) fn succeeds(&self, args: &[&str]) -> String {
        let (code, said, complained) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {said}{complained}");
        said
    }

    /// Standard error of a command that must end with exit code 1.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let (code, said, complained) = self.run(args);
        assert_eq!(code, 1, "{args:?}: {said}{complained}");
        complained
    }

    /// The same as `run`, in another directory.
    pub(crate) fn run_from(&self, directory: &Path, args: &[&str]) -> (i32, String, String) {
        let output = finish(command(directory).args(args)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

impl Workspace {
    /// Runs the program with this on its standard input, to its end: exit code, standard output, standard error.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> (i32, String, String) {
        let mut command = command(&self.path);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Whoever does not want to read it all may end.
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).ok();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).ok();
    }
}

pub(super) fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    command.current_dir(directory).env_remove("RUST_LOG");
    command
}
