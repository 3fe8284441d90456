//! Texts about refusals of the token endpoint and its neighbours.

use super::{Row, row};
use crate::refusal::Refusal as R;

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::ParameterMissing,
        "A parameter is missing.",
        "The caller sends the parameter that the message names.",
        "A token request without `grant_type`.",
    ),
    row(
        R::ParameterRepeated,
        "A parameter is repeated or contradictory.",
        "The caller sends the parameter that the message names once.",
        "`grant_type=...&grant_type=...`.",
    ),
    row(
        R::ParameterNotSupported,
        "Token exchange: `actor_token`, or a token type that is none of those for JWTs.",
        "The caller omits `actor_token`, and sends `subject_token_type` for a JWT.",
        "A token exchange with `subject_token_type=urn:ietf:params:oauth:token-type:saml2`.",
    ),
    row(
        R::SecretInQuery,
        "A secret in the query. It is not logged here, but proxies on the way may have logged it.",
        "The caller sends it in the body. Change the secret: proxies on the way may have logged it.",
        "`POST /oauth/token?client_secret=...`.",
    ),
    row(
        R::GrantType,
        "Token endpoint: an unsupported grant type.",
        "The caller uses a grant type that the message lists; the others need a section in gateway.yaml.",
        "`grant_type=password`.",
    ),
    row(
        R::UnknownClient,
        "Token endpoint, and routes with `client_from`: no such client, or no such secret in a header. Callers cannot \
         tell it from a wrong secret.",
        "Add the client to `clients` of this environment, or correct the caller's `client_id` or header secret.",
        "`client_id=partner-test` at the production gateway.",
    ),
    row(
        R::WrongClientSecret,
        "Token endpoint, and routes with `client_from`: wrong or expired secret of this client.",
        "Correct the secret at the caller; was it rotated? Two may be valid at once: `clients[].secrets`. `client` \
         and `client_address` show whose and where.",
        "A token request with the secret of last year.",
    ),
    row(
        R::ClientAuthentication,
        "Token endpoint: credentials by two methods at once, or of two clients.",
        "The caller uses Basic, the body or an assertion, and one of them.",
        "`Authorization: Basic` together with `client_secret` in the body.",
    ),
    row(
        R::ClientAuthenticationMissing,
        "Token endpoint: no credentials, or an id without a secret or the other way round. An id alone suffices only \
         beside a refresh token.",
        "The caller sends `client_id` and `client_secret`, Basic or an assertion. A client that is not set up, an \
         empty secret, or a scanner.",
        "A token request with a `client_id` and no secret.",
    ),
    row(
        R::ClientAuthenticationMalformed,
        "Token endpoint, and routes with `client_from`: an `Authorization` other than Basic with an id and a secret, \
         such as `Bearer`.",
        "The caller uses Basic with an id and a secret, the body, or an assertion.",
        "A token request with `Authorization: Bearer ...`.",
    ),
    row(
        R::UnauthorizedClient,
        "The client may not use this endpoint, or this grant type.",
        "Allow it: `clients[].introspect`, `clients[].revoke`, `clients[].grant_types`.",
        "A client without `introspect: true` at the introspection endpoint.",
    ),
    row(
        R::ScopeNotAllowed,
        "Token endpoint: a scope that the client does not have; any scope, with `grant_type=refresh_token` of a \
         client without `redirect_uris`.",
        "Add it to `clients[].scopes`, or the client requests only those that the message lists.",
        "`scope=admin` of a client with `scopes: [orders.read]`.",
    ),
    row(
        R::ResourceNotAllowed,
        "Token endpoint: a `resource` or `audience` for which the client may not get a token, or several.",
        "Add it to `clients[].audiences`, or the client requests one resource that it has.",
        "`resource=https://other.example.com` of a client without it.",
    ),
    row(
        R::TokenRate,
        "Token endpoint: too many wrong secrets of this client, from many addresses, and this process has not \
         verified the right one.",
        "Wait, or raise `access_token.limits`: somebody guesses from very many addresses.",
        "A hundred wrong secrets of one client from a hundred addresses.",
    ),
    row(
        R::TokenLocked,
        "Token endpoint: lockout after too many wrong secrets, for this client from this address or from this address \
         at all; or too many invalid assertions or refresh tokens.",
        "Correct the secret at the client, then wait, or `wicketgate attempts clear client ID`; the delays are \
         `access_token.attempts`. Otherwise an attack.",
        "The sixth wrong secret in a row from one address.",
    ),
    row(
        R::RefreshToken,
        "The refresh token does not exist, or its login has ended; or its account is not in force here, and it \
         becomes valid again once it is.",
        "Nothing after a logout: the customer logs in again. Many at once: more logins than `login.max_per_customer`.",
        "A refresh token after its logout.",
    ),
    row(
        R::RefreshTokenReused,
        "The refresh token was used longer ago than `login.refresh.grace`; its login has been ended.",
        "The app keeps the newest refresh token; `login.refresh.grace` tolerates a lost answer. Otherwise somebody \
         has a copy: look at `customer`.",
        "A refresh token of last week, after it was exchanged.",
    ),
    row(
        R::AuthorizationCode,
        "The authorization code has expired (60 s), is of another client or `redirect_uri`, or its login has been \
         revoked.",
        "The client redeems the code within 60 s, with the `redirect_uri` of its authorization request. Many at once: \
         the clocks of the replicas.",
        "A code that is redeemed with another `redirect_uri`.",
    ),
    row(
        R::AuthorizationCodeReused,
        "The authorization code was used before; the login that it gave has been ended.",
        "The client sends each code once. Otherwise somebody has a copy: look at `client` and `customer`.",
        "The same code in two token requests.",
    ),
    row(
        R::CodeVerifier,
        "`code_verifier` is missing, wrong, or there without a `code_challenge` before (PKCE).",
        "Correct the client's library: `code_verifier` belongs to the `code_challenge` of the same login (PKCE). \
         Otherwise a stolen code.",
        "A code with the `code_verifier` of another login.",
    ),
];
