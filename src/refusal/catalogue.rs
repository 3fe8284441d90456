//! The catalogue of refusals: cause, fix and example of each word, for explanations, the status page and
//! docs/refusals.md.

mod backend;
mod client_assertion;
mod client_token;
mod credentials;
mod customer_token;
mod dpop;
mod http;
mod login;
mod oauth;
mod security_event;

use super::Refusal;

/// The texts of one refusal.
#[derive(Debug, Clone, Copy)]
struct Row {
    refusal: Refusal,
    cause: &'static str,
    fix: &'static str,
    example: &'static str,
}

const fn row(refusal: Refusal, cause: &'static str, fix: &'static str, example: &'static str) -> Row {
    Row { refusal, cause, fix, example }
}

/// All texts, by family.
const FAMILIES: [&[Row]; 10] = [
    http::ROWS,
    credentials::ROWS,
    dpop::ROWS,
    client_token::ROWS,
    customer_token::ROWS,
    login::ROWS,
    oauth::ROWS,
    client_assertion::ROWS,
    security_event::ROWS,
    backend::ROWS,
];

impl Refusal {
    /// Why a request is refused with this word, in plain sentences.
    pub fn cause(self) -> &'static str {
        self.texts().map_or("", |row| row.cause)
    }

    /// What to do about it: the key of gateway.yaml, or what the caller has to change.
    pub fn fix(self) -> &'static str {
        self.texts().map_or("", |row| row.fix)
    }

    /// A request or situation that provokes it, in one line.
    pub fn example(self) -> &'static str {
        self.texts().map_or("", |row| row.example)
    }

    fn texts(self) -> Option<&'static Row> {
        let refusal = self.in_set();
        FAMILIES.into_iter().flatten().find(|row| row.refusal == refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_texts_and_in_the_order_of_the_set() {
        let explained: Vec<Refusal> = FAMILIES.into_iter().flatten().map(|row| row.refusal).collect();
        assert_eq!(explained, Refusal::ALL);
    }

    #[test]
    fn texts_are_whole_sentences_without_reference_to_others() {
        for &refusal in Refusal::ALL {
            for text in [refusal.cause(), refusal.fix(), refusal.example()] {
                let word = refusal.as_str();
                assert!(text.ends_with(['.', '?']) && text.len() > 10 && text.len() < 600, "{word}: {text}");
                assert!(
                    !text.starts_with("As above") && !text.contains('\n') && !text.contains("  "),
                    "{word}: {text}"
                );
                assert_eq!(text.matches('`').count() % 2, 0, "{word}: {text}");
            }
        }
    }
}
