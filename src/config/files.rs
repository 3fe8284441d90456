//! Files and environment variables that gateway.yaml names, read. Every error names the place and the remedy.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Warning;
use crate::secret::Secret;
use rustix::fs::OFlags;

/// The bit of a mode by which everyone may write, that by which the group may, and that by which only the owner of a file
/// in a directory may replace it.
const BY_EVERYONE: u32 = 0o002;
const BY_GROUP: u32 = 0o020;
const STICKY: u32 = 0o1000;

/// No certificate, key set or list of accounts is larger. In bytes.
const LARGEST: usize = 64 << 20;

type Failure = (String, String);

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_limited(path, LARGEST)
}

/// The bytes of a file of at most `largest` bytes.
pub(super) fn read_limited(path: &Path, largest: usize) -> Result<Vec<u8>, Failure> {
    read_open(open(path)?, path, largest)
}

/// The bytes of gateway.yaml: a file of at most `largest` bytes, or what another program writes into a descriptor that this
/// process was started with, such as `/dev/stdin`.
pub(super) fn read_main(path: &Path, largest: usize) -> Result<Vec<u8>, Failure> {
    let is_inherited = path == Path::new("/dev/stdin")
        || path.parent().is_some_and(|parent| parent == Path::new("/dev/fd") || parent == Path::new("/proc/self/fd"));
    if !is_inherited {
        return read_limited(path, largest);
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    not_for_everyone(path, &metadata)?;
    read_open(file, path, largest)
}

/// The bytes of a file that only its owner may read, or beside it a group that this process is in, as mounted secrets have
/// it.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, Failure> {
    read_closed(path, |group| if is_in_group(group) { 0o037 } else { 0o077 })
}

/// The bytes of a file whose mode has none of the bits that are forbidden to files of its group.
fn read_closed(path: &Path, forbidden: impl FnOnce(u32) -> u32) -> Result<Vec<u8>, Failure> {
    let file = open(path)?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden(metadata.gid()) != 0 {
        let path = path.display();
        return Err((
            format!("{path} is open to others than its owner (mode {mode:04o}, group {})", metadata.gid()),
            format!("run: chmod 600 {path}"),
        ));
    }
    read_open(file, path, LARGEST)
}

/// Returns whether this process is in the group of this number.
fn is_in_group(group: u32) -> bool {
    let others = || rustix::process::getgroups().unwrap_or_default();
    rustix::process::getegid().as_raw() == group || others().iter().any(|other| other.as_raw() == group)
}

/// The secret in a file, without one line break at its end.
pub(super) fn read_secret_file(path: &Path) -> Result<Secret, Failure> {
    secret_of(read_private(path)?, path)
}

fn secret_of(mut bytes: Vec<u8>, path: &Path) -> Result<Secret, Failure> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err((format!("{} is empty", path.display()), "put the secret into it".to_owned()));
    }
    Ok(Secret::new(bytes))
}

/// A secret that is a text in one line: a password, a token, the value of a header. `place` is where it stands.
pub(super) fn one_line(secret: Secret, place: &str) -> Result<Secret, Failure> {
    let bytes = secret.expose();
    let (what, help) = if bytes.starts_with(b"\xef\xbb\xbf") {
        ("begins with a byte order mark (EF BB BF), which would be part of the secret", "save it as UTF-8 without one")
    } else if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        ("is UTF-16", "save it as UTF-8, without a byte order mark")
    } else if bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        ("has several lines, and this secret is one line", "leave only the secret in it")
    } else {
        return Ok(secret);
    };
    Err((format!("{place} {what}"), help.to_owned()))
}

/// The file of a credential.
pub(super) fn credential(name: &str) -> Result<PathBuf, Failure> {
    let is_name = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !is_name {
        // It may be the secret itself.
        return Err((
            "this is not the name of a credential".to_owned(),
            "write the name of a file in $CREDENTIALS_DIRECTORY, such as identifier.key".to_owned(),
        ));
    }
    match std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty()) {
        Some(directory) => Ok(PathBuf::from(directory).join(name)),
        None => Err((
            "the environment variable CREDENTIALS_DIRECTORY is not set".to_owned(),
            "start from a systemd unit with LoadCredential=, or set it to the directory where secrets are mounted"
                .to_owned(),
        )),
    }
}

/// The secret in a file of a mounted directory: it may be readable by the group, as such directories have it. Where access
/// is by a list (ACL), as of systemd, its mode names a group that has nothing to do with it.
pub(super) fn read_credential(path: &Path) -> Result<Secret, Failure> {
    secret_of(read_private_credential(path)?, path)
}

/// Reads the credential of a private key.
pub(super) fn read_private_credential(path: &Path) -> Result<Vec<u8>, Failure> {
    read_closed(path, |_| 0o037)
}

/// Returns whether a file is in the directory of credentials.
pub(super) fn is_credential(path: &Path) -> bool {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.is_some_and(|directory| path.parent() == Some(Path::new(&directory)))
}

/// A remark on a secret file that a group can read, and why that is accepted; `None` where only its owner can.
pub(super) fn wider(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let (mode, group) = (metadata.mode() & 0o777, metadata.gid());
    let why = if is_credential(path) {
        "credentials of systemd and mounted secrets have it"
    } else {
        "the gateway is in this group, and mounts with fsGroup have it"
    };
    let path = path.display();
    (mode & 0o077 != 0)
        .then(|| format!("{path} can be read by the group {group} too (mode {mode:04o}): accepted, as {why}"))
}

/// The secret in an environment variable.
pub(super) fn read_secret_variable(name: &str) -> Result<Secret, Failure> {
    let is_name = !name.is_empty()
        && !name.starts_with(|character: char| character.is_ascii_digit())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if !is_name {
        // It may be the secret itself.
        return Err((
            "this is not the name of an environment variable".to_owned(),
            "write the name, such as BACKEND_PASSWORD, and put the secret into that variable".to_owned(),
        ));
    }
    match std::env::var_os(name) {
        Some(value) if !value.is_empty() => Ok(Secret::new(std::os::unix::ffi::OsStringExt::into_vec(value))),
        Some(_) => Err((format!("the environment variable {name} is empty"), "put the secret into it".to_owned())),
        None => Err((format!("the environment variable {name} is not set"), "set it before the start".to_owned())),
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    if path.as_os_str().as_encoded_bytes().iter().any(|byte| *byte == b'\n' || *byte == 0) {
        // It may be the key itself.
        return Err(("this is not the path of a file".to_owned(), "write the path, not the content".to_owned()));
    }
    // To open a device may do something, and a named pipe may make whoever reads it wait for ever.
    path.metadata().map_err(|error| unreadable(path, &error)).and_then(|metadata| only_a_file(path, &metadata))?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    only_a_file(path, &metadata)?;
    not_for_everyone(path, &metadata)?;
    Ok(file)
}

/// Refuses all that is not a regular file.
fn only_a_file(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    if metadata.is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        return Err(unreadable(path, &io::ErrorKind::IsADirectory.into()));
    }
    let message = format!("cannot read {}: it is {}, not a file", path.display(), kind_of(metadata.file_type()));
    Err((message, "put a regular file there, or correct the path".to_owned()))
}

fn kind_of(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe (FIFO)"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Refuses a file that everyone can write.
fn not_for_everyone(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let mode = metadata.permissions().mode();
    if metadata.is_file() && mode & BY_EVERYONE != 0 {
        let (path, mode) = (path.display(), mode & 0o777);
        return Err((
            format!("{path} can be written by everyone (mode {mode:04o}): everyone would decide what stands in it"),
            format!("run: chmod o-w {path}"),
        ));
    }
    Ok(())
}

/// Warnings about others than the owner who can change a file or the contents of a directory: a group, unless it is
/// that of one user alone, and everyone who can write in its directory.
pub(super) fn changeable(path: &Path) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |path: &Path, message: String, help: String| {
        warnings.push(Warning { place: path.display().to_string(), message, help });
    };
    if let Ok(metadata) = path.metadata().as_ref()
        && metadata.mode() & BY_GROUP != 0
        && metadata.is_file()
        && metadata.gid() != metadata.uid()
    {
        let message = format!("the group {} can write it (mode {:04o})", metadata.gid(), metadata.mode() & 0o777);
        warn(path, message, format!("run: chmod g-w {}", path.display()));
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut directories = vec![path, &real];
    directories.dedup();
    for path in directories {
        let directory = if path.is_dir() { Some(path) } else { path.parent() };
        let Some(directory) = directory.filter(|directory| !directory.as_os_str().is_empty()) else { continue };
        let Ok(metadata) = directory.metadata() else { continue };
        if metadata.mode() & BY_EVERYONE != 0 && metadata.mode() & STICKY == 0 {
            let message = format!("everyone can put another file in its place (mode {:04o})", metadata.mode() & 0o7777);
            warn(path, message, format!("run: chmod o-w {}", directory.display()));
        }
    }
    warnings
}

/// Warnings about another owner of the state, and about write access of everyone: to the directory itself, the one
/// above it, or files in it. Volumes give the group of the gateway the right to write: that is no warning.
pub(super) fn changeable_state(directory: &Path) -> Vec<Warning> {
    let Ok(directory) = directory.canonicalize() else { return Vec::new() };
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort_unstable();
    let state = directory.clone();
    let of_others = others_state(&directory);
    let places = directory.parent().map(Path::to_owned).into_iter().chain([directory]).chain(files);
    let by_everyone = places.filter_map(|path| {
        // A link can be written by everyone, and says nothing of what it leads to.
        let metadata = path.symlink_metadata().ok()?;
        let mode = metadata.mode();
        let replaceable = metadata.is_dir() && (mode & STICKY == 0 || path == state);
        let message = format!("everyone can put files of state here (mode {:04o}): {FORGED}", mode & 0o7777);
        let help = format!("run: chmod o-w {}", path.display());
        ((replaceable || metadata.is_file()) && mode & BY_EVERYONE != 0).then(|| Warning {
            place: path.display().to_string(),
            message,
            help,
        })
    });
    of_others.into_iter().chain(by_everyone).collect()
}

/// Consequence of access of others to the state.
const FORGED: &str = "customers can be forged, and revocations and logouts undone";

/// The warning about a state directory whose owner is neither this user nor root.
fn others_state(directory: &Path) -> Option<Warning> {
    let owner = directory.metadata().ok()?.uid();
    let own = rustix::process::geteuid().as_raw();
    let path = directory.display();
    (owner != own && owner != 0).then(|| Warning {
        place: path.to_string(),
        message: format!("the state belongs to user {owner}, and this is user {own}: by that user, {FORGED}"),
        help: format!("run: chown {own} {path} (or run wicketgate as user {owner})"),
    })
}

/// Warnings about others who can replace the operators' socket.
pub(super) fn changeable_socket(socket: &Path) -> Option<Warning> {
    let directory = socket.parent().filter(|directory| !directory.as_os_str().is_empty())?;
    let metadata = directory.metadata().ok()?;
    let mode = metadata.mode();
    let by_group = mode & BY_GROUP != 0 && metadata.gid() != metadata.uid();
    (mode & BY_EVERYONE != 0 || by_group).then(|| Warning {
        place: directory.display().to_string(),
        message: format!(
            "others can put a socket of theirs in the place of `admin.socket` (mode {:04o}): commands would ask them",
            mode & 0o7777
        ),
        help: format!("run: chmod go-w {}, or set `admin.socket` to a path in another directory", directory.display()),
    })
}

fn read_open(file: File, path: &Path, largest: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(largest as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > largest {
        let message = format!("{} has more than {largest} bytes", path.display());
        return Err((message, "is this the right file?".to_owned()));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let full = full.display();
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            "there is no such file".to_owned(),
            "create it or correct the path; relative paths start at the directory of gateway.yaml",
        ),
        io::ErrorKind::PermissionDenied => {
            ("permission denied".to_owned(), "let the user that runs wicketgate read it")
        }
        io::ErrorKind::IsADirectory => ("it is a directory".to_owned(), "name a file in it"),
        kind => (kind.to_string(), "check the path"),
    };
    (format!("cannot read {full}: {what}"), help.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use std::fs::Permissions;

    fn file(name: &str, content: &[u8], mode: u32) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("wicketgate-files-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_secret_file_loses_exactly_one_line_break() {
        for (content, secret) in
            [("abc\n", "abc"), ("abc\r\n", "abc"), ("abc", "abc"), ("abc\n\n", "abc\n"), (" a ", " a ")]
        {
            let path = file("line-break", content.as_bytes(), 0o600);
            assert_eq!(read_secret_file(&path).unwrap().expose(), secret.as_bytes());
        }
    }

    #[test]
    fn a_secret_of_one_line_has_no_byte_order_mark_and_no_line_breaks() {
        let read = |bytes: &[u8]| one_line(Secret::new(bytes.to_vec()), "F").map(|secret| secret.expose().to_vec());
        for (bytes, cause) in [
            (&b"\xef\xbb\xbfhunter2"[..], "byte order mark"),
            (b"\xff\xfeh\0u\0", "UTF-16"),
            (b"hunter2\n", "several lines"),
            (b"hunter2\nother", "several lines"),
            (b"hunter2\rother", "several lines"),
        ] {
            let (message, help) = read(bytes).unwrap_err();
            assert!(message.starts_with("F ") && message.contains(cause), "{message}");
            assert!(!message.contains("hunter2") && !help.contains("hunter2"));
        }
        for good in [&b"hunter2"[..], b" a b ", b"\x80\xff"] {
            assert_eq!(read(good).unwrap(), good);
        }
    }

    #[test]
    fn a_secret_file_that_others_can_read_is_refused() {
        let foreign = |path: &Path| std::os::unix::fs::chown(path, None, Some(54_321)).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let path = file(&format!("open-{mode:o}"), b"hunter2", mode);
            if mode == 0o640 {
                read_private(&path).unwrap();
                foreign(&path);
            }
            let (message, help) = read_secret_file(&path).unwrap_err();
            assert!(message.contains(path.to_str().unwrap()) && !message.contains("hunter2"), "{message}");
            assert_eq!(help, format!("run: chmod 600 {}", path.display()));
            read_private(&path).unwrap_err();
            assert_eq!(read(&path).unwrap(), b"hunter2");
        }
        read_private(&file("closed", b"hunter2", 0o400)).unwrap();
    }

    #[test]
    fn an_empty_or_missing_secret_is_refused_by_name() {
        let (message, _) = read_secret_file(&file("empty", b"\n", 0o600)).unwrap_err();
        assert!(message.ends_with("empty is empty"), "{message}");
        let (message, help) = read_secret_file(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(message.contains("cannot read /nowhere/at/all"), "{message}");
        assert!(help.contains("create it"), "{help}");
        let (message, _) = read_secret_variable("WICKETGATE_NOT_SET").unwrap_err();
        assert!(message.contains("WICKETGATE_NOT_SET is not set"), "{message}");
        assert!(read_secret_variable("PATH").is_ok());
    }

    #[test]
    fn a_secret_in_the_place_of_a_name_or_path_is_not_repeated() {
        let (message, help) = read_secret_variable("hunter2 is my password").unwrap_err();
        assert!(!message.contains("hunter2") && !help.contains("hunter2"));
        let (message, help) = read(Path::new("-----BEGIN PRIVATE KEY-----\nhunter2")).unwrap_err();
        assert!(!message.contains("hunter2") && !help.contains("hunter2"));
    }
}
