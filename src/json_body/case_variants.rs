//! Names of members that readers who ignore letter case take for one: ASP.NET, Newtonsoft, Go, and Jackson where it is
//! told to.

use crate::normalization::folded;

/// The name of a member, with what all of its spellings have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    folded: String,
}

impl Step {
    pub(super) fn new(name: String) -> Self {
        Self { folded: folded(&name), name }
    }

    /// Returns whether some parser takes `name`, which is another one, for this. To C a name ends at its first NUL.
    pub(super) fn is_spelled_otherwise(&self, name: &str) -> bool {
        if name.contains('\0') {
            return true;
        }
        let is_alike =
            if name.is_ascii() { self.folded.eq_ignore_ascii_case(name) } else { self.folded == folded(name) };
        is_alike && self.name != name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_width_or_form_are_spellings_of_one() {
        let step = Step::new("customer".to_owned());
        for other in [
            "Customer",
            "CUSTOMER",
            "cu\u{17f}tomer",
            "\u{ff43}\u{ff55}\u{ff53}\u{ff54}\u{ff4f}\u{ff4d}\u{ff45}\u{ff52}",
            "\u{1d484}ustomer",
        ] {
            assert!(step.is_spelled_otherwise(other), "{other}");
        }
        assert!(step.is_spelled_otherwise("customer\0") && step.is_spelled_otherwise("\0"));
        for other in ["customer", "customers", "custome", "", "c\u{fc}stomer", "customer ", "customer\u{301}"] {
            assert!(!step.is_spelled_otherwise(other), "{other}");
        }
        for (name, other) in [
            ("id", "\u{131}d"),
            ("id", "\u{130}d"),
            ("id", "\u{2148}d"),
            ("kind", "\u{212a}ind"),
            ("stra\u{df}e", "STRASSE"),
            ("caf\u{e9}", "CAFE\u{301}"),
            ("\u{3c3}", "\u{3c2}"),
            ("ID", "id"),
        ] {
            assert!(Step::new(name.to_owned()).is_spelled_otherwise(other), "{name} {other}");
            assert!(!Step::new(name.to_owned()).is_spelled_otherwise(name), "{name}");
        }
    }
}
