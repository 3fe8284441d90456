//! Bytes as lowercase hexadecimal digits, and back.

/// The lowercase hexadecimal digits of `bytes`, two for each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The `COUNT` bytes that `text` is the hexadecimal digits of; `None` if it is not exactly that.
pub fn unhex<const COUNT: usize>(text: &str) -> Option<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    if text.len() != 2 * COUNT || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_their_text() {
        assert_eq!(unhex::<32>(&hex(&[0xab; 32])), Some([0xab; 32]));
        assert_eq!(unhex::<32>("ab"), None);
        assert_eq!(unhex::<32>(&"é".repeat(32)), None);
    }
}
