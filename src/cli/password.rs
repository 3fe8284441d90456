//! `wicketgate hash-password`.

use std::io::{IsTerminal as _, Read as _};

use super::{MARK, say};
use crate::auth::credentials::password;
use anyhow::{Context as _, bail};
use zeroize::Zeroizing;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate hash-password < password.txt\n\n\
    Standard input is the password; one line break at its end is not part of it.";

/// More than any password.
const MAX_LENGTH: u64 = 4096;

/// Hashes what comes on standard input.
pub(super) fn hash() -> anyhow::Result<()> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint_prompt();
    }
    let mut password = Zeroizing::new(Vec::new());
    input.take(MAX_LENGTH + 1).read_to_end(&mut password).context("cannot read the password")?;
    if password.len() as u64 > MAX_LENGTH {
        bail!("a password has at most {MAX_LENGTH} bytes");
    }
    let password = password.strip_prefix(MARK.as_bytes()).unwrap_or(&password);
    let password = password.strip_suffix(b"\n").unwrap_or(password);
    let password = password.strip_suffix(b"\r").unwrap_or(password);
    if password.is_empty() {
        bail!("the password is empty: {EXAMPLE}");
    }
    if std::str::from_utf8(password).is_err() {
        bail!("the password is not UTF-8, and logins are: nobody could ever send it");
    }
    say(&password::hash(password).map_err(|fault| anyhow::anyhow!(fault))?)
}

fn eprint_prompt() {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "Type the password (it is shown), then Enter and Ctrl-D:");
}
