//! Holds the list of refusals complete.

use super::*;

pub(crate) const TOKEN_FAULTS: [TokenFault; 24] = [
    TokenFault::Missing,
    TokenFault::TooLong,
    TokenFault::Malformed,
    TokenFault::HeaderNotAllowed,
    TokenFault::Algorithm,
    TokenFault::Type,
    TokenFault::Issuer,
    TokenFault::UnknownKey,
    TokenFault::Signature,
    TokenFault::Expired,
    TokenFault::NotYetValid,
    TokenFault::Audience,
    TokenFault::Subject,
    TokenFault::UnknownClient,
    TokenFault::Revoked,
    TokenFault::Lifetime,
    TokenFault::Claim,
    TokenFault::NoKeys,
    TokenFault::Used,
    TokenFault::Binding,
    TokenFault::Account,
    TokenFault::Actor,
    TokenFault::Inactive,
    TokenFault::Introspection,
];

#[test]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
fn the_alert_about_guesses_at_logins_counts_each_refusal_of_a_name_or_password_and_no_outage() {
    let alerts = include_str!("../../deploy/prometheus/alerts.yml");
    let (_, guessing) = alerts.split_once("alert: WicketgateLoginGuessing").unwrap();
    let (_, pattern) = guessing.split_once("outcome=~\"").unwrap();
    let (pattern, _) = pattern.split_once('"').unwrap();
    let guesses = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
    use Refusal as R;
    for refusal in all() {
        let is_guess = matches!(refusal, R::LoginUnknownUser | R::LoginWrongPassword | R::LoginRate | R::LoginLocked);
        assert_eq!(guesses.is_match(refusal.as_str()), is_guess, "{}", refusal.as_str());
    }
}

/// All refusals, for tables that must be complete.
pub(crate) fn all() -> Vec<Refusal> {
    use Refusal as R;
    let mut all = vec![
        R::AddressNotAllowed,
        R::ClientCertificate,
        R::OtherCertificate,
        R::TokenCertificate,
        R::Misdirected,
        R::HostNotServed,
        R::MalformedRequest,
        R::Host,
        R::ForwardedFor,
        R::PlainHttp,
        R::AmbiguousPath,
        R::AmbiguousRoute,
        R::MalformedBody,
        R::BodyTimeout,
        R::HeadTooLarge,
        R::TargetTooLong,
        R::BodyTooLarge,
        R::Expectation,
        R::WebsocketHandshake,
        R::WebsocketVersion,
        R::WebsocketShare,
        R::UploadShare,
        R::ReplayShare,
        R::ConnectNotAllowed,
        R::NoRoute,
        R::Method,
        R::CredentialRepeated,
        R::CredentialConflict,
        R::NoCredential,
        R::Scope,
        R::Schema,
        R::CrossSite,
        R::IdentifierMismatch,
        R::BadForwardedRequest,
        R::NeedsBody,
        R::ContentType,
        R::Json,
        R::RateLimited,
        R::Quota,
        R::LoginUnknownUser,
        R::LoginWrongPassword,
        R::LoginRate,
        R::LoginLocked,
        R::ParameterMissing,
        R::ParameterRepeated,
        R::ParameterNotSupported,
        R::SecretInQuery,
        R::GrantType,
        R::UnknownClient,
        R::WrongClientSecret,
        R::ClientAuthentication,
        R::UnauthorizedClient,
        R::ClientAuthenticationMissing,
        R::ClientAuthenticationMalformed,
        R::ScopeNotAllowed,
        R::ResourceNotAllowed,
        R::TokenRate,
        R::TokenLocked,
        R::RefreshToken,
        R::RefreshTokenReused,
        R::AuthorizationRequest,
        R::LoginForm,
        R::AuthorizationCode,
        R::AuthorizationCodeReused,
        R::CodeVerifier,
        R::LoginBackend,
        R::HashQueue,
        R::StateUnavailable,
        R::BackendConnect,
        R::BackendResponse,
        R::ResponseNotJson,
        R::ResponseTooLarge,
        R::BackendCredential,
        R::BackendToken,
        R::BackendTimeout,
        R::BackendOverload,
        R::BackendUnavailable,
        R::Memory,
        R::RequestBuffer,
        R::Internal,
    ];
    all.extend(
        [
            ApiKeyFault::Missing,
            ApiKeyFault::Unknown,
            ApiKeyFault::Route,
            ApiKeyFault::Client,
            ApiKeyFault::Revoked,
            ApiKeyFault::Expired,
            ApiKeyFault::Address,
        ]
        .map(R::ApiKey),
    );
    all.extend(
        [
            DpopFault::Missing,
            DpopFault::Malformed,
            DpopFault::Type,
            DpopFault::Algorithm,
            DpopFault::Signature,
            DpopFault::Method,
            DpopFault::Target,
            DpopFault::Time,
            DpopFault::Token,
            DpopFault::Key,
            DpopFault::Used,
            DpopFault::Scheme,
            DpopFault::Unbound,
        ]
        .map(R::Dpop),
    );
    all.extend(TOKEN_FAULTS.map(R::ClientToken));
    all.extend(TOKEN_FAULTS.map(R::CustomerToken));
    all.extend(TOKEN_FAULTS.map(R::ClientAssertion));
    all.extend(TOKEN_FAULTS.map(R::SecurityEvent));
    all.extend(
        [SessionFault::Forged, SessionFault::Unknown, SessionFault::Expired, SessionFault::Account].map(R::Session),
    );
    all
}

#[test]
fn every_refusal_has_a_word_of_its_own_and_the_list_is_complete() {
    let mut words: Vec<&str> = all().into_iter().map(Refusal::as_str).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all().len());
    let source = include_str!("../refusal.rs");
    let arms = source.lines().filter(|line| line.trim_start().starts_with("Self::") && line.contains("=> \""));
    let tokens =
        source.lines().filter(|line| line.trim_start().starts_with("TokenFault::") && line.contains("=> ")).count();
    assert_eq!(all().len(), arms.count() + 4 * tokens);
}

#[test]
fn the_documentation_has_present_words_for_those_that_were_renamed() {
    let text = include_str!("../../docs/operations.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| refusal | "))
        .map(|row| row.split(['`', '|', ' ']).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert!(!rows.is_empty());
    let is_present = |word: &str| all().into_iter().any(|refusal| refusal.as_str() == word);
    for row in rows {
        assert!(row.len() == 2 && !is_present(row[0]) && is_present(row[1]), "{row:?}");
    }
}
