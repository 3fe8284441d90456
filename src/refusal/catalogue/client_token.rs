//! Texts about refusals of access tokens of clients.

use super::{Row, row};
use crate::refusal::{Refusal as R, TokenFault};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::ClientToken(TokenFault::Missing),
        "The client's access token is missing.",
        "The caller sends `Authorization: Bearer` with its access token.",
        "A call with an API key alone on a route with `require: [client]`.",
    ),
    row(
        R::ClientToken(TokenFault::TooLong),
        "The client's access token is longer than `limits.token` of the listener.",
        "The caller sends its access token and nothing else; raise `listen[].limits.token` if its issuer writes \
         longer ones. Otherwise a hostile caller: look at `client` and `client_address`.",
        "`Authorization: Bearer` with 20 KiB behind it.",
    ),
    row(
        R::ClientToken(TokenFault::Malformed),
        "The client's access token is not `scheme token`, three parts, base64url and JSON, or has a member that is \
         repeated or of the wrong type. Or it has no `exp`, or no `iat` where the issuer has `max_lifetime`; so too \
         in the issuer's answer about an opaque token.",
        "Where all tokens of an issuer are refused so, correct the issuer's settings; otherwise the caller sends a \
         JWT. Otherwise a hostile caller: look at `client` and `client_address`.",
        "`Authorization: Bearer abc`.",
    ),
    row(
        R::ClientToken(TokenFault::HeaderNotAllowed),
        "The client's access token has `crit`, `b64`, `zip` or `enc` in its header.",
        "The caller sends a plain signed JWT (JWS). Otherwise a hostile caller: look at `client` and `client_address`.",
        "A token with `crit` in its header.",
    ),
    row(
        R::ClientToken(TokenFault::Algorithm),
        "The `alg` of the client's access token is not the key's.",
        "The token has the `alg` of the key that its `kid` names. Otherwise a hostile caller: look at `client` and \
         `client_address`.",
        "A token with `alg: HS256` signed with the public key.",
    ),
    row(
        R::ClientToken(TokenFault::Type),
        "The `typ` of the client's access token is that of another kind of token, or a trusted issuer's token does \
         not meet `trusted_issuers[].client.claims`: it is a customer's.",
        "The caller sends the client's token in `Authorization`, and the customer's in `customer-auth`; for system \
         tokens correct `trusted_issuers[].client.claims`.",
        "The customer's token in `Authorization`.",
    ),
    row(
        R::ClientToken(TokenFault::Issuer),
        "The `iss` of the client's access token is not trusted, or not among `routes[].issuers`.",
        "The client requests its token of this environment; was `issuer.url` changed? Add the issuer to \
         `trusted_issuers`, or to `routes[].issuers`.",
        "A token of the test environment.",
    ),
    row(
        R::ClientToken(TokenFault::UnknownKey),
        "The `kid` of the client's access token is not a key of this issuer.",
        "Keep an old key in `issuer.signing_keys` until its tokens have expired; otherwise the client requests a new token.",
        "A token that was signed before the key was removed.",
    ),
    row(
        R::ClientToken(TokenFault::Signature),
        "The signature of the client's access token is invalid.",
        "Keep the key under its `kid` in `issuer.signing_keys` until its tokens have expired. Otherwise an attack.",
        "A token of which one claim was changed after it was signed.",
    ),
    row(
        R::ClientToken(TokenFault::Expired),
        "The client's access token has expired (`exp`).",
        "The client requests a new token when the old one ends. At a high rate: it does not renew, or a clock is \
         wrong.",
        "A token of an hour, ten hours later.",
    ),
    row(
        R::ClientToken(TokenFault::NotYetValid),
        "`nbf` or `iat` of the client's access token is in the future.",
        "Correct the clock of the issuer or of this machine; `issuer.clock_skew` is the tolerated difference.",
        "A token with `nbf` tomorrow.",
    ),
    row(
        R::ClientToken(TokenFault::Audience),
        "The `aud` of the client's access token is not this gateway, or not this route.",
        "The client requests a token for this gateway, or by `resource` for the route (`routes[].audience`). Was \
         `issuer.audience` changed?",
        "A token for another API of the company.",
    ),
    row(
        R::ClientToken(TokenFault::Subject),
        "The subject claim of the client's access token, or of a system token the claim of \
         `trusted_issuers[].client.id`, is missing, empty, or neither a text nor a whole number.",
        "`trusted_issuers[].client.id` names the claim with the client's id. Otherwise a hostile caller: look at \
         `client` and `client_address`.",
        "A system token without the claim of `client.id`.",
    ),
    row(
        R::ClientToken(TokenFault::Lifetime),
        "A system token of a trusted issuer was issued for longer than `trusted_issuers[].max_lifetime`.",
        "Lower the lifetime at the issuer, or raise `trusted_issuers[].max_lifetime`.",
        "A system token of a week where `max_lifetime` is 1h.",
    ),
    row(
        R::ClientToken(TokenFault::Claim),
        "A claim of a system token is missing or is not as `trusted_issuers[].claims` says.",
        "Correct `trusted_issuers[].claims`: they are required of customers' and of system tokens.",
        "A system token without the `tid` that `claims` asks for.",
    ),
    row(
        R::ClientToken(TokenFault::NoKeys),
        "The keys of the issuer of a system token are unavailable.",
        "Make the issuer's keys reachable: `trusted_issuers[].jwks`. `wicketgate_issuer_fetches_total` has the \
         reason, the log the address.",
        "A system token while the address of the issuer's keys does not answer.",
    ),
    row(
        R::ClientToken(TokenFault::Binding),
        "The `cnf` of a system token has no key, several, or another binding than `jkt` and `x5t#S256`; or its client \
         has `certificate_bound_tokens`, and it is bound to no certificate.",
        "The issuer writes one `cnf` with `jkt` or `x5t#S256`; a client with `certificate_bound_tokens` requests its \
         token with its certificate.",
        "A system token with `cnf: {\"kid\": \"1\"}`.",
    ),
    row(
        R::ClientToken(TokenFault::UnknownClient),
        "The client of the access token is no longer configured.",
        "Add the client to `clients`, if it was not removed on purpose.",
        "The token of a client after it was removed from gateway.yaml.",
    ),
    row(
        R::ClientToken(TokenFault::Inactive),
        "The issuer says that a system token is not good (RFC 7662): it has expired, was revoked or was never issued.",
        "Normal at a low rate: the client requests a new token. At a high rate a broken or hostile caller: look at \
         `client` and `client_address`.",
        "An opaque system token that its issuer has revoked.",
    ),
    row(
        R::ClientToken(TokenFault::Introspection),
        "The issuer of a system token cannot be asked whether it is good, or too many such questions wait.",
        "Make the issuer reachable: `trusted_issuers[].introspection`. `wicketgate_introspections_total` has the \
         reason, the log the address.",
        "An opaque system token while its issuer does not answer.",
    ),
    row(
        R::ClientToken(TokenFault::Revoked),
        "The client's access token was revoked.",
        "The client requests a new token. `wicketgate revoke list` shows the revocation.",
        "A call after `wicketgate revoke client ID`.",
    ),
];
