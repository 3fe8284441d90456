//! The operator's token, with which the status page acts.

use crate::config::raw::SecretRef;
use crate::config::{Config, Problems};
use crate::secret::Secret;

/// Fewest characters: whoever guesses is slowed down, not kept out.
const SHORTEST: usize = 32;

/// Reads it; `None` where there is a problem.
pub(super) fn read(config: &Config, token: &SecretRef, problems: &mut Problems) -> Option<Secret> {
    const HELP: &str = "make one with: openssl rand -hex 32";
    let fault = match config.read_secret_line(token) {
        Err((message, help)) => (message, help),
        Ok(secret) if secret.expose().len() < SHORTEST => {
            (format!("this token is shorter than {SHORTEST} characters"), HELP.to_owned())
        }
        Ok(secret) if secret.repeats_itself() => ("this token is a shorter piece repeated".to_owned(), HELP.to_owned()),
        Ok(secret) if !secret.expose().iter().all(u8::is_ascii_graphic) => {
            ("this token has characters that `Authorization` cannot carry".to_owned(), HELP.to_owned())
        }
        Ok(secret) => return Some(secret),
    };
    problems.push(config.problem("admin.token", fault.0, fault.1));
    None
}
