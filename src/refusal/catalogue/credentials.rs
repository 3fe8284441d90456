//! Texts about refusals of credentials: certificates, API keys, sessions, scopes.

use super::{Row, row};
use crate::refusal::{ApiKeyFault, Refusal as R, SessionFault};

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::NoCredential,
        "No credential at all, on a route that requires `client` or `customer`.",
        "The caller sends the credentials that the route's `require` asks for. Otherwise a scanner.",
        "A call without any header on a route with `require: [client]`.",
    ),
    row(
        R::CredentialRepeated,
        "A credential header or cookie is sent twice.",
        "The caller, or the proxy in front that adds one, sends each credential once.",
        "Two `Authorization` lines.",
    ),
    row(
        R::CredentialConflict,
        "Two different customer tokens, or two credentials of a client on a route with `client_from`.",
        "The caller sends one credential: the header or the cookie; `Authorization` or the secret in a header.",
        "`customer-auth` of customer A together with a session cookie of customer B.",
    ),
    row(
        R::ClientCertificate,
        "The certificate of the connection is no longer valid: it has expired or was revoked, or CAs, CRLs or names \
         were changed.",
        "Have the client present a certificate that `listen[].tls.client_ca`, `client_crl` and `client_names` accept; \
         `wicketgate_client_certificates_refused_total` has the reason. Many at once: has a CRL of `client_crl` \
         expired?",
        "A connection that stays open while a reload brings a CRL with its certificate.",
    ),
    row(
        R::OtherCertificate,
        "A client's token on a connection without the client's certificate.",
        "Correct `clients[].certificate`; if that is right, somebody else has the client's token.",
        "A partner's token from a connection without the certificate that `clients[].certificate` names.",
    ),
    row(
        R::TokenCertificate,
        "The client's access token is bound to another certificate than that of the connection.",
        "The client has a new certificate and requests a new token with it; otherwise somebody else has its token.",
        "A token with `cnf.x5t#S256` on a connection with another client certificate.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Missing),
        "No `api-key`.",
        "The caller sends its key in `api-key`.",
        "A call with an access token and without `api-key`.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Unknown),
        "No configured key has this digest.",
        "Compare the digest of the caller's key with `api_keys[].sha256`; was it rotated?",
        "`api-key: abc` that no entry of `api_keys` has.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Route),
        "The key is not valid for this route.",
        "Add the route to `api_keys[].routes`, if the key is meant for it.",
        "A key with `routes: [orders]` on the route `accounts`.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Client),
        "The key belongs to another client than the access token.",
        "The caller uses key and token of the same environment; otherwise `api_keys[].client` is wrong.",
        "The key of client A with the access token of client B.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Revoked),
        "The key was revoked.",
        "Give the caller a new key: `wicketgate new api-key`. `wicketgate revoke list` shows the revocation.",
        "A call after `wicketgate revoke api-key ID`.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Expired),
        "The key has expired: `expires`, or `until` behind its digest.",
        "Give the caller the new one: `wicketgate rotate api-key`. Or move `api_keys[].expires`.",
        "A key with `expires: 2024-01-01T00:00:00Z`.",
    ),
    row(
        R::ApiKey(ApiKeyFault::Address),
        "The key may not be used from this address.",
        "Add the network to `api_keys[].allow`, if it is the caller's; otherwise somebody else has the key.",
        "A key with `allow: [10.0.0.0/8]` from 192.0.2.7.",
    ),
    row(
        R::Session(SessionFault::Forged),
        "The session cookie is not one of this gateway: its form or its signature is wrong.",
        "Keep the old key in `login.cookie.keys` until its sessions have ended. Otherwise an attack.",
        "A session cookie with one changed character.",
    ),
    row(
        R::Session(SessionFault::Unknown),
        "The session does not exist or has been ended.",
        "Nothing after a logout: the customer logs in again. Many at once: `wicketgate revoke list`, or the state was \
         lost.",
        "The cookie of a session after its logout.",
    ),
    row(
        R::Session(SessionFault::Expired),
        "The session was idle for too long, or is too old.",
        "Nothing: the customer logs in again. Earlier than it should: `login.cookie.idle`, `login.lifetime`.",
        "The cookie of a session that was idle for longer than `login.cookie.idle`.",
    ),
    row(
        R::Session(SessionFault::Account),
        "The account that logged in is gone, or has another password.",
        "Nothing after a change of `login.accounts.file`: the customer logs in again.",
        "A session of an account that was removed from `login.accounts.file`.",
    ),
    row(
        R::Scope,
        "The client's token lacks a scope of the route.",
        "Add the scope to `clients[].scopes`; the client then needs a new token. Or remove it from `routes[].scopes`.",
        "A token with `orders.read` on a route with `scopes: [orders.write]`.",
    ),
    row(
        R::CrossSite,
        "The customer is identified by a cookie alone, and nothing proves that the call comes from the company's own \
         site.",
        "The page sends the field `login.cookie.csrf_header`, or add its origin to `login.cookie.origins`. Otherwise \
         an attack (CSRF).",
        "A form on another site that posts with the customer's cookie.",
    ),
];
