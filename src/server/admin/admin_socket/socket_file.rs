//! The Unix socket in the file system: its path, its mode, and its removal.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::Config;

/// The name of the socket in the directory of the state.
const SOCKET: &str = "admin.sock";
/// The longest path that a socket can have, in bytes (`sun_path` of unix(7), with the zero at its end).
const LONGEST_PATH: usize = 107;

/// Where the socket of a configuration is.
pub fn socket_path(config: &Config) -> PathBuf {
    let raw = config.raw();
    match &raw.admin.socket {
        Some(path) => config.resolve(path),
        None => config.data_directory().join(SOCKET),
    }
}

/// Why there can be no socket at a path, whoever runs; `None` where nothing is known against it. What is there may be a
/// socket: whether somebody listens on it is seen when it is opened.
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

/// Opens the socket; one that a dead process left behind is replaced, and nothing else.
///
/// # Errors
/// Where it cannot be had, something else is there, or another process answers on it.
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

/// A socket in the file system, told from whatever else may come to stand at its path.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    /// Its device and number there; `None` where it is gone already.
    file: Option<(u64, u64)>,
}

impl BoundSocket {
    /// The one that is at this path now.
    pub fn at(path: PathBuf) -> Self {
        Self { file: file_at(&path), path }
    }

    /// Takes it away, where it is still there.
    pub fn remove(&self) {
        if self.file.is_some() && file_at(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
