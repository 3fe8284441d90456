//! Files that the gateway keeps beside the state: read only if nobody else can have written them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Largest of these files, in bytes.
const LARGEST: u64 = 64 << 20;
/// Mode bits for writing by group and others.
const BY_GROUP: u32 = 0o020;
const BY_EVERYONE: u32 = 0o002;

/// Content of a file below the state directory, if only this user or root can have written it.
///
/// # Errors
/// `NotFound`; not a regular file; or the user who can have written it, and what to do.
pub fn read(path: &Path, state: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    of_nobody_else(path, &file.metadata()?, BY_GROUP | BY_EVERYONE)?;
    is_place_own(path, state)?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks that only this user or root can put a file there, below the state directory. The group may write to that
/// directory itself, as with volumes, but to no directory in it.
///
/// # Errors
/// The user or group that can, and what to do.
pub fn is_place_own(path: &Path, state: &Path) -> io::Result<()> {
    for directory in path.ancestors().skip(1).take_while(|directory| *directory != state) {
        let metadata = match directory.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if !metadata.is_dir() {
            return Err(io::Error::other(format!("{0} is no directory: run: rm {0}", directory.display())));
        }
        of_nobody_else(directory, &metadata, BY_GROUP | BY_EVERYONE)?;
    }
    let root = if state.as_os_str().is_empty() { Path::new(".") } else { state };
    of_nobody_else(root, &root.metadata()?, BY_EVERYONE)
}

/// Opens a file of the state for reading; not through a symbolic link, nor a named pipe, which would block.
///
/// # Errors
/// If it is missing or something else.
pub fn open(path: &Path) -> io::Result<File> {
    let metadata = path.symlink_metadata()?;
    if metadata.is_symlink() {
        return Err(io::Error::other(format!("{0} is a link, not a file: run: rm {0}", path.display())));
    }
    only_a_file(path, &metadata)?;
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    only_a_file(path, &file.metadata()?)?;
    Ok(file)
}

/// Rejects all but regular files.
///
/// # Errors
/// The kind of file found.
pub fn only_a_file(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe (FIFO)",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(io::Error::other(format!("{} is {what}, not a file: move it away", path.display())))
}

fn of_nobody_else(path: &Path, metadata: &Metadata, bits: u32) -> io::Result<()> {
    let (own, owner, mode) = (rustix::process::geteuid().as_raw(), metadata.uid(), metadata.mode());
    let path = path.display();
    if owner != own && owner != 0 {
        let message = format!("{path} belongs to user {owner}, who decides what is there: run: chown {own} {path}");
        return Err(io::Error::other(message));
    }
    if mode & bits != 0 {
        let mode = mode & 0o7777;
        let message = format!("others than this user can write {path} (mode {mode:04o}): run: chmod go-w {path}");
        return Err(io::Error::other(message));
    }
    Ok(())
}
