//! Unicode normalisation of user names and passwords.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// The compatibility form (NFKC) in lower case, by way of upper case: so `ſ` is `s`, `K` (Kelvin) is `k`, `ß` and `ẞ`
/// are `ss`, and the Turkish `İ` and `ı` are both `i`, as some comparisons have it.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let compatible = ComposingNormalizerBorrowed::new_nfkc();
    let lower = compatible.normalize(text).to_lowercase().to_uppercase().to_lowercase().replace("i\u{307}", "i");
    // Changing the case can leave letters and their marks apart.
    compatible.normalize(&lower).into_owned()
}

/// Comparison key of a user name: the folded text without surrounding spaces.
pub fn folded_name(name: &str) -> String {
    folded(name).trim().to_owned()
}

/// Composed form (NFC): the same for letters with marks from any keyboard.
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { ComposingNormalizerBorrowed::new_nfc().normalize(text) }
}

/// Form of a password for hashing, independent of the keyboard: NFC, with plain spaces (RFC 8265 section 4.2,
/// OpaqueString).
pub fn opaque(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    let composed = composed(password);
    if composed.contains(is_wide_space) { Cow::Owned(composed.replace(is_wide_space, " ")) } else { composed }
}

/// True for a space that is not ASCII (general category Zs).
fn is_wide_space(letter: char) -> bool {
    matches!(letter, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_user_name_have_one_form_and_other_names_have_another() {
        for (name, other) in [
            ("erin", " ERIN\t"),
            ("erin", "\u{a0}erin\u{3000}"),
            ("erin", "\u{ff25}rin"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{df}e", "STRA\u{1e9e}E"),
            ("caf\u{e9}", "CAFE\u{301}"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{130}pek", "\u{131}pek"),
        ] {
            assert_eq!(folded_name(name), folded_name(other), "{name} {other}");
        }
        for (name, other) in [("erin", "er in"), ("erin", "erin2"), ("caf\u{e9}", "cafe"), ("a", "\u{430}")] {
            assert_ne!(folded_name(name), folded_name(other), "{name} {other}");
        }
    }

    #[test]
    fn a_password_keeps_everything_but_how_it_was_typed() {
        assert_eq!(opaque("Zu\u{308}rich\u{a0}\u{3000}x"), "Z\u{fc}rich  x");
        for same in ["", " a B ", "Z\u{fc}rich", "\u{fb01}\u{ff21}", "a\tb\u{200b}c\u{2028}"] {
            assert_eq!(opaque(same), same);
        }
    }

    proptest::proptest! {
        #[test]
        fn both_forms_stay_as_they_are(text in "\\PC{0,12}") {
            let name = folded_name(&text);
            proptest::prop_assert_eq!(folded_name(&name), name.clone());
            let password = opaque(&text).into_owned();
            proptest::prop_assert_eq!(opaque(&password), password.clone());
        }
    }
}
