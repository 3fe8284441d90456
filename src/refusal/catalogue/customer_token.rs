//! Texts about refusals of customers' tokens.

use super::{Row, row};
use crate::refusal::{Refusal as R, TokenFault};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::CustomerToken(TokenFault::Missing),
        "The customer's token is missing.",
        "The customer logs in, or the caller passes the token on.",
        "A call with an access token and without `customer-auth` on a route with `require: [client, customer]`.",
    ),
    row(
        R::CustomerToken(TokenFault::TooLong),
        "The customer's token is longer than `limits.token` of the listener.",
        "The issuer writes all groups of a customer into it: let it write fewer, or raise `listen[].limits.token` and \
         `limits.head`.",
        "A token with 2,000 groups.",
    ),
    row(
        R::CustomerToken(TokenFault::Malformed),
        "The customer's token is not `scheme token`, three parts, base64url and JSON, or has a member that is \
         repeated or of the wrong type. Or it has no `exp`, or no `iat` where the issuer has `max_lifetime`; so too \
         in the issuer's answer about an opaque token.",
        "Where all tokens of an issuer are refused so, correct the issuer's settings; otherwise the caller sends a \
         JWT. Otherwise a hostile caller: look at `client` and `client_address`.",
        "`customer-auth: abc`.",
    ),
    row(
        R::CustomerToken(TokenFault::HeaderNotAllowed),
        "The customer's token has `crit`, `b64`, `zip` or `enc` in its header.",
        "The caller sends a plain signed JWT (JWS). Otherwise a hostile caller: look at `client` and `client_address`.",
        "A token with `crit` in its header.",
    ),
    row(
        R::CustomerToken(TokenFault::Algorithm),
        "The `alg` of the customer's token is not the key's.",
        "Add the issuer's algorithm to `trusted_issuers[].algorithms`. Otherwise an attack.",
        "A token with `alg: HS256` signed with the public key.",
    ),
    row(
        R::CustomerToken(TokenFault::Type),
        "The `typ` of the customer's token is that of another kind of token, or its claims are those of a logout or \
         refresh token (`events`; `typ` of Keycloak).",
        "The caller sends the customer's access token, not the client's token or a refresh token; for another `typ` \
         of the issuer: `trusted_issuers[].types`.",
        "The client's token in `customer-auth`.",
    ),
    row(
        R::CustomerToken(TokenFault::Issuer),
        "The `iss` of the customer's token is not trusted, or not among `routes[].issuers`.",
        "Add the issuer to `trusted_issuers`, and to `routes[].issuers` where the route lists them; otherwise a token \
         of another environment.",
        "A token of the test environment.",
    ),
    row(
        R::CustomerToken(TokenFault::UnknownKey),
        "The `kid` of the customer's token is not a key of this issuer.",
        "Keep an old key until its tokens have expired; for a trusted issuer bring its JWKS up to date.",
        "A token whose `kid` is not in `trusted_issuers[].jwks`.",
    ),
    row(
        R::CustomerToken(TokenFault::Signature),
        "The signature of the customer's token is invalid.",
        "Keep the key under its `kid` until its tokens have expired; for a trusted issuer bring its JWKS up to date. \
         Otherwise an attack.",
        "A token of which one claim was changed after it was signed.",
    ),
    row(
        R::CustomerToken(TokenFault::Expired),
        "The customer's token has expired (`exp`).",
        "The customer logs in again. At a high rate: raise `login.lifetime`, or a clock is wrong.",
        "A token of an hour, ten hours later.",
    ),
    row(
        R::CustomerToken(TokenFault::NotYetValid),
        "`nbf` or `iat` of the customer's token is in the future.",
        "Correct the clock of the issuer or of this machine; `clock_skew` of the issuer is the tolerated difference.",
        "A token with `nbf` tomorrow.",
    ),
    row(
        R::CustomerToken(TokenFault::Audience),
        "The `aud` of the customer's token is not this gateway, or not this listener.",
        "Add the audience to `trusted_issuers[].audiences`, if the token is meant for this API; otherwise it is for \
         another service or environment.",
        "A token for another API of the company.",
    ),
    row(
        R::CustomerToken(TokenFault::Subject),
        "The subject claim of the customer's token is missing, empty, longer than 256 bytes, or neither a text nor a \
         whole number of 64 bits.",
        "`trusted_issuers[].subject` names the claim with the customer's id.",
        "A token without `sub`.",
    ),
    row(
        R::CustomerToken(TokenFault::Revoked),
        "The customer's token was revoked, or its login has ended.",
        "Nothing after a logout: the customer logs in again. `wicketgate revoke list` shows the revocation.",
        "A token after its logout.",
    ),
    row(
        R::CustomerToken(TokenFault::Lifetime),
        "The customer's token was issued for longer than `max_lifetime`, or its `exp` is more than ten years ahead.",
        "Lower the lifetime at the issuer, or raise `trusted_issuers[].max_lifetime`. `exp` in milliseconds: the \
         issuer has to write seconds. Or the clock of this machine is years behind.",
        "A token of a week where `max_lifetime` is 1h.",
    ),
    row(
        R::CustomerToken(TokenFault::Claim),
        "A claim of the customer's token is missing or has another value than required.",
        "Correct `trusted_issuers[].claims`, or the issuer's settings.",
        "A token without the `tid` that `claims` asks for.",
    ),
    row(
        R::CustomerToken(TokenFault::Inactive),
        "The issuer says that the customer's token is not good (RFC 7662): it has expired, was revoked or was never \
         issued.",
        "Normal at a low rate: the customer logs in again. At a high rate a broken or hostile caller: look at \
         `client` and `client_address`.",
        "An opaque token that its issuer has revoked.",
    ),
    row(
        R::CustomerToken(TokenFault::Introspection),
        "The issuer of the customer's token cannot be asked whether it is good, or too many such questions wait.",
        "Make the issuer reachable: `trusted_issuers[].introspection`. `wicketgate_introspections_total` has the \
         reason, the log the address.",
        "An opaque token while its issuer does not answer.",
    ),
    row(
        R::CustomerToken(TokenFault::NoKeys),
        "The issuer's keys are unavailable.",
        "Make the issuer's keys reachable: `trusted_issuers[].jwks`. `wicketgate_issuer_fetches_total` has the \
         reason, the log the address.",
        "A token while the address of the issuer's keys does not answer.",
    ),
    row(
        R::CustomerToken(TokenFault::Binding),
        "The customer's token is bound to a key (`cnf`), and the caller has not proved possession of it: no or \
         another client certificate (`x5t#S256`), no or another DPoP proof with the `ath` of this token (`jkt`), or \
         an unsupported binding. Or it came by the scheme `DPoP` and is not bound.",
        "The caller proves the key: `x5t#S256` needs `listen[].tls.client_ca` or `client_self_signed`, `jkt` needs \
         `routes[].dpop`; otherwise the issuer omits `cnf`. A caller with the token but without the key has copied \
         it.",
        "A token with `cnf.jkt` and no DPoP proof.",
    ),
    row(
        R::CustomerToken(TokenFault::Account),
        "The account that logged in is gone, or has another password.",
        "Nothing after a change of `login.accounts.file`: the customer logs in again.",
        "A token of an account whose password was changed.",
    ),
    row(
        R::CustomerToken(TokenFault::Actor),
        "A client got the token for itself (token exchange), and another client presents it, or it came to the \
         logout. Token endpoint: somebody acts by the token already (`act`), or its issuer lets another one act \
         (`may_act`).",
        "A client presents the token that it got itself, and ends it by `/oauth/revoke`. A client with the token of \
         another has copied it.",
        "A token from a token exchange of client A, presented by client B.",
    ),
    row(
        R::CustomerToken(TokenFault::UnknownClient),
        "The client that acts by the customer's token (token exchange) is no longer configured.",
        "Add the client to `clients`, if it was not removed on purpose.",
        "A token from a token exchange after its client was removed from gateway.yaml.",
    ),
];
