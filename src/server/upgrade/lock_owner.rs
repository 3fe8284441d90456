//! Owner of the state lock: the identity of a running process, for one that wants to take over, and beside the state
//! for whoever finds it locked.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::unix::UCred;

use crate::private_file;

/// File name in the state directory.
const FILE: &str = "owner.json";
/// Longest wait for the identity of the running process.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of a response or of the file.
const MAX_SIZE: u64 = 16 * 1024;

/// Identity of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Process id, in its own pid namespace.
    pub pid: u32,
    /// Absolute path of gateway.yaml.
    pub config: PathBuf,
    /// Configured listen addresses.
    #[serde(default)]
    pub listens: Vec<SocketAddr>,
    /// Host name of the machine or container.
    host: String,
    /// Inode of its network namespace; `None` if unknown.
    network: Option<u64>,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, config) = (self.pid, self.config.display());
        if self.host == host() {
            write!(formatter, "process {pid} with {config}")
        } else {
            write!(formatter, "process {pid} on {} with {config}", self.host)
        }
    }
}

impl Owner {
    /// This process, with this configuration file.
    pub fn this(file: &Path) -> Self {
        Self {
            pid: std::process::id(),
            listens: Vec::new(),
            config: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            host: host(),
            network: fs::metadata("/proc/self/ns/net").ok().map(|namespace| namespace.ino()),
        }
    }

    /// True if both run with the same configuration file.
    pub fn has_same_file(&self, other: &Self) -> bool {
        is_same_file(&self.config, &other.config)
    }

    /// Asks the process behind an operators' socket. `None` if no process answers.
    ///
    /// # Errors
    /// If there is one that does not identify itself.
    pub fn at(socket: &Path) -> io::Result<Option<Self>> {
        let Ok(mut stream) = UnixStream::connect(socket) else { return Ok(None) };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /process HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX_SIZE).read_to_end(&mut answer)?;
        let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|end| &answer[end + 4..]);
        Ok(Some(serde_json::from_slice(body.unwrap_or_default())?))
    }

    /// Checks that a process may take over from this one; `peer` is its identity as the kernel gives it.
    ///
    /// # Errors
    /// The reason why not.
    pub fn admits(&self, other: &Self, peer: &UCred) -> Result<(), String> {
        let own = rustix::process::geteuid().as_raw();
        if peer.uid() != own {
            return Err(format!("{self} runs as user {own}, and the one that asks as user {}", peer.uid()));
        }
        // Another user's, or one whose memory is closed to others, does not show its namespace: then its word counts.
        let seen = peer.pid().and_then(|pid| fs::metadata(format!("/proc/{pid}/ns/net")).ok());
        let network = seen.map(|namespace| namespace.ino()).or(other.network);
        if network != self.network {
            return Err(format!(
                "{self} runs in another network namespace: its sockets would be of no use to the one that asks"
            ));
        }
        if !self.has_same_file(other) {
            return Err(format!("{self} runs, and the one that asks has {}", other.config.display()));
        }
        Ok(())
    }

    /// Refusal to start beside this process, and what to do.
    pub fn refusal(&self, other: &Self, socket: &Path) -> String {
        let socket = socket.display();
        let take_over = if self.has_same_file(other) {
            "to take over from it without loss, use `wicketgate run --upgrade`, or send it SIGUSR2; "
        } else {
            ""
        };
        format!(
            "the state is in use: {self} answers at {socket}; it goes on as before. {take_over}to run beside it, set \
             another `state.embedded.path`, and another `admin.socket` where that is set"
        )
    }

    /// Writes it beside the state, which this process has locked.
    ///
    /// # Errors
    /// If it cannot be written. Nothing depends on the file.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::from)?;
        crate::secret::write_private(&directory.join(FILE), &text)
    }

    /// Writes it again if the file is missing or different.
    ///
    /// # Errors
    /// As of [`Owner::write`].
    pub fn keep(&self, directory: &Path) -> io::Result<()> {
        if Self::read(directory).as_ref() == Some(self) { Ok(()) } else { self.write(directory) }
    }

    /// Owner of a state that another process has locked.
    pub fn read(directory: &Path) -> Option<Self> {
        let mut text = Vec::new();
        private_file::open(&directory.join(FILE)).ok()?.take(MAX_SIZE).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Removes the file, before the state is unlocked.
    pub fn remove(directory: &Path) {
        let _ = fs::remove_file(directory.join(FILE));
    }
}

/// Checks that the process behind an operators' socket is of this user or root; root accepts other users where nobody
/// else can have replaced the socket. To be called before anything is sent.
///
/// # Errors
/// The user that answers, and what to do.
pub fn vouch(socket: &Path, stream: impl AsFd) -> io::Result<()> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw();
    let own = rustix::process::geteuid().as_raw();
    if peer == own || peer == 0 {
        return Ok(());
    }
    let shown = socket.display();
    let refusal = |help: String| {
        let message = format!("user {peer} answers at {shown}, and this is user {own}: nothing was sent. {help}");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
    };
    if own != 0 {
        return refusal(format!("Run this as user {peer} if the gateway is theirs, or set another `admin.socket`"));
    }
    let directory = socket.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let metadata = fs::metadata(directory)?;
    let directory = directory.display();
    if metadata.mode() & 0o022 != 0 {
        return refusal(format!(
            "Others can put a socket there (mode {:04o}): run: chmod go-w {directory}",
            metadata.mode() & 0o7777
        ));
    }
    if metadata.uid() != 0 && metadata.uid() != peer {
        return refusal(format!("The directory is user {}'s: run: chown {peer} {directory}", metadata.uid()));
    }
    Ok(())
}

/// True if two paths lead to one file now: mounts may have changed since the start of either process.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_written_once_there_is_room_and_leaves_nothing_behind() {
        let directory = std::env::temp_dir().join(format!("wicketgate-owner-{}", std::process::id()));
        fs::create_dir_all(directory.join(FILE)).unwrap();
        let owner = Owner::this(Path::new("gateway.yaml"));
        // A directory in its place keeps the file from getting its name.
        assert!(owner.write(&directory).is_err());
        assert!(owner.keep(&directory).is_err());
        assert!(!directory.join("owner.new").exists());
        fs::remove_dir(directory.join(FILE)).unwrap();
        let before = Owner { pid: 1, ..owner.clone() };
        before.write(&directory).unwrap();
        owner.keep(&directory).unwrap();
        assert_eq!(Owner::read(&directory), Some(owner.clone()));
        let inode = fs::metadata(directory.join(FILE)).unwrap().ino();
        owner.keep(&directory).unwrap();
        assert_eq!(fs::metadata(directory.join(FILE)).unwrap().ino(), inode, "not without need");
        fs::remove_dir_all(directory).unwrap();
    }
}
