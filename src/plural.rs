//! Numbers with their nouns, for messages.

/// A number with its noun in singular or plural: `1 listener`, `2 listeners`.
pub fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "API key")), ["0 API keys", "1 API key", "2 API keys"]);
    }
}
