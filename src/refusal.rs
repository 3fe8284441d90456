//! Why a request is refused: one closed set of words.
//!
//! The same word stands in the access log, in the metric label and in the documentation. The caller sees only
//! the code of the word's row (`gateway::error`), which several words share where telling them apart would
//! teach an attacker.

/// What is wrong with a signed token (RFC 7519, RFC 8725).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// More bytes than any honest token has.
    TooLong,
    /// Not `scheme token`, not three parts, not base64url, not JSON, a member twice or of the wrong type.
    Malformed,
    /// `crit`, `jku`, `jwk`, `x5u` or `x5c` in the header (RFC 7515 section 4.1).
    HeaderNotAllowed,
    /// `alg` is not the key's (RFC 8725 section 3.1).
    Algorithm,
    /// `typ` is that of another kind of token (RFC 8725 section 3.11).
    Type,
    /// `iss` is nobody we trust.
    Issuer,
    /// `kid` names no key of this issuer.
    UnknownKey,
    /// The signature is not this key's over these bytes.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` lies in the future.
    NotYetValid,
    /// `aud` does not name us.
    Audience,
    /// The subject claim is missing, empty, not a string or not usable as one.
    Subject,
    /// The client that it was given to is no longer configured.
    UnknownClient,
    /// It was revoked, or its login ended.
    Revoked,
    /// It was issued for longer than is allowed.
    Lifetime,
    /// A claim is missing, or does not say what it must.
    Claim,
    /// The keys of its issuer cannot be had: nobody knows whether it is good.
    NoKeys,
    /// It is good once, and was used before.
    Used,
    /// It is bound to a key (`cnf`, RFC 7800 section 3.1), and the caller has not shown that it has this key.
    Binding,
    /// The account that it was given to is gone, or has another password.
    Account,
}

/// What is wrong with an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApiKeyFault {
    /// There is none.
    Missing,
    /// No configured key has this digest.
    Unknown,
    /// It does not open this route.
    Route,
    /// It belongs to another client than the access token.
    Client,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
    /// It may not be used from this address.
    Address,
}

/// What is wrong with a session cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionFault {
    /// Not a cookie of ours: its form or its signature is wrong.
    Forged,
    /// No such session, or it has been ended.
    Unknown,
    /// It was idle for too long, or is too old.
    Expired,
    /// Its account is gone, or has another password.
    Account,
}

/// What is wrong with a proof of possession (DPoP, RFC 9449 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DpopFault {
    /// There is none.
    Missing,
    /// Two of them, or one that is no JWT with a public key in its header and all claims that it needs.
    Malformed,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// `alg` is none of those that are taken.
    Algorithm,
    /// The signature is not that of the key in it.
    Signature,
    /// `htm` is another method.
    Method,
    /// `htu` is another address.
    Target,
    /// `iat` is too old, or lies in the future.
    Time,
    /// `ath` is not the hash of the access token.
    Token,
    /// Its key is not the one that the access token is bound to.
    Key,
    /// It was used before.
    Used,
    /// The access token is bound to a key, and came by `Bearer`.
    Scheme,
    /// The access token is bound to no key, and came by `DPoP` or on a route that wants one that is.
    Unbound,
}

/// Why a request was not answered by its backend, or a login or token request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The caller's address is not in `listen[].allow`.
    AddressNotAllowed,
    /// The certificate of the connection is no longer good.
    ClientCertificate,
    /// The client's token came without the client's certificate.
    OtherCertificate,
    /// The client's token is bound to another certificate than that of the connection.
    TokenCertificate,
    /// The proof of possession.
    Dpop(DpopFault),
    /// A connection was opened for one host, and another is asked on it.
    Misdirected,
    /// Bytes that are not HTTP, or HTTP that can be read in two ways.
    MalformedRequest,
    /// No `Host`, two of them, or one that is not a host.
    Host,
    /// A trusted proxy does not say clearly for whom it speaks.
    ForwardedFor,
    /// Something that must not be readable on the way came by plain http.
    PlainHttp,
    /// A path with more than one reading.
    AmbiguousPath,
    /// The framing of the request body broke.
    MalformedBody,
    /// The caller did not send its request body in time.
    BodyTimeout,
    /// A request head above the limit.
    HeadTooLarge,
    /// A request target above the limit.
    TargetTooLong,
    /// A request body above the limit.
    BodyTooLarge,
    /// An `Expect` other than 100-continue.
    Expectation,
    /// A WebSocket handshake that is not one.
    WebsocketHandshake,
    /// A WebSocket of another version than 13.
    WebsocketVersion,
    /// The caller holds as many WebSockets as one caller may.
    WebsocketShare,
    /// As many uploads of the caller are still coming as may be of one caller.
    UploadShare,
    /// The client, or whoever makes these proofs, has as many unexpired ones as are left for all others.
    ReplayShare,
    /// A CONNECT over HTTP/2 for anything but a WebSocket, or where there are none.
    ConnectNotAllowed,
    /// No route has this host and path.
    NoRoute,
    /// The route does not list this method.
    Method,
    /// A credential header or cookie stands there twice.
    CredentialRepeated,
    /// Two different customer tokens.
    CredentialConflict,
    /// No credential at all.
    NoCredential,
    /// The API key.
    ApiKey(ApiKeyFault),
    /// The client's access token.
    ClientToken(TokenFault),
    /// The customer's token.
    CustomerToken(TokenFault),
    /// The customer's session cookie.
    Session(SessionFault),
    /// The client's token lacks a scope of the route.
    Scope,
    /// A cookie speaks for the customer, and nothing shows that the call comes from the company's own site.
    CrossSite,
    /// The request names another customer than the token.
    IdentifierMismatch,
    /// Another proxy asks about a request, and does not say which one, or names two.
    BadForwardedRequest,
    /// Another proxy asks about a request whose body alone could decide.
    NeedsBody,
    /// The content type is not one that this path takes.
    ContentType,
    /// The body must be a JSON object and is not, or has a member twice.
    Json,
    /// A rate limit.
    RateLimited,
    /// The quota of the API key is used up.
    Quota,
    /// Login: no such user.
    LoginUnknownUser,
    /// Login: not this user's password.
    LoginWrongPassword,
    /// Login: this name was tried too often.
    LoginRate,
    /// Login: too many wrong passwords, under this name from there, or from there.
    LoginLocked,
    /// A parameter is missing.
    ParameterMissing,
    /// A parameter stands there twice, or says two things.
    ParameterRepeated,
    /// A secret in the query.
    SecretInQuery,
    /// Token endpoint: not the client credentials grant.
    GrantType,
    /// Token endpoint: no such client.
    UnknownClient,
    /// Token endpoint: not this client's secret.
    WrongClientSecret,
    /// Token endpoint: the assertion of a client.
    ClientAssertion(TokenFault),
    /// Token endpoint: credentials by two methods at once, or of two clients.
    ClientAuthentication,
    /// Introspection, revocation: the client may not use this endpoint.
    UnauthorizedClient,
    /// Token endpoint: no credentials, or half of them.
    ClientAuthenticationMissing,
    /// Token endpoint: an `Authorization` that is not Basic with an id and a secret.
    ClientAuthenticationMalformed,
    /// Token endpoint: a scope that the client does not have.
    ScopeNotAllowed,
    /// Token endpoint: a resource that the client may not have a token for, or several.
    ResourceNotAllowed,
    /// Token endpoint: this client id was tried too often.
    TokenRate,
    /// Token endpoint: too many wrong secrets, for this client from there, or from there.
    TokenLocked,
    /// Token endpoint: no such refresh token, or its login has ended.
    RefreshToken,
    /// Token endpoint: a refresh token that was used before; its login has been ended.
    RefreshTokenReused,
    /// The company's own login did not answer, or not as it should.
    LoginBackend,
    /// Too many passwords wait for their hash.
    HashQueue,
    /// The state store cannot be asked or written.
    StateUnavailable,
    /// The backend could not be reached.
    BackendConnect,
    /// The backend's answer broke off or was not HTTP.
    BackendResponse,
    /// The backend's answer cannot be held to the rules of the route: it is not JSON, or is encoded.
    ResponseNotJson,
    /// The backend's answer is too large to be held to the rules of the route.
    ResponseTooLarge,
    /// The backend refused the gateway's own credential.
    BackendCredential,
    /// The backend did not answer in time.
    BackendTimeout,
    /// Too many requests to this backend at once.
    BackendOverload,
    /// The backend is known not to answer: it is not asked.
    BackendUnavailable,
    /// The gateway has too little memory left.
    Memory,
    /// A fault of the gateway itself.
    Internal,
}

macro_rules! token_word {
    ($prefix:literal, $fault:expr) => {
        match $fault {
            TokenFault::Missing => concat!($prefix, "_missing"),
            TokenFault::TooLong => concat!($prefix, "_too_long"),
            TokenFault::Malformed => concat!($prefix, "_malformed"),
            TokenFault::HeaderNotAllowed => concat!($prefix, "_header_not_allowed"),
            TokenFault::Algorithm => concat!($prefix, "_algorithm"),
            TokenFault::Type => concat!($prefix, "_type"),
            TokenFault::Issuer => concat!($prefix, "_issuer"),
            TokenFault::UnknownKey => concat!($prefix, "_unknown_key"),
            TokenFault::Signature => concat!($prefix, "_signature"),
            TokenFault::Expired => concat!($prefix, "_expired"),
            TokenFault::NotYetValid => concat!($prefix, "_not_yet_valid"),
            TokenFault::Audience => concat!($prefix, "_audience"),
            TokenFault::Subject => concat!($prefix, "_subject"),
            TokenFault::UnknownClient => concat!($prefix, "_unknown_client"),
            TokenFault::Revoked => concat!($prefix, "_revoked"),
            TokenFault::Lifetime => concat!($prefix, "_lifetime"),
            TokenFault::Claim => concat!($prefix, "_claim"),
            TokenFault::NoKeys => concat!($prefix, "_no_keys"),
            TokenFault::Used => concat!($prefix, "_used"),
            TokenFault::Binding => concat!($prefix, "_binding"),
            TokenFault::Account => concat!($prefix, "_account"),
        }
    };
}

impl Refusal {
    /// The word for logs, metrics and documentation: snake case, unique.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressNotAllowed => "address_not_allowed",
            Self::ClientCertificate => "client_certificate",
            Self::OtherCertificate => "other_certificate",
            Self::TokenCertificate => "token_certificate",
            Self::Dpop(DpopFault::Missing) => "dpop_missing",
            Self::Dpop(DpopFault::Malformed) => "dpop_malformed",
            Self::Dpop(DpopFault::Type) => "dpop_type",
            Self::Dpop(DpopFault::Algorithm) => "dpop_algorithm",
            Self::Dpop(DpopFault::Signature) => "dpop_signature",
            Self::Dpop(DpopFault::Method) => "dpop_method",
            Self::Dpop(DpopFault::Target) => "dpop_target",
            Self::Dpop(DpopFault::Time) => "dpop_time",
            Self::Dpop(DpopFault::Token) => "dpop_token",
            Self::Dpop(DpopFault::Key) => "dpop_key",
            Self::Dpop(DpopFault::Used) => "dpop_used",
            Self::Dpop(DpopFault::Scheme) => "dpop_scheme",
            Self::Dpop(DpopFault::Unbound) => "dpop_unbound",
            Self::Misdirected => "misdirected",
            Self::MalformedRequest => "malformed_request",
            Self::Host => "host",
            Self::ForwardedFor => "forwarded_for",
            Self::PlainHttp => "plain_http",
            Self::AmbiguousPath => "ambiguous_path",
            Self::MalformedBody => "malformed_body",
            Self::BodyTimeout => "body_timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::TargetTooLong => "target_too_long",
            Self::BodyTooLarge => "body_too_large",
            Self::Expectation => "expectation",
            Self::WebsocketHandshake => "websocket_handshake",
            Self::WebsocketVersion => "websocket_version",
            Self::WebsocketShare => "websocket_share",
            Self::UploadShare => "upload_share",
            Self::ReplayShare => "replay_share",
            Self::ConnectNotAllowed => "connect_not_allowed",
            Self::NoRoute => "no_route",
            Self::Method => "method",
            Self::CredentialRepeated => "credential_repeated",
            Self::CredentialConflict => "credential_conflict",
            Self::NoCredential => "no_credential",
            Self::ApiKey(ApiKeyFault::Missing) => "api_key_missing",
            Self::ApiKey(ApiKeyFault::Unknown) => "api_key_unknown",
            Self::ApiKey(ApiKeyFault::Route) => "api_key_route",
            Self::ApiKey(ApiKeyFault::Client) => "api_key_client",
            Self::ApiKey(ApiKeyFault::Revoked) => "api_key_revoked",
            Self::ApiKey(ApiKeyFault::Expired) => "api_key_expired",
            Self::ApiKey(ApiKeyFault::Address) => "api_key_address",
            Self::ClientToken(fault) => token_word!("client_token", fault),
            Self::CustomerToken(fault) => token_word!("customer_token", fault),
            Self::Session(SessionFault::Forged) => "session_forged",
            Self::Session(SessionFault::Unknown) => "session_unknown",
            Self::Session(SessionFault::Expired) => "session_expired",
            Self::Session(SessionFault::Account) => "session_account",
            Self::Scope => "scope",
            Self::CrossSite => "cross_site",
            Self::IdentifierMismatch => "identifier_mismatch",
            Self::BadForwardedRequest => "bad_forwarded_request",
            Self::NeedsBody => "needs_body",
            Self::ContentType => "content_type",
            Self::Json => "json",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::LoginUnknownUser => "login_unknown_user",
            Self::LoginWrongPassword => "login_wrong_password",
            Self::LoginRate => "login_rate",
            Self::LoginLocked => "login_locked",
            Self::ParameterMissing => "parameter_missing",
            Self::ParameterRepeated => "parameter_repeated",
            Self::SecretInQuery => "secret_in_query",
            Self::GrantType => "grant_type",
            Self::UnknownClient => "unknown_client",
            Self::WrongClientSecret => "wrong_client_secret",
            Self::ClientAssertion(fault) => token_word!("client_assertion", fault),
            Self::ClientAuthentication => "client_authentication",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::ClientAuthenticationMissing => "client_authentication_missing",
            Self::ClientAuthenticationMalformed => "client_authentication_malformed",
            Self::ScopeNotAllowed => "scope_not_allowed",
            Self::ResourceNotAllowed => "resource_not_allowed",
            Self::TokenRate => "token_rate",
            Self::TokenLocked => "token_locked",
            Self::RefreshToken => "refresh_token",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::LoginBackend => "login_backend",
            Self::HashQueue => "hash_queue",
            Self::StateUnavailable => "state_unavailable",
            Self::BackendConnect => "backend_connect",
            Self::BackendResponse => "backend_response",
            Self::ResponseNotJson => "response_not_json",
            Self::ResponseTooLarge => "response_too_large",
            Self::BackendCredential => "backend_credential",
            Self::BackendTimeout => "backend_timeout",
            Self::BackendOverload => "backend_overload",
            Self::BackendUnavailable => "backend_unavailable",
            Self::Memory => "memory",
            Self::Internal => "internal",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
