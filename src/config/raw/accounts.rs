//! `login.accounts`: who may log in.

use schemars::JsonSchema;
use serde::Deserialize;

use super::FilePath;

/// Accounts for logins: a file of accounts, or the company's own login.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// A YAML file: a list of {username, password: "$argon2id$...", subject}. `wicketgate hash-password` makes its
    /// lines. Or an htpasswd file: `name:hash` lines, where the name is also the subject. Hashes are argon2id, bcrypt,
    /// scrypt, PBKDF2 or SHA-crypt.
    pub file: Option<FilePath>,
    /// Find accounts of the file regardless of letter case, width and surrounding spaces of the name (trim, NFKC, case
    /// fold).
    #[serde(default)]
    pub fold: bool,
    /// A backend that verifies passwords instead of a file: it gets the same form, and answers 2xx for a right
    /// password.
    pub backend: Option<String>,
    /// Path of the login on that backend.
    pub path: Option<String>,
    /// JSON pointer, such as /customer/id, to the customer in the response of that backend, a string or an integer.
    /// Anything else there, such as null, is an outage: 503.
    pub subject: Option<String>,
    /// Responses of that backend that mean a wrong password.
    pub no: Option<LoginDenial>,
}

/// Response of a login backend to a wrong user name or password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginDenial {
    /// These statuses mean a wrong password: the caller gets 401, and a failed attempt is counted. Any other but 2xx is
    /// an outage: 503.
    #[serde(default = "default_denials")]
    pub status: Vec<u16>,
}

impl Default for LoginDenial {
    fn default() -> Self {
        Self { status: default_denials() }
    }
}

fn default_denials() -> Vec<u16> {
    vec![400, 401, 403, 404, 422]
}
