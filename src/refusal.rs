//! Refusals: the closed set of reasons why a request is refused.
//!
//! The same word stands in the access log, the metric label, explanations and docs/refusals.md, which is generated from
//! this set (`words`) and its texts (`catalogue`). The caller sees only the code
//! of the word's row (`gateway::error`), which several words share where telling them apart would
//! help an attacker.

mod catalogue;
mod words;

/// Faults of a signed token (RFC 7519, RFC 8725).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// No token.
    Missing,
    /// Longer than any honest token.
    TooLong,
    /// Not `scheme token`, not three parts, not base64url, not JSON, or with a duplicate member or one of the wrong
    /// type.
    Malformed,
    /// `crit`, `b64`, `zip` or `enc` in the header (RFC 7515 section 4.1.11, RFC 7797, RFC 7516 section 4.1).
    HeaderNotAllowed,
    /// `alg` is not the key's (RFC 8725 section 3.1).
    Algorithm,
    /// `typ` is of another kind of token (RFC 8725 section 3.11).
    Type,
    /// `iss` is no trusted issuer.
    Issuer,
    /// `kid` names no key of this issuer, and none without a name has made the signature.
    UnknownKey,
    /// The signature does not verify with this key.
    Signature,
    /// Expired: `exp` has passed.
    Expired,
    /// Not yet valid: `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `aud` does not name this gateway.
    Audience,
    /// The subject claim is missing, empty, not a string or not usable.
    Subject,
    /// Its client is no longer configured.
    UnknownClient,
    /// Revoked, or its login has ended.
    Revoked,
    /// Its lifetime is longer than allowed.
    Lifetime,
    /// A claim is missing or has an unexpected value.
    Claim,
    /// The issuer's keys are unavailable, so the token cannot be verified.
    NoKeys,
    /// Replay: a one-time token that was used before.
    Used,
    /// Bound to a key (`cnf`, RFC 7800 section 3.1) of which the caller has shown no possession.
    Binding,
    /// Its account is gone, or has another password.
    Account,
    /// A client acts by it for the customer, and another one presents it; or nobody may act, or somebody does already
    /// (RFC 8693).
    Actor,
    /// Its issuer says that it is not good: it has expired, was revoked or was never issued (RFC 7662).
    Inactive,
    /// Its issuer cannot be asked, so nobody knows whether it is good.
    Introspection,
}

/// Faults of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiKeyFault {
    /// No API key.
    Missing,
    /// No configured key has this digest.
    Unknown,
    /// The key does not open this route.
    Route,
    /// The key belongs to another client than the access token.
    Client,
    /// Revoked.
    Revoked,
    /// Expired.
    Expired,
    /// Not allowed from this address.
    Address,
}

/// Faults of a session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionFault {
    /// Not a cookie of this gateway: malformed or wrongly signed.
    Forged,
    /// No such session, or it has ended.
    Unknown,
    /// Idle for too long, or too old.
    Expired,
    /// The account is gone, or has another password.
    Account,
}

/// Faults of a DPoP proof (RFC 9449 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DpopFault {
    /// No proof.
    Missing,
    /// Two proofs, or no JWT with a public key in its header and all required claims.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is not accepted.
    Algorithm,
    /// The signature does not verify with the key in the header.
    Signature,
    /// `htm` is not the method of the request.
    Method,
    /// `htu` is not the URL of the request.
    Target,
    /// `iat` is too old, or lies in the future.
    Time,
    /// `ath` is not the hash of the access token.
    Token,
    /// The key is not the one that the access token is bound to.
    Key,
    /// Replay: the proof was used before.
    Used,
    /// A key-bound access token came as `Bearer`.
    Scheme,
    /// An access token without key binding came as `DPoP`, or on a route that requires binding.
    Unbound,
}

/// Reasons why a request, a login or a token request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The caller's address is not in `listen[].allow`.
    AddressNotAllowed,
    /// The client certificate of the connection is no longer valid.
    ClientCertificate,
    /// The client's token came without the client's certificate.
    OtherCertificate,
    /// The client's token is bound to another certificate than that of the connection.
    TokenCertificate,
    /// DPoP proof.
    Dpop(DpopFault),
    /// The connection was opened for another host (421).
    Misdirected,
    /// The requested host is not in `listen[].hosts` (421).
    HostNotServed,
    /// Not HTTP, or HTTP with two readings (request smuggling).
    MalformedRequest,
    /// `Host` is missing, duplicate or malformed.
    Host,
    /// A trusted proxy's forwarding headers are missing or ambiguous.
    ForwardedFor,
    /// A request with secrets came over plain HTTP.
    PlainHttp,
    /// A path with more than one reading.
    AmbiguousPath,
    /// A header field or query parameter that chooses the route has more than one reading.
    AmbiguousRoute,
    /// The framing of the request body broke.
    MalformedBody,
    /// The request body did not arrive in time.
    BodyTimeout,
    /// The request head exceeds the limit.
    HeadTooLarge,
    /// The request target exceeds the limit.
    TargetTooLong,
    /// The request body exceeds the limit.
    BodyTooLarge,
    /// `Expect` other than 100-continue.
    Expectation,
    /// Malformed WebSocket handshake.
    WebsocketHandshake,
    /// WebSocket version other than 13.
    WebsocketVersion,
    /// The caller holds its share of WebSockets.
    WebsocketShare,
    /// The caller holds its share of unfinished uploads.
    UploadShare,
    /// The client, or the issuer of these proofs, has used its share of remembered ids (replay protection).
    ReplayShare,
    /// CONNECT over HTTP/2 that is no WebSocket, or where WebSockets are off.
    ConnectNotAllowed,
    /// No route matches host and path.
    NoRoute,
    /// The route does not allow this method.
    Method,
    /// A duplicate credential header or cookie.
    CredentialRepeated,
    /// Two different customer tokens, or two credentials of a client.
    CredentialConflict,
    /// No credential.
    NoCredential,
    /// API key.
    ApiKey(ApiKeyFault),
    /// Access token of the client.
    ClientToken(TokenFault),
    /// Customer token.
    CustomerToken(TokenFault),
    /// Session cookie.
    Session(SessionFault),
    /// The client's token lacks a scope of the route.
    Scope,
    /// CSRF: a cookie authenticates the customer, and nothing shows that the request comes from the company's own site.
    CrossSite,
    /// The request names another customer than the token.
    IdentifierMismatch,
    /// Forward auth: the original request is missing or ambiguous.
    BadForwardedRequest,
    /// Forward auth: only the body of the original request could decide.
    NeedsBody,
    /// The content type is not accepted on this path.
    ContentType,
    /// The body is not a JSON object, or has a duplicate member.
    Json,
    /// The request does not fit the description of the API (`routes[].validate`).
    Schema,
    /// Rate limit.
    RateLimited,
    /// The quota of the API key is used up.
    Quota,
    /// Login: no such user.
    LoginUnknownUser,
    /// Login: wrong password.
    LoginWrongPassword,
    /// Login: this name was tried too often (rate limit).
    LoginRate,
    /// Login: lockout of this name from this network, or of this network.
    LoginLocked,
    /// A parameter is missing.
    ParameterMissing,
    /// A parameter is duplicate or contradictory.
    ParameterRepeated,
    /// Token endpoint: a parameter that is not supported, or not with this value.
    ParameterNotSupported,
    /// A secret in the query.
    SecretInQuery,
    /// Token endpoint: unsupported grant type.
    GrantType,
    /// Token endpoint: no such client.
    UnknownClient,
    /// Token endpoint: wrong client secret.
    WrongClientSecret,
    /// Token endpoint: client assertion.
    ClientAssertion(TokenFault),
    /// Logout token or security event of an issuer.
    SecurityEvent(TokenFault),
    /// Token endpoint: credentials by two methods at once, or of two clients.
    ClientAuthentication,
    /// The client may not use this endpoint, or this grant type.
    UnauthorizedClient,
    /// Token endpoint: credentials are missing or incomplete.
    ClientAuthenticationMissing,
    /// Token endpoint: `Authorization` is not Basic with an id and a secret.
    ClientAuthenticationMalformed,
    /// Token endpoint: a scope that the client does not have.
    ScopeNotAllowed,
    /// Token endpoint: a resource that the client may not have a token for, or several.
    ResourceNotAllowed,
    /// Token endpoint: this client id was tried too often (rate limit).
    TokenRate,
    /// Token endpoint: lockout of this client from this network, or of this network.
    TokenLocked,
    /// Token endpoint: no such refresh token, or its login has ended.
    RefreshToken,
    /// Token endpoint: replay of a refresh token; its login has been ended.
    RefreshTokenReused,
    /// Login page: no authorization request of a client, or not as the client may send it.
    AuthorizationRequest,
    /// Login page: the form is too old, not of this gateway, or another browser's (CSRF).
    LoginForm,
    /// Token endpoint: no such authorization code, or not this client's, or its login has ended.
    AuthorizationCode,
    /// Token endpoint: replay of an authorization code; the login that it gave has been ended.
    AuthorizationCodeReused,
    /// Token endpoint: `code_verifier` is missing, or is not that of the authorization code (PKCE).
    CodeVerifier,
    /// The company's login service did not answer, or not as it should.
    LoginBackend,
    /// Too many password hashes are waiting.
    HashQueue,
    /// The state store is unavailable.
    StateUnavailable,
    /// No connection to the backend.
    BackendConnect,
    /// The backend's response ended early or is not HTTP.
    BackendResponse,
    /// The rules of the route cannot be applied to the backend's response: it is not JSON, or has a content encoding.
    ResponseNotJson,
    /// The backend's response is too large for the rules of the route.
    ResponseTooLarge,
    /// The backend refused the gateway's own credential.
    BackendCredential,
    /// The OAuth server gave no access token for the backend.
    BackendToken,
    /// The backend timed out.
    BackendTimeout,
    /// The backend's concurrency limit is reached.
    BackendOverload,
    /// The backend is unavailable: its circuit breaker is open, or no server is healthy.
    BackendUnavailable,
    /// The gateway is short of memory.
    Memory,
    /// The temporary file of a buffered request body cannot be written or read.
    RequestBuffer,
    /// Internal error of the gateway.
    Internal,
}

impl Refusal {
    /// Returns whether the client of a refused request only claims to be it: its proof is what was refused.
    pub fn is_of_unproved_client(self) -> bool {
        matches!(
            self,
            Self::UnknownClient
                | Self::WrongClientSecret
                | Self::ClientAssertion(_)
                | Self::ClientCertificate
                | Self::OtherCertificate
                | Self::ClientAuthentication
                | Self::ClientAuthenticationMissing
                | Self::ClientAuthenticationMalformed
                | Self::TokenRate
                | Self::TokenLocked
                | Self::HashQueue
                | Self::AuthorizationRequest
                | Self::LoginForm
                | Self::LoginUnknownUser
                | Self::LoginWrongPassword
                | Self::LoginRate
                | Self::LoginLocked
                | Self::LoginBackend
        )
    }
}

#[cfg(test)]
mod tests;
