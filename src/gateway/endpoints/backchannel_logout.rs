//! `POST /oauth/backchannel_logout`: another issuer tells that a session or a customer has logged out (OpenID Connect
//! Back-Channel Logout 1.0).

use std::time::SystemTime;

use http::header::{self, HeaderValue};

use super::audited::EndpointEvent;
use super::form::{FORM, Form, MAX_FORM};
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Answer, Gateway, unix_seconds};
use crate::refusal::{Refusal, TokenFault};

/// The route name in log and metrics.
pub(crate) const NAME: &str = "backchannel_logout";

impl Gateway {
    /// Ends what the logout token names. 200 says that it has ended everywhere; 503, that the issuer should try again.
    pub(crate) async fn backchannel_logout(&self, call: Box<Call<'_>>, record: &mut Record) -> Result<Answer, Refused> {
        let outcome = self.logout_told(call, record).await;
        let word = outcome.as_ref().err().map_or("ok", |refused| refused.refusal.as_str());
        self.worker_metrics().provider_event("logout", word);
        self.note(EndpointEvent::IssuerEvent, record, word);
        outcome
    }

    async fn logout_told(&self, mut call: Box<Call<'_>>, record: &mut Record) -> Result<Answer, Refused> {
        if call.type_to_read()?.as_deref() != Some(FORM) {
            return Err(Refused::of_types(&[FORM]));
        }
        let body = call.read_body(MAX_FORM, record).await?;
        let form = Form::parse(&body)?;
        let token = form.required("logout_token")?;
        let now = unix_seconds(SystemTime::now());
        let event = call.policy.auth.logout_told(token, now).await.map_err(Refusal::SecurityEvent)?;
        if !self.end_told(call.policy, &event, now, record).await? {
            return Err(Refusal::SecurityEvent(TokenFault::Used).into());
        }
        let mut response = Answer::new(ResponseBody::full(""));
        // Section 2.8.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}
