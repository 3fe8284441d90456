//! `login.accounts.backend`, read: the company's own login.

use std::sync::Arc;

use serde_json::Value;

use crate::backend::Backend;
use crate::config::raw::{AnswerValue, LoginEncoding, LoginFields};
use crate::config::{Config, Problems, raw};
use crate::json_body::Pointer;

/// The company's own login.
#[derive(Debug)]
pub struct LoginBackend {
    /// The backend that is asked.
    pub backend: Arc<Backend>,
    /// The path of its login.
    pub path: String,
    /// Names of the fields that it gets.
    pub fields: LoginFields,
    /// How it gets them.
    pub encoding: LoginEncoding,
    /// Pointer to the customer in its response.
    pub subject: Pointer,
    /// Pointers to claims in its response.
    pub claims: Vec<(String, Pointer)>,
    /// The statuses that say no.
    pub denials: Vec<u16>,
    /// What says no in the body of a 2xx response.
    pub denial: Option<DenyingMember>,
}

/// A member of a response, and its values that say no.
#[derive(Debug)]
pub struct DenyingMember {
    /// Where it stands.
    pub pointer: Pointer,
    /// The values.
    pub values: Vec<Value>,
}

/// Reads it; what is wrong goes to `problems`.
pub(super) fn read(
    config: &Config,
    accounts: &raw::Accounts,
    backend: Option<&Arc<Backend>>,
    problems: &mut Problems,
) -> Option<LoginBackend> {
    let path = accounts.path.clone()?;
    let mut pointer = |key: &str, text: &str| {
        let place = format!("login.accounts.{key}");
        let read = Pointer::parse(text);
        read.map_err(|fault| problems.push(config.problem(&place, fault, "write it like /customer/id"))).ok()
    };
    let subject = pointer("subject", accounts.subject.as_deref()?);
    let named = accounts.claims.iter();
    let claims: Vec<_> =
        named.map(|(claim, text)| Some((claim.clone(), pointer(&format!("claims.{claim}"), text)?))).collect();
    let no = accounts.no.clone().unwrap_or_default();
    let denial = match &no.body {
        Some(body) => {
            let values = body.equals.iter().chain(body.one_of.iter().flatten()).map(value).collect();
            Some(DenyingMember { pointer: pointer("no.body.pointer", &body.pointer)?, values })
        }
        None => None,
    };
    Some(LoginBackend {
        backend: Arc::clone(backend?),
        path,
        fields: accounts.fields.clone().unwrap_or_default(),
        encoding: accounts.encoding.unwrap_or_default(),
        subject: subject?,
        claims: claims.into_iter().collect::<Option<_>>()?,
        denials: no.status,
        denial,
    })
}

fn value(value: &AnswerValue) -> Value {
    match value {
        AnswerValue::Text(text) => text.as_str().into(),
        AnswerValue::Flag(flag) => (*flag).into(),
        AnswerValue::Number(number) => (*number).into(),
    }
}
