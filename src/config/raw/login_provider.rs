//! `login.provider`: the company's own provider, at which customers log in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, OAuthClientAuth, SecretRef};

/// The provider at which customers log in (OpenID Connect Core 1.0 section 3.1), and how this gateway authenticates there:
/// by `client_secret` or `private_key`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// The name of its entry in `trusted_issuers`, with whose keys its ID tokens are verified.
    pub issuer: String,
    /// The id of this gateway there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretRef>,
    /// A PEM file of the private key with which it signs its assertions (`private_key_jwt`, RFC 7523).
    pub private_key: Option<FilePath>,
    /// How the secret is shown: in `Authorization: Basic`, or in the form.
    #[serde(default)]
    pub auth: OAuthClientAuth,
    /// Scopes to ask for, `openid` among them.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The https address to which browsers are sent.
    pub authorization_endpoint: String,
    /// The https address at which this gateway redeems codes.
    pub token_endpoint: String,
    /// How the provider asks a customer where the client does not say. Default: as the provider likes.
    pub prompt: Option<ProviderPrompt>,
}

/// What a provider asks a customer (OpenID Connect Core 1.0 section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderPrompt {
    /// To log in, even with a live session.
    Login,
    /// To consent.
    Consent,
    /// To choose an account.
    SelectAccount,
}

impl ProviderPrompt {
    /// The value of `prompt`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Consent => "consent",
            Self::SelectAccount => "select_account",
        }
    }
}

fn default_scopes() -> Vec<String> {
    vec!["openid".to_owned()]
}
