//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): a client hands in a customer's token.

use http::Response;

use super::TokenRequest;
use super::delegated::HandedIn;
use crate::auth::Client;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::response::body::ResponseBody;
use crate::refusal::Refusal;

/// Types of tokens (RFC 8693 section 3).
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

impl Gateway {
    /// The answer to a client that hands in a customer's token as `subject_token`.
    pub(super) async fn exchange_token(
        &self,
        request: &TokenRequest<'_>,
        client: &Client,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let unsupported = |name| Refused::of_parameter(Refusal::ParameterNotSupported, name);
        let token = request.form.required("subject_token")?;
        // They all are JWTs here, whatever they are called.
        if ![JWT, ACCESS_TOKEN, ID_TOKEN].contains(&request.form.required("subject_token_type")?) {
            return Err(unsupported("subject_token_type"));
        }
        // The client itself is the actor.
        if let Some(name) = ["actor_token", "actor_token_type"].into_iter().find(|name| request.form.has(name)) {
            return Err(unsupported(name));
        }
        let kind = match request.form.one("requested_token_type")? {
            None | Some(ACCESS_TOKEN) => ACCESS_TOKEN,
            Some(JWT) => JWT,
            Some(_) => return Err(unsupported("requested_token_type")),
        };
        let audience = &["resource", "audience"];
        let handed_in = HandedIn { token, parameter: "subject_token", audience, issued_type: Some(kind) };
        self.delegate(request, client, handed_in, record).await
    }
}
