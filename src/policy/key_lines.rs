//! Keys in a file, one on each line with its times.

use crate::key_validity::Validity;
use crate::secret::Secret;

/// A key in a file, with its times.
pub struct KeyLine {
    /// The key.
    pub secret: Secret,
    /// The first second in which it is given out.
    pub from: u64,
    /// The first second in which it is no longer accepted.
    pub until: u64,
}

/// The keys in a file, newest first: one on each line. What is not lines of visible ASCII is one key.
///
/// # Errors
/// The fault of a line, without the key.
pub fn key_lines(secret: &Secret) -> Result<Vec<KeyLine>, String> {
    let is_text = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\r');
    let text = secret.expose_str().filter(|text| text.as_bytes().iter().all(is_text));
    let Some(text) = text else {
        return Ok(vec![KeyLine { secret: secret.clone(), from: 0, until: u64::MAX }]);
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let dated = Validity::parse(line)?;
            Ok(KeyLine { secret: Secret::new(dated.value), from: dated.from, until: dated.until })
        })
        .collect()
}
