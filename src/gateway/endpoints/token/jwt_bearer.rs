//! JWT bearer grant (RFC 7523).

use http::Response;

use super::TokenRequest;
use crate::auth::Client;
use crate::gateway::Gateway;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::response::body::ResponseBody;
use crate::refusal::Refusal;

impl Gateway {
    pub(super) async fn take_assertion(
        &self,
        request: &TokenRequest<'_>,
        client: &Client,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        Err(Refusal::GrantType.into())
    }
}
