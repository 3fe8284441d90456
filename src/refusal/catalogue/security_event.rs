//! Texts about refusals of logout tokens and security events that issuers send.

use super::{Row, row};
use crate::refusal::{Refusal as R, TokenFault};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::SecurityEvent(TokenFault::Malformed),
        "The logout token or security event is not three parts, base64url and JSON, or has a member twice or of the \
         wrong type.",
        "The issuer's software sends a signed JWT with each member once. Otherwise a hostile caller.",
        "`logout_token=abc`.",
    ),
    row(
        R::SecurityEvent(TokenFault::HeaderNotAllowed),
        "The token has `crit`, `b64`, `zip` or `enc` in its header.",
        "The issuer sends a plain signed JWT (JWS). Otherwise an attack.",
        "A logout token with `crit` in its header.",
    ),
    row(
        R::SecurityEvent(TokenFault::Algorithm),
        "The `alg` of the token is not the key's.",
        "Add the issuer's algorithm to `trusted_issuers[].algorithms`. Otherwise an attack.",
        "A logout token with `alg: HS256` signed with the public key.",
    ),
    row(
        R::SecurityEvent(TokenFault::Type),
        "The `typ` is not that of a logout token (`logout+jwt`, `JWT` or none), or of a security event \
         (`secevent+jwt`).",
        "Enter the right address at the issuer: logout tokens and security events have one each. Otherwise another \
         kind of token, sent on.",
        "A security event at the address for logout tokens.",
    ),
    row(
        R::SecurityEvent(TokenFault::Issuer),
        "The `iss` is none of `trusted_issuers` with `logout`, or with `security_events`.",
        "Add `logout` or `security_events` to that issuer in `trusted_issuers`. Otherwise an attack.",
        "A logout token of an issuer without `logout`.",
    ),
    row(
        R::SecurityEvent(TokenFault::UnknownKey),
        "The `kid` is none of the issuer's keys.",
        "Bring the issuer's JWKS up to date: was a key rotated? `wicketgate_issuer_fetches_total` has the fetches.",
        "A logout token whose `kid` is not in `trusted_issuers[].jwks`.",
    ),
    row(
        R::SecurityEvent(TokenFault::Signature),
        "The signature is invalid.",
        "Bring the issuer's JWKS up to date: was a key replaced under the same `kid`? Otherwise an attack.",
        "A logout token of which one claim was changed after it was signed.",
    ),
    row(
        R::SecurityEvent(TokenFault::Expired),
        "The logout token is older than 5 minutes, or `exp` has passed.",
        "Correct the clock; or the issuer delivers late: those logins live until their tokens expire, and `wicketgate \
         revoke customer` ends them.",
        "A logout token that is delivered after an hour.",
    ),
    row(
        R::SecurityEvent(TokenFault::NotYetValid),
        "`iat` or `nbf` is in the future.",
        "Correct the clock of the issuer or of this machine; `trusted_issuers[].clock_skew` is the tolerated \
         difference.",
        "A logout token with `iat` tomorrow.",
    ),
    row(
        R::SecurityEvent(TokenFault::Audience),
        "The `aud` is none of `audiences` of the section.",
        "Write the client id into `audiences` of the section by which the issuer knows the application.",
        "A logout token for another application of the company.",
    ),
    row(
        R::SecurityEvent(TokenFault::Subject),
        "It names nobody that this gateway knows: neither a session nor a customer by `sub`, or a customer by `sub` \
         where `subject` is another claim.",
        "Let the issuer send `sid`, or a subject identifier `iss_sub`, `opaque` or complex with `user` or `session`.",
        "A security event whose subject is an e-mail address.",
    ),
    row(
        R::SecurityEvent(TokenFault::UnknownClient),
        "The `Authorization` is not that of `security_events.authorization`.",
        "Enter the value of `security_events.authorization` at the issuer. Otherwise a stranger.",
        "A security event without `Authorization`.",
    ),
    row(
        R::SecurityEvent(TokenFault::Claim),
        "`iat`, `jti` or `events` is missing, the event of a logout is not there, or `nonce` is.",
        "The issuer's software sends `iat`, `jti` and `events`, and no `nonce`. Otherwise an ID token that is sent as \
         a logout token.",
        "A logout token without `events`.",
    ),
    row(
        R::SecurityEvent(TokenFault::NoKeys),
        "The issuer's keys are unavailable, so nobody knows.",
        "Make the issuer's keys reachable: `trusted_issuers[].jwks`. The issuer tries again, or not. \
         `wicketgate_issuer_fetches_total` has the reason, the log the address.",
        "A logout token while the address of the issuer's keys does not answer.",
    ),
    row(
        R::SecurityEvent(TokenFault::Used),
        "The logout token was used before: what it ends has ended.",
        "Nothing: the issuer sends one twice, or it is a replay. Nothing that began since has ended.",
        "The same logout token twice.",
    ),
];
