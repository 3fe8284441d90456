//! Checks of `trusted_issuers[].logout` and `trusted_issuers[].security_events`.

use super::super::raw::TrustedIssuer;
use super::super::{Config, Warning};
use super::Check;

/// The sections of an issuer, by key, with their audiences.
fn sections(issuer: &TrustedIssuer) -> impl Iterator<Item = (&'static str, &[String])> {
    let logout = issuer.logout.iter().map(|it| ("logout", &it.audiences[..]));
    logout.chain(issuer.security_events.iter().map(|it| ("security_events", &it.audiences[..])))
}

impl Check<'_> {
    pub(super) fn provider_events(&mut self, at: &str, issuer: &TrustedIssuer) {
        for (key, audiences) in sections(issuer) {
            let at = format!("{at}.{key}");
            let list = format!("{at}.audiences");
            self.not_empty(&list, audiences, "name the client id that the issuer knows the company's application by");
            for (index, audience) in audiences.iter().enumerate() {
                self.not_blank(&format!("{list}[{index}]"), audience);
            }
            if issuer.introspection.is_some()
                && issuer.jwks.is_none()
                && !issuer.discovery.is_on()
                && issuer.secret.is_none()
            {
                let message = "what the issuer tells is signed, and nothing says where its keys are";
                self.add(&at, message, "add `jwks` or `discovery: true`");
            }
            if self.raw.identifier.is_none() {
                let message = "what the issuer tells is about customers, and there is no `identifier`";
                self.add(&at, message, "add `identifier` with its `key`");
            }
        }
    }
}

/// What an issuer tells and cannot be done, or is remembered for longer than it needs to be.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (number, issuer) in config.raw().trusted_issuers.iter().enumerate() {
        for (key, _) in sections(issuer) {
            let at = format!("trusted_issuers[{number}].{key}");
            if issuer.subject != "sub" {
                let message =
                    "what names a customer only by `sub` is refused: this issuer's are told apart by another claim";
                let help = "write `subject: sub`, or let the issuer tell the session (`sid`)";
                warnings.push(config.warning(&at, message.to_owned(), help));
            }
            if issuer.max_lifetime.is_none() {
                let message = "each ended session is remembered for 400 days, for its tokens may live that long";
                let help = "add `max_lifetime`, such as 24h, beside it";
                warnings.push(config.warning(&at, message.to_owned(), help));
            }
        }
    }
    warnings
}
