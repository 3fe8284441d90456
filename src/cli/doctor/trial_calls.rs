//! Protected calls: a good one, and those that must be refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, header};

use super::Trial;
use super::deployed_gateway::{Outgoing, Reply};
use super::login::TrialLogin;
use super::report::DoctorReport;

/// The credentials for protected calls.
pub(super) struct TrialCalls<'a> {
    pub(super) trial: &'a Trial,
    pub(super) first: TrialLogin,
    pub(super) second: Option<TrialLogin>,
    pub(super) access_token: Option<String>,
}

const CUSTOMER_AUTH: HeaderName = HeaderName::from_static("customer-auth");
const API_KEY: HeaderName = HeaderName::from_static("api-key");

impl TrialCalls<'_> {
    /// The protected call without a credential.
    pub(super) fn bare(&self) -> Outgoing {
        let mut call = Outgoing::new(self.trial.method.clone(), &self.trial.path);
        call.body.clone_from(&self.trial.body);
        call.header(header::CONTENT_TYPE, "application/json")
    }

    /// The same with all credentials, for this customer.
    pub(super) fn good(&self, login: &TrialLogin) -> Outgoing {
        let mut call = self.bare();
        if let Some(token) = &self.access_token {
            call = call.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = &self.trial.api_key {
            call = call.header(API_KEY, key.expose());
        }
        if let Some((name, value)) = login.credential() {
            call = call.header(name, value);
        }
        call
    }

    /// A good call with another value of one header; `None` takes it away.
    fn changed(&self, name: &HeaderName, value: Option<&str>) -> Outgoing {
        let mut call = self.good(&self.first);
        call.headers.retain(|(known, _)| known != name);
        match value {
            Some(value) => call.header(name.clone(), value),
            None => call,
        }
    }

    pub(super) async fn send(&self, call: &Outgoing) -> anyhow::Result<Reply> {
        self.trial.gateway.send(call).await
    }

    /// Makes a good call and bad ones; false if the good one does not succeed, and no bad one proves anything.
    pub(super) async fn check(&self, report: &mut DoctorReport) -> bool {
        let fix =
            "`wicketgate explain REQUEST_ID` says why, by the X-Request-Id of the answer; a 5xx comes from the backend";
        let reply = match self.send(&self.good(&self.first)).await {
            Ok(reply) => reply,
            Err(error) => {
                report.note("call", false, error.to_string(), fix);
                return false;
            }
        };
        let id = reply.header("x-request-id").to_owned();
        report.note("call", reply.is_success(), format!("the answer is {}, X-Request-Id {id}", reply.shown()), fix);
        let fix = "A proxy in front removes X-Request-Id: have it leave the header";
        report.note("request_id", !id.is_empty(), if id.is_empty() { "missing" } else { "there" }, fix);
        if !reply.is_success() {
            return false;
        }
        self.refusals(report).await;
        true
    }

    async fn refusals(&self, report: &mut DoctorReport) {
        self.refused("no_credential", &self.bare(), &[401], "without any credential", report).await;
        if let Some(token) = &self.first.token {
            let wanted = &[401][..];
            let call = self.changed(&CUSTOMER_AUTH, None);
            self.refused("no_customer", &call, wanted, "without the customer's token", report).await;
            let call = self.changed(&CUSTOMER_AUTH, Some(&format!("JWT {}", tampered(token))));
            self.refused("tampered_token", &call, wanted, "with another payload under the signature", report).await;
            let call = self.changed(&CUSTOMER_AUTH, Some(&format!("JWT {}", unsigned(token))));
            self.refused("unsigned_token", &call, wanted, "with `alg: none` and no signature", report).await;
        }
        if self.access_token.is_some() {
            let call = self.changed(&header::AUTHORIZATION, None);
            self.refused("no_client", &call, &[401], "without the client's token", report).await;
            if let Some(token) = &self.first.token {
                let call = self.changed(&header::AUTHORIZATION, Some(&format!("Bearer {token}")));
                self.refused("exchanged_token", &call, &[401], "with the customer's token as the client's", report)
                    .await;
            }
        }
        if self.trial.api_key.is_some() {
            let call = self.changed(&API_KEY, Some("wicketgate-doctor-no-key"));
            self.refused("wrong_api_key", &call, &[403], "with a wrong API key", report).await;
            let call = self.changed(&API_KEY, None);
            self.refused("no_api_key", &call, &[403], "without the API key", report).await;
        }
    }

    async fn refused(
        &self,
        check: &'static str,
        call: &Outgoing,
        wanted: &[u16],
        what: &str,
        report: &mut DoctorReport,
    ) {
        let fix = "See `require` of the route; something between may also answer from a cache or bypass the gateway";
        match self.send(call).await {
            Ok(reply) => {
                let has_form = !reply.code().is_empty() && reply.json().pointer("/error/requestId").is_some();
                let good = wanted.contains(&reply.status) && has_form;
                let form = if has_form { "" } else { ", not in the form {\"error\":{requestId, message, code}}" };
                report.note(check, good, format!("{what}: {}{form}", reply.shown()), fix);
            }
            Err(error) => report.note(check, false, format!("{what}: {error}"), fix),
        }
    }
}

/// The token with another subject under the same signature.
fn tampered(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(payload) = parts.get_mut(1) {
        let mut claims = super::login::claims_of(token).unwrap_or_default();
        claims["sub"] = "wicketgate-doctor".into();
        *payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    }
    parts.join(".")
}

/// The token with `alg: none` and an empty signature.
fn unsigned(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap_or_default();
    format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#))
}
