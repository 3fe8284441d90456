//! `login.accounts`: who may log in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, Ldap};

/// Accounts for logins: a file of accounts, or the company's own login.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
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
    /// A backend that verifies passwords instead of a file: it gets the username and the
    /// password, and answers 2xx for a right one.
    pub backend: Option<String>,
    /// Names of the two fields that it gets. Default: username and password.
    pub fields: Option<LoginFields>,
    /// How it gets them: as a form, or as members of a JSON object. Default: form.
    pub encoding: Option<LoginEncoding>,
    /// A directory that verifies passwords, by LDAP.
    pub ldap: Option<Ldap>,
    /// Path of the login on that backend.
    pub path: Option<String>,
    /// JSON pointer, such as /customer/id, to the customer in the response of that backend, a string or an integer.
    /// Anything else there, such as null, is an outage: 503.
    pub subject: Option<String>,
    /// Claims of the JWT, by JSON pointers such as /customer/tier into the response of that backend: those of
    /// `login.claims` that it knows. A JWT that a refresh token gives has none of them.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Responses of that backend that mean a wrong password.
    pub no: Option<LoginDenial>,
}

/// Response of a login backend to a wrong user name or password.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginDenial {
    /// These statuses mean a wrong password: the caller gets 401, and a failed attempt is counted. Any other but 2xx is
    /// an outage: 503.
    #[serde(default = "default_denials")]
    pub status: Vec<u16>,
    /// A 2xx response means a wrong password too where its body says so.
    pub body: Option<LoginDenialBody>,
}

/// What a login backend says in the body of a 2xx response to a wrong password: `equals`, `one_of`, or any of
/// both.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginDenialBody {
    /// JSON pointer, such as /result, to the member that says it.
    pub pointer: String,
    /// The value that means a wrong password, of the same type: a text, true, false or a whole number.
    pub equals: Option<AnswerValue>,
    /// The values that mean a wrong password.
    pub one_of: Option<Vec<AnswerValue>>,
}

/// A value in a response of the company's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum AnswerValue {
    /// A text.
    Text(String),
    /// true or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
}

/// Names of the fields that a login backend gets.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoginFields {
    /// That of the username.
    pub username: String,
    /// That of the password.
    pub password: String,
}

impl Default for LoginFields {
    fn default() -> Self {
        Self { username: "username".to_owned(), password: "password".to_owned() }
    }
}

/// How a login backend gets the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoginEncoding {
    /// application/x-www-form-urlencoded.
    #[default]
    Form,
    /// application/json.
    Json,
}

impl Default for LoginDenial {
    fn default() -> Self {
        Self { status: default_denials(), body: None }
    }
}

fn default_denials() -> Vec<u16> {
    vec![400, 401, 403, 404, 422]
}
