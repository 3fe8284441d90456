//! The closed set: each refusal that occurs, with its word.

use super::{ApiKeyFault, DpopFault, Refusal, SessionFault, TokenFault};

/// Makes the list of all refusals and the table of their words from the same lines; the compiler finds one that is
/// missing. Kinds of tokens share one list of faults: under `never` stand those that a kind cannot have.
macro_rules! closed_set {
    (
        occur { $($name:ident $(($kind:ident :: $fault:ident))? => $word:literal,)* }
        never { $($other:ident ($of:ident :: $what:ident),)* }
    ) => {
        impl Refusal {
            /// All refusals, in the order of docs/refusals.md.
            pub const ALL: &[Self] = &[$(Self::$name $(($kind::$fault))?,)*];

            /// Word of logs, metrics and documentation: snake case, unique.
            pub fn as_str(self) -> &'static str {
                match self.in_set() {
                    $(Self::$name $(($kind::$fault))? => $word,)*
                    $(Self::$other($of::$what))|* => Self::Internal.as_str(),
                }
            }

            /// The same, or [`Refusal::Internal`] for a fault that a token of its kind cannot have: that would be a fault
            /// of the gateway itself.
            pub fn in_set(self) -> Self {
                match self {
                    $(Self::$other($of::$what))|* => Self::Internal,
                    refusal => refusal,
                }
            }
        }
    };
}

impl Refusal {
    /// True if a server of the company is the cause: the access log then says what it did.
    pub fn is_of_backend(self) -> bool {
        matches!(
            self,
            Self::BackendConnect
                | Self::BackendResponse
                | Self::BackendTimeout
                | Self::BackendUnavailable
                | Self::BackendOverload
                | Self::BackendCredential
                | Self::BackendToken
                | Self::ResponseNotJson
                | Self::ResponseTooLarge
                | Self::LoginBackend
        )
    }

    /// The refusal of this word; `None` for one that is not in the set.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.as_str() == word)
    }
}

closed_set! {
    occur {
        MalformedRequest => "malformed_request",
        Host => "host",
        Misdirected => "misdirected",
        HostNotServed => "host_not_served",
        PlainHttp => "plain_http",
        ForwardedFor => "forwarded_for",
        AddressNotAllowed => "address_not_allowed",
        AmbiguousPath => "ambiguous_path",
        AmbiguousRoute => "ambiguous_route",
        NoRoute => "no_route",
        Method => "method",
        HeadTooLarge => "head_too_large",
        TargetTooLong => "target_too_long",
        Expectation => "expectation",
        ContentType => "content_type",
        Json => "json",
        Schema => "schema",
        MalformedBody => "malformed_body",
        BodyTimeout => "body_timeout",
        BodyTooLarge => "body_too_large",
        WebsocketHandshake => "websocket_handshake",
        WebsocketVersion => "websocket_version",
        WebsocketShare => "websocket_share",
        UploadShare => "upload_share",
        ConnectNotAllowed => "connect_not_allowed",
        IdentifierMismatch => "identifier_mismatch",
        BadForwardedRequest => "bad_forwarded_request",
        NeedsBody => "needs_body",
        RateLimited => "rate_limited",
        Quota => "quota",
        NoCredential => "no_credential",
        CredentialRepeated => "credential_repeated",
        CredentialConflict => "credential_conflict",
        ClientCertificate => "client_certificate",
        OtherCertificate => "other_certificate",
        TokenCertificate => "token_certificate",
        ApiKey(ApiKeyFault::Missing) => "api_key_missing",
        ApiKey(ApiKeyFault::Unknown) => "api_key_unknown",
        ApiKey(ApiKeyFault::Route) => "api_key_route",
        ApiKey(ApiKeyFault::Client) => "api_key_client",
        ApiKey(ApiKeyFault::Revoked) => "api_key_revoked",
        ApiKey(ApiKeyFault::Expired) => "api_key_expired",
        ApiKey(ApiKeyFault::Address) => "api_key_address",
        Session(SessionFault::Forged) => "session_forged",
        Session(SessionFault::Unknown) => "session_unknown",
        Session(SessionFault::Expired) => "session_expired",
        Session(SessionFault::Account) => "session_account",
        Scope => "scope",
        CrossSite => "cross_site",
        Dpop(DpopFault::Missing) => "dpop_missing",
        Dpop(DpopFault::Malformed) => "dpop_malformed",
        Dpop(DpopFault::Type) => "dpop_type",
        Dpop(DpopFault::Algorithm) => "dpop_algorithm",
        Dpop(DpopFault::Signature) => "dpop_signature",
        Dpop(DpopFault::Method) => "dpop_method",
        Dpop(DpopFault::Target) => "dpop_target",
        Dpop(DpopFault::Time) => "dpop_time",
        Dpop(DpopFault::Token) => "dpop_token",
        Dpop(DpopFault::Key) => "dpop_key",
        Dpop(DpopFault::Used) => "dpop_used",
        Dpop(DpopFault::Scheme) => "dpop_scheme",
        Dpop(DpopFault::Unbound) => "dpop_unbound",
        ReplayShare => "replay_share",
        ClientToken(TokenFault::Missing) => "client_token_missing",
        ClientToken(TokenFault::TooLong) => "client_token_too_long",
        ClientToken(TokenFault::Malformed) => "client_token_malformed",
        ClientToken(TokenFault::HeaderNotAllowed) => "client_token_header_not_allowed",
        ClientToken(TokenFault::Algorithm) => "client_token_algorithm",
        ClientToken(TokenFault::Type) => "client_token_type",
        ClientToken(TokenFault::Issuer) => "client_token_issuer",
        ClientToken(TokenFault::UnknownKey) => "client_token_unknown_key",
        ClientToken(TokenFault::Signature) => "client_token_signature",
        ClientToken(TokenFault::Expired) => "client_token_expired",
        ClientToken(TokenFault::NotYetValid) => "client_token_not_yet_valid",
        ClientToken(TokenFault::Audience) => "client_token_audience",
        ClientToken(TokenFault::Subject) => "client_token_subject",
        ClientToken(TokenFault::Lifetime) => "client_token_lifetime",
        ClientToken(TokenFault::Claim) => "client_token_claim",
        ClientToken(TokenFault::NoKeys) => "client_token_no_keys",
        ClientToken(TokenFault::Binding) => "client_token_binding",
        ClientToken(TokenFault::UnknownClient) => "client_token_unknown_client",
        ClientToken(TokenFault::Inactive) => "client_token_inactive",
        ClientToken(TokenFault::Introspection) => "client_token_introspection",
        ClientToken(TokenFault::Revoked) => "client_token_revoked",
        CustomerToken(TokenFault::Missing) => "customer_token_missing",
        CustomerToken(TokenFault::TooLong) => "customer_token_too_long",
        CustomerToken(TokenFault::Malformed) => "customer_token_malformed",
        CustomerToken(TokenFault::HeaderNotAllowed) => "customer_token_header_not_allowed",
        CustomerToken(TokenFault::Algorithm) => "customer_token_algorithm",
        CustomerToken(TokenFault::Type) => "customer_token_type",
        CustomerToken(TokenFault::Issuer) => "customer_token_issuer",
        CustomerToken(TokenFault::UnknownKey) => "customer_token_unknown_key",
        CustomerToken(TokenFault::Signature) => "customer_token_signature",
        CustomerToken(TokenFault::Expired) => "customer_token_expired",
        CustomerToken(TokenFault::NotYetValid) => "customer_token_not_yet_valid",
        CustomerToken(TokenFault::Audience) => "customer_token_audience",
        CustomerToken(TokenFault::Subject) => "customer_token_subject",
        CustomerToken(TokenFault::Revoked) => "customer_token_revoked",
        CustomerToken(TokenFault::Lifetime) => "customer_token_lifetime",
        CustomerToken(TokenFault::Claim) => "customer_token_claim",
        CustomerToken(TokenFault::Inactive) => "customer_token_inactive",
        CustomerToken(TokenFault::Introspection) => "customer_token_introspection",
        CustomerToken(TokenFault::NoKeys) => "customer_token_no_keys",
        CustomerToken(TokenFault::Binding) => "customer_token_binding",
        CustomerToken(TokenFault::Account) => "customer_token_account",
        CustomerToken(TokenFault::Actor) => "customer_token_actor",
        CustomerToken(TokenFault::UnknownClient) => "customer_token_unknown_client",
        LoginUnknownUser => "login_unknown_user",
        LoginWrongPassword => "login_wrong_password",
        LoginRate => "login_rate",
        LoginLocked => "login_locked",
        LoginBackend => "login_backend",
        HashQueue => "hash_queue",
        AuthorizationRequest => "authorization_request",
        LoginForm => "login_form",
        ParameterMissing => "parameter_missing",
        ParameterRepeated => "parameter_repeated",
        ParameterNotSupported => "parameter_not_supported",
        SecretInQuery => "secret_in_query",
        GrantType => "grant_type",
        UnknownClient => "unknown_client",
        WrongClientSecret => "wrong_client_secret",
        ClientAuthentication => "client_authentication",
        ClientAuthenticationMissing => "client_authentication_missing",
        ClientAuthenticationMalformed => "client_authentication_malformed",
        UnauthorizedClient => "unauthorized_client",
        ScopeNotAllowed => "scope_not_allowed",
        ResourceNotAllowed => "resource_not_allowed",
        TokenRate => "token_rate",
        TokenLocked => "token_locked",
        RefreshToken => "refresh_token",
        RefreshTokenReused => "refresh_token_reused",
        AuthorizationCode => "authorization_code",
        AuthorizationCodeReused => "authorization_code_reused",
        CodeVerifier => "code_verifier",
        ClientAssertion(TokenFault::TooLong) => "client_assertion_too_long",
        ClientAssertion(TokenFault::Malformed) => "client_assertion_malformed",
        ClientAssertion(TokenFault::HeaderNotAllowed) => "client_assertion_header_not_allowed",
        ClientAssertion(TokenFault::Algorithm) => "client_assertion_algorithm",
        ClientAssertion(TokenFault::Type) => "client_assertion_type",
        ClientAssertion(TokenFault::Issuer) => "client_assertion_issuer",
        ClientAssertion(TokenFault::UnknownKey) => "client_assertion_unknown_key",
        ClientAssertion(TokenFault::Signature) => "client_assertion_signature",
        ClientAssertion(TokenFault::Expired) => "client_assertion_expired",
        ClientAssertion(TokenFault::NotYetValid) => "client_assertion_not_yet_valid",
        ClientAssertion(TokenFault::Audience) => "client_assertion_audience",
        ClientAssertion(TokenFault::Subject) => "client_assertion_subject",
        ClientAssertion(TokenFault::Lifetime) => "client_assertion_lifetime",
        ClientAssertion(TokenFault::Claim) => "client_assertion_claim",
        ClientAssertion(TokenFault::NoKeys) => "client_assertion_no_keys",
        ClientAssertion(TokenFault::Used) => "client_assertion_used",
        ClientAssertion(TokenFault::Binding) => "client_assertion_binding",
        SecurityEvent(TokenFault::Malformed) => "security_event_malformed",
        SecurityEvent(TokenFault::HeaderNotAllowed) => "security_event_header_not_allowed",
        SecurityEvent(TokenFault::Algorithm) => "security_event_algorithm",
        SecurityEvent(TokenFault::Type) => "security_event_type",
        SecurityEvent(TokenFault::Issuer) => "security_event_issuer",
        SecurityEvent(TokenFault::UnknownKey) => "security_event_unknown_key",
        SecurityEvent(TokenFault::Signature) => "security_event_signature",
        SecurityEvent(TokenFault::Expired) => "security_event_expired",
        SecurityEvent(TokenFault::NotYetValid) => "security_event_not_yet_valid",
        SecurityEvent(TokenFault::Audience) => "security_event_audience",
        SecurityEvent(TokenFault::Subject) => "security_event_subject",
        SecurityEvent(TokenFault::UnknownClient) => "security_event_unknown_client",
        SecurityEvent(TokenFault::Claim) => "security_event_claim",
        SecurityEvent(TokenFault::NoKeys) => "security_event_no_keys",
        SecurityEvent(TokenFault::Used) => "security_event_used",
        BackendConnect => "backend_connect",
        BackendResponse => "backend_response",
        BackendTimeout => "backend_timeout",
        BackendUnavailable => "backend_unavailable",
        BackendOverload => "backend_overload",
        BackendCredential => "backend_credential",
        BackendToken => "backend_token",
        ResponseNotJson => "response_not_json",
        ResponseTooLarge => "response_too_large",
        StateUnavailable => "state_unavailable",
        RequestBuffer => "request_buffer",
        Memory => "memory",
        Internal => "internal",
    }
    never {
        ClientToken(TokenFault::Used),
        ClientToken(TokenFault::Account),
        ClientToken(TokenFault::Actor),
        CustomerToken(TokenFault::Used),
        ClientAssertion(TokenFault::Missing),
        ClientAssertion(TokenFault::UnknownClient),
        ClientAssertion(TokenFault::Revoked),
        ClientAssertion(TokenFault::Account),
        ClientAssertion(TokenFault::Actor),
        ClientAssertion(TokenFault::Inactive),
        ClientAssertion(TokenFault::Introspection),
        SecurityEvent(TokenFault::Missing),
        SecurityEvent(TokenFault::TooLong),
        SecurityEvent(TokenFault::Revoked),
        SecurityEvent(TokenFault::Lifetime),
        SecurityEvent(TokenFault::Binding),
        SecurityEvent(TokenFault::Account),
        SecurityEvent(TokenFault::Actor),
        SecurityEvent(TokenFault::Inactive),
        SecurityEvent(TokenFault::Introspection),
    }
}
