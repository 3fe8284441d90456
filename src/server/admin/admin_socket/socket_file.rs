//! The Unix socket in the file system: its path, its mode, and its removal.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::Config;

/// File name in the state directory.
pub const SOCKET: &str = "admin.sock";
/// Longest path of a socket, in bytes (`sun_path` of unix(7), with its final zero).
const LONGEST_PATH: usize = 107;

/// Configured path of the socket.
pub fn socket_path(config: &Config) -> PathBuf {
    let raw = config.raw();
    match &raw.admin.socket {
        Some(path) => config.resolve(path),
        None => config.data_directory().join(SOCKET),
    }
}

/// Reason why there can be no socket at a path; `None` if none is known. Another socket may be there: whether a process
/// listens on it shows when it is opened.
pub fn fault_of(path: &Path) -> Option<String> {
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Some(format!("the path of a socket has at most {LONGEST_PATH} bytes, and this one has {length}"));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Some(format!("{} is there and is no socket: it stays as it is", path.display()));
    }
    let above = path.ancestors().skip(1).find_map(|path| Some((path, path.metadata().ok()?)));
    above.filter(|(_, found)| !found.is_dir()).map(|(path, _)| format!("{} is no directory", path.display()))
}

/// Binds the socket; replaces one that a dead process left behind, and nothing else.
///
/// # Errors
/// If it cannot be bound, something else is there, or another process listens.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(fault) = fault_of(path) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, fault));
    }
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
        // Nobody listens there any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let fault = format!("a socket is there that may be another program's: {error}");
            return Err(io::Error::new(error.kind(), fault));
        }
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Bound socket, identified by its inode.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    /// Device and inode; `None` if it is gone.
    file: Option<(u64, u64)>,
}

impl BoundSocket {
    /// The socket that is at this path now.
    pub fn at(path: PathBuf) -> Self {
        Self { file: file_at(&path), path }
    }

    /// Removes it, if it is still there.
    pub fn remove(&self) {
        if self.file.is_some() && file_at(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
