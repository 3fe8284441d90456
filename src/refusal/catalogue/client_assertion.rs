//! Texts about refusals of clients' assertions.

use super::{Row, row};
use crate::refusal::{Refusal as R, TokenFault};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::ClientAssertion(TokenFault::TooLong),
        "The client's assertion has more than 64 KiB.",
        "The client sends an assertion of less than 64 KiB. Otherwise a hostile caller: look at `client_address`.",
        "A `client_assertion` of 100 KiB.",
    ),
    row(
        R::ClientAssertion(TokenFault::Malformed),
        "The client's assertion is not three parts, base64url and JSON, or has a member that is missing, repeated or \
         of the wrong type.",
        "Correct the client's library: the assertion is a signed JWT with each member once.",
        "`client_assertion=abc`.",
    ),
    row(
        R::ClientAssertion(TokenFault::HeaderNotAllowed),
        "The client's assertion has `crit`, `b64`, `zip` or `enc` in its header.",
        "Correct the client's library: the assertion is a plain signed JWT (JWS).",
        "An assertion with `crit` in its header.",
    ),
    row(
        R::ClientAssertion(TokenFault::Algorithm),
        "The `alg` of the client's assertion is not the key's.",
        "Add the client's algorithm to `clients[].algorithms`. Otherwise an attack.",
        "An assertion with `alg: HS256` signed with the public key.",
    ),
    row(
        R::ClientAssertion(TokenFault::Type),
        "The `typ` of the client's assertion is that of another kind of token, or `client_assertion_type` is not the \
         one for JWTs.",
        "Correct the client's library: `client_assertion_type` is \
         `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, and `typ` is `JWT` or absent.",
        "An assertion with `typ: at+jwt`.",
    ),
    row(
        R::ClientAssertion(TokenFault::Issuer),
        "The `iss` of the client's assertion is another client than `client_id`, or not configured.",
        "The client sets `iss` and `sub` to its id, and sends no other `client_id`.",
        "An assertion of client A with `client_id` B.",
    ),
    row(
        R::ClientAssertion(TokenFault::UnknownKey),
        "The `kid` of the client's assertion is none of its keys, or it has no `jwks`.",
        "Bring `clients[].jwks` up to date: was a key rotated?",
        "An assertion whose `kid` is not in `clients[].jwks`.",
    ),
    row(
        R::ClientAssertion(TokenFault::Signature),
        "The signature of the client's assertion is invalid.",
        "Bring `clients[].jwks` up to date: was a key replaced under the same `kid`? Otherwise an attack.",
        "An assertion of which one claim was changed after it was signed.",
    ),
    row(
        R::ClientAssertion(TokenFault::Expired),
        "The client's assertion has expired (`exp`).",
        "The client makes a new assertion for each token request; otherwise a clock is wrong.",
        "The assertion of yesterday.",
    ),
    row(
        R::ClientAssertion(TokenFault::NotYetValid),
        "`nbf` or `iat` of the client's assertion is in the future.",
        "Correct the clock of the client or of this machine; `issuer.clock_skew` is the tolerated difference.",
        "An assertion with `nbf` tomorrow.",
    ),
    row(
        R::ClientAssertion(TokenFault::Audience),
        "The `aud` of the client's assertion is not exactly `issuer.url` or the address of the token endpoint.",
        "The client sets `aud` to `issuer.url` or the address of the token endpoint, and to nothing else: an \
         assertion for several audiences could be replayed at the others.",
        "An assertion with `aud: [\"https://a.example.com\", \"https://b.example.com\"]`.",
    ),
    row(
        R::ClientAssertion(TokenFault::Subject),
        "The `sub` of the client's assertion is not the client.",
        "The client sets `iss` and `sub` to its id.",
        "An assertion with `sub: service-account`.",
    ),
    row(
        R::ClientAssertion(TokenFault::Lifetime),
        "The `exp` of the client's assertion is further away than `assertion_lifetime`.",
        "The client makes shorter assertions, or raise `clients[].assertion_lifetime`.",
        "An assertion with `exp` in a year.",
    ),
    row(
        R::ClientAssertion(TokenFault::Claim),
        "The client's assertion has no `jti`.",
        "The client writes a `jti` that is new each time.",
        "An assertion without `jti`.",
    ),
    row(
        R::ClientAssertion(TokenFault::NoKeys),
        "The client's keys are unavailable.",
        "Make the client's keys reachable: `clients[].jwks`. `wicketgate_issuer_fetches_total` has the reason, \
         the log the address.",
        "An assertion while the address of the client's keys does not answer.",
    ),
    row(
        R::ClientAssertion(TokenFault::Used),
        "The `jti` of the client's assertion was used before. Not counted as a failed attempt.",
        "The client makes a new assertion for each token request. Otherwise a replay. Also just after `state restore`.",
        "The same assertion in two token requests.",
    ),
    row(
        R::ClientAssertion(TokenFault::Binding),
        "The client's assertion has a `cnf`, which has no meaning there.",
        "The client omits `cnf`.",
        "An assertion with `cnf: {\"jkt\": \"...\"}`.",
    ),
];
