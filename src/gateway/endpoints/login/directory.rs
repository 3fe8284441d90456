//! The company's directory: asked with the username and the password.

use std::sync::Arc;

use super::{LoginForm, ProvedLogin};
use crate::directory::{Denial, Directory};
use crate::gateway::Gateway;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::policy::Login;
use crate::refusal::Refusal;

impl Gateway {
    /// Asks the directory. Only its clear no is a no; any other failure is an outage, never a 401.
    pub(super) async fn by_directory(
        &self,
        call: &Call<'_>,
        login: &Login,
        directory: &Arc<Directory>,
        typed: LoginForm<'_>,
        record: &Record,
    ) -> Result<ProvedLogin, Refusal> {
        let outage = |reason: &str| {
            if let Some(left_out) = directory.seen.failures.allow() {
                let request_id = record.request_id.to_str().unwrap_or_default();
                let url = &directory.url;
                tracing::warn!(url, reason, request_id, left_out, "the directory gives no verdict on a password");
            }
            record.backend_fault.note_backend("no verdict of the directory");
            Refusal::LoginBackend
        };
        let customer = directory.verify(typed.username, typed.password).await.map_err(|denial| match denial {
            Denial::Unknown => Refusal::LoginUnknownUser,
            Denial::Wrong => Refusal::LoginWrongPassword,
            Denial::Outage(reason) => outage(&reason),
        })?;
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let identifier = deriver.derive(&login.tenant, &customer.subject);
        let identifier = identifier.map_err(|_| outage("the subject of a customer cannot be one"))?;
        Ok((identifier, customer.claims, None))
    }
}
