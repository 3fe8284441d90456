//! `grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523): a client hands in a customer's token as an
//! assertion.

use http::Response;

use super::TokenRequest;
use super::delegated::HandedIn;
use crate::auth::Client;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::response::body::ResponseBody;

/// The parameter of the customer's token.
pub(super) const ASSERTION: &str = "assertion";

impl Gateway {
    /// The answer to a client that hands in a customer's token as `assertion`.
    pub(super) async fn take_assertion(
        &self,
        request: &TokenRequest<'_>,
        client: &Client,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let token = request.form.required(ASSERTION)?;
        let handed_in = HandedIn { token, parameter: ASSERTION, audience: &["resource"], issued_type: None };
        self.delegate(request, client, handed_in, record).await
    }
}
