//! Secrets in memory: they cannot be printed and are wiped when dropped.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Bytes that nobody may see.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
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

    /// The bytes as text; `None` where they are not UTF-8.
    pub fn expose_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
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

/// `count` random bytes from the operating system.
///
/// # Panics
/// Where the operating system has no randomness to give: nothing safe can be done then.
pub fn random_bytes<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    #[allow(clippy::expect_used, reason = "no key, id or nonce can be made without randomness")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Writes a file that only its owner can read, whole or not at all: what was there before stays until this is on the disk.
///
/// # Errors
/// Where it cannot be written.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.is_dir())
    {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let outcome = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&name)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&name, path)
    })();
    if outcome.is_err() {
        let _ = fs::remove_file(&name);
    }
    outcome
}

/// Writes another content into a file that exists, whole or not at all; mode and owner stay.
///
/// # Errors
/// Where it cannot be written.
pub fn replace_keeping(path: &Path, content: &[u8]) -> io::Result<()> {
    let known = fs::metadata(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = Path::new(&name);
    let outcome = (|| {
        write_private(new, content)?;
        let made = fs::metadata(new)?;
        if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
            std::os::unix::fs::chown(new, Some(known.uid()), Some(known.gid()))?;
        }
        fs::set_permissions(new, known.permissions())?;
        fs::rename(new, path)
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
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert_eq!(secret.expose(), b"hunter2");
    }
}
