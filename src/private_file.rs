//! Files that the gateway keeps for itself beside the state: what others can have made of them is not believed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// None of these files is larger, in bytes.
const LARGEST: u64 = 64 << 20;
/// The bits of a mode by which the group and everyone may write.
const BY_GROUP: u32 = 0o020;
const BY_EVERYONE: u32 = 0o002;

/// The bytes of a file below the directory of the state, where nobody but this user or root can have made it.
///
/// # Errors
/// `NotFound`; that it is no file; who else can have made it, and what to do.
pub fn read(path: &Path, state: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    of_nobody_else(path, &file.metadata()?, BY_GROUP | BY_EVERYONE)?;
    is_place_own(path, state)?;
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Looks whether only this user or root can put a file there, below the directory of the state. The group may change what
/// stands in that directory itself, as volumes have it, but no directory in it.
///
/// # Errors
/// Who else can, and what to do.
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

/// Opens a file of the state to read it: neither through a link, nor a named pipe, which would make it wait for ever.
///
/// # Errors
/// Where there is none, or something else.
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

/// Refuses all that is not a regular file.
///
/// # Errors
/// What it is.
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
