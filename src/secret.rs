//! Secrets in memory, never printed and wiped on drop; and files that only their owner can read.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Secret bytes.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes. Keep them out of errors, logs and formats.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// True for a shorter piece repeated, such as zeros: anybody could guess it, and no random key looks like that.
    pub fn repeats_itself(&self) -> bool {
        repeats_itself(self.expose())
    }

    /// The bytes as text; `None` if they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

/// How our secrets begin: refresh tokens, clients' secrets, API keys, authorization codes, login forms, the `state` of a
/// login at a provider, and the cookie of a login page.
const PREFIXES: [&str; 7] = ["wgr_", "wgs_", "wgk_", "wgc_", "wgf_", "wgp_", "wgb_"];

/// True for one of our secrets, also one that is not good, but for JWTs: it is shown to nobody else.
pub fn is_own_secret(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || (text.starts_with("v1.") && text.split('.').count() == 5)
}

/// True for the shape of one of our secrets or of a token: it is no name of anything, and must be neither stored nor
/// shown.
pub fn has_secret_shape(text: &str) -> bool {
    let is_key = PREFIXES.iter().any(|prefix| text.contains(prefix));
    // base64url of `{"`, as all JWTs begin.
    let is_jwt = text.contains("eyJ") && text.contains('.');
    let is_cookie = text.split('.').count() == 5 && (text.starts_with("v1.") || text.contains("=v1."));
    is_key || is_jwt || is_cookie
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// True for a shorter piece repeated.
pub fn repeats_itself(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|period| bytes.iter().zip(&bytes[period..]).all(|(one, later)| one == later))
}

/// `COUNT` random bytes from the operating system.
///
/// # Panics
/// If the operating system has no randomness: nothing safe can be done then.
pub fn random_bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    #[allow(clippy::expect_used, reason = "no key, id or nonce can be made without randomness")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Writes a file that only its owner can read, atomically: the old content stays until the new one is on disk.
///
/// # Errors
/// If it cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.is_dir())
    {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let new = name_beside(path);
    let outcome = write_synced(&new, 0o600, content).and_then(|()| fs::rename(&new, path));
    if outcome.is_err() {
        let _ = fs::remove_file(&new);
    }
    outcome
}

/// Creates a file atomically. Until it is on disk its name ends with `.new`.
///
/// # Errors
/// `AlreadyExists` if there is such a file, which stays as it is; or the reason of the failure.
pub fn write_new(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let new = name_beside(path);
    let outcome = write_synced(&new, mode, content).and_then(|()| rename_to_free_name(&new, path));
    if outcome.is_err() {
        let _ = fs::remove_file(&new);
    }
    outcome?;
    // Not every file system can sync a directory, and the file is there.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn name_beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    name.into()
}

fn write_synced(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    // What an earlier process has left, or somebody else: nothing is written into that, nor through a link.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // NFS, for one, does not know the flag, but a link replaces nothing either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        outcome => Ok(outcome?),
    }
}

/// Reason why [`replace_keeping`] failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceFault {
    /// The new content cannot be written, or cannot replace the old.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The new file cannot be given to the owner of the old one.
    #[error("the new file cannot be given to user {uid} and group {gid}: {error}")]
    Owner {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Error of the operating system.
        error: io::Error,
    },
}

/// Replaces the content of a file atomically; mode and owner stay.
///
/// # Errors
/// If it cannot be written.
pub fn replace_keeping(path: &Path, content: &[u8]) -> Result<(), ReplaceFault> {
    let known = fs::metadata(path)?;
    let name = name_beside(path);
    let new = name.as_path();
    let outcome = (|| {
        write_private(new, content)?;
        let made = fs::metadata(new)?;
        if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
            let (uid, gid) = (known.uid(), known.gid());
            let given = std::os::unix::fs::chown(new, Some(uid), Some(gid));
            given.map_err(|error| ReplaceFault::Owner { uid, gid, error })?;
        }
        fs::set_permissions(new, known.permissions())?;
        fs::rename(new, path)?;
        Ok(())
    })();
    if outcome.is_err() {
        let _ = fs::remove_file(new);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_a_shorter_piece_again_and_again_are_told_from_others() {
        let repeated = [&b"aa"[..], b"\0\0\0\0", b"abcabc", b"abcabca", b"abababab"];
        assert!(repeated.iter().all(|bytes| repeats_itself(bytes)), "{repeated:?}");
        let others = [&b""[..], b"a", b"ab", b"aab", b"abcab", b"aaaaaaab", b"0123456789abcdef"];
        assert!(!others.iter().any(|bytes| repeats_itself(bytes)), "{others:?}");
    }

    #[test]
    fn a_new_file_replaces_none_and_leaves_no_other_beside_it() -> io::Result<()> {
        let directory = std::env::temp_dir().join(format!("wicketgate-secret-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let path = directory.join("key.pem");
        write_new(&path, 0o600, b"first")?;
        let again = write_new(&path, 0o600, b"second").map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
        assert_eq!((fs::read(&path)?, fs::metadata(&path)?.mode() & 0o777), (b"first".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&directory)?.count(), 1);
        fs::remove_dir_all(&directory)
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.expose(), b"hunter2");
    }
}
