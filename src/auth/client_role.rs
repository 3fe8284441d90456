//! System tokens of a trusted issuer: how a client is named in them, and how they differ from customers' tokens.

use super::jwt::Verifier;
use super::jwt::claims::{ClaimPath, ClaimRule};
use super::jwt::jws::Members;
use crate::explanation::trace::{StepDetail, pointer_step};
use crate::refusal::TokenFault;

/// Between an issuer and the id of one of its clients, in the name of a client that is not configured.
const NAMESPACE: char = '#';

/// The longest id of a client that is not configured, in bytes.
const LONGEST_ID: usize = 128;

/// System tokens of an issuer.
#[derive(Debug, Clone)]
pub struct ClientRole {
    /// Checks them; the subject of their claims is the client's id.
    pub verifier: Verifier,
    /// The claim with their scopes.
    pub scopes: ClaimPath,
    /// Accepts every client of the issuer, by its own name.
    pub any: bool,
    /// Conditions that they meet, and customers' tokens do not. Never empty.
    pub rules: Vec<ClaimRule>,
}

impl ClientRole {
    /// Returns whether a token with these claims is a client's rather than a customer's.
    pub(super) fn is_of_client(&self, claims: &Members) -> bool {
        !self.rules.is_empty() && self.rules.iter().all(|rule| rule.holds(claims))
    }

    /// What makes a token a client's, for explanations.
    pub(super) fn explain(&self) -> StepDetail {
        let claims: Vec<String> = self.rules.iter().map(|rule| rule.claim.written()).collect();
        let wanted = format!("a client's token, by the claims {}", claims.join(", "));
        let key = format!("/trusted_issuers/{}/client/claims", pointer_step(self.verifier.issuer()));
        StepDetail::new(wanted, "the claims of this token").at(key)
    }

    /// The name of a client of this issuer that is not configured: `ISSUER#ID`.
    ///
    /// # Errors
    /// [`TokenFault::Subject`]: the id is too long, has another `#`, or anything but visible ASCII.
    pub(super) fn name_of(&self, id: &str) -> Result<String, TokenFault> {
        if is_plain(id) { Ok(format!("{}{NAMESPACE}{id}", self.verifier.issuer())) } else { Err(TokenFault::Subject) }
    }

    /// Returns whether a client that is not configured could have this name.
    pub(super) fn could_be_named(&self, name: &str) -> bool {
        let id = name.strip_prefix(self.verifier.issuer()).and_then(|rest| rest.strip_prefix(NAMESPACE));
        self.any && id.is_some_and(is_plain)
    }
}

fn is_plain(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'\\' | b',');
    !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_not_configured_is_short_visible_and_has_no_namespace_of_its_own() {
        for plain in ["asapp", "0oa1", "https://app.example.com/x", "a@b", "6d3f-4", &"x".repeat(LONGEST_ID)] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in ["", "a#b", "a b", "a,b", "a\"b", "a\\b", "\u{e4}", "a\tb", &"x".repeat(LONGEST_ID + 1)] {
            assert!(!is_plain(odd), "{odd}");
        }
    }
}
