//! Texts about refusals of DPoP proofs, and of too many of them.

use super::{Row, row};
use crate::refusal::{DpopFault, Refusal as R};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::Dpop(DpopFault::Missing),
        "A key-bound token came without a DPoP proof.",
        "The caller sends a DPoP proof with each call.",
        "`Authorization: DPoP ...` without a field `DPoP`.",
    ),
    row(
        R::Dpop(DpopFault::Malformed),
        "The DPoP proof: two of them, or one that is not a JWT with a public key and the claims `jti`, `htm`, `htu` \
         and `iat`.",
        "The caller sends one proof, a JWT with its public key in the header and the claims `jti`, `htm`, `htu` and \
         `iat`. Otherwise a hostile caller.",
        "`DPoP: abc`.",
    ),
    row(
        R::Dpop(DpopFault::Type),
        "The DPoP proof: `typ` is not `dpop+jwt`.",
        "The caller sets `typ` to `dpop+jwt`.",
        "A proof with `typ: JWT`.",
    ),
    row(
        R::Dpop(DpopFault::Algorithm),
        "The DPoP proof: `alg` is none of ES256, ES384, EdDSA, PS256, RS256.",
        "The caller uses a key for ES256, ES384, EdDSA, PS256 or RS256.",
        "A proof with `alg: HS256`.",
    ),
    row(
        R::Dpop(DpopFault::Signature),
        "The DPoP proof: its signature does not match the key in it.",
        "Correct the caller's library. Otherwise a hostile caller.",
        "A proof of which one claim was changed after it was signed.",
    ),
    row(
        R::Dpop(DpopFault::Method),
        "The DPoP proof is for another method.",
        "The caller makes a proof for each request: `htm` is its method.",
        "The proof of a GET with a POST.",
    ),
    row(
        R::Dpop(DpopFault::Target),
        "The DPoP proof is for another URL.",
        "The caller makes a proof for each request: `htu` is its public URL. A proxy in front must keep the `Host`.",
        "The proof of /orders with a call of /accounts.",
    ),
    row(
        R::Dpop(DpopFault::Time),
        "The DPoP proof is older than 60 s, or dated in the future, beyond `issuer.clock_skew`.",
        "Correct the clock of the caller or of this machine; `issuer.clock_skew` is the tolerated difference.",
        "A proof that was made ten minutes ago.",
    ),
    row(
        R::Dpop(DpopFault::Token),
        "The DPoP proof is for another token (`ath`).",
        "The caller makes `ath` of the access token that it sends. Otherwise an attack.",
        "The proof for token A with token B.",
    ),
    row(
        R::Dpop(DpopFault::Key),
        "The key of the DPoP proof is not the one that the token is bound to.",
        "The client requests a new token after a change of its key. Otherwise somebody has the token and not the key.",
        "A stolen token with a proof by the thief's own key.",
    ),
    row(
        R::Dpop(DpopFault::Used),
        "The DPoP proof was used before.",
        "The caller makes a new proof for each request. Otherwise a replay. Also in the minute after `state restore`.",
        "The same proof with two requests.",
    ),
    row(
        R::Dpop(DpopFault::Scheme),
        "A key-bound token came as `Bearer`.",
        "The caller sends `Authorization: DPoP`.",
        "A token with `cnf.jkt` as `Authorization: Bearer`.",
    ),
    row(
        R::Dpop(DpopFault::Unbound),
        "A token without a key binding came as `DPoP`, or on a route with `dpop: required`.",
        "The client requests its token with a DPoP proof, or the route does without: `routes[].dpop`.",
        "A plain access token on a route with `dpop: required`.",
    ),
    row(
        R::ReplayShare,
        "The client has as many unexpired assertions and DPoP proofs as are left for all others together: half of \
         `state.embedded.max_replay_ids` where nobody else has any. Others are unaffected.",
        "The client keeps its access token instead of making a long-lived assertion for each call. Otherwise lower \
         `clients[].assertion_lifetime` or raise `state.embedded.max_replay_ids`.",
        "A client that makes an assertion of an hour for each of its calls.",
    ),
];
