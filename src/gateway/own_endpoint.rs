//! Calls that the gateway answers itself: which endpoint has which target.

use std::sync::Arc;

use http::header;

use super::cors::CorsContext;
use super::endpoints::options::options;
use super::endpoints::well_known::published;
use super::error::Refused;
use super::exchange::Exchange;
use super::request::call::Call;
use super::{Answer, Gateway, endpoints, forward_auth};
use crate::policy::{Policy, Preflighted, Target};
use crate::refusal::Refusal;

impl Gateway {
    /// A call that the gateway answers itself. The futures are rare and large, so they are boxed.
    pub(super) async fn endpoint(
        &self,
        target: Target,
        call: Box<Call<'_>>,
        exchange: &mut Exchange,
    ) -> Result<Answer, Refused> {
        let (policy, record) = (call.policy, &mut exchange.record);
        record.trace.step("endpoint");
        match target {
            Target::Route(_) | Target::Choice(_) => Err(Refusal::Internal.into()),
            Target::Preflight(asked) => {
                record.route = name_of(policy, asked);
                let cors = policy.cors_of(asked).ok_or(Refusal::Internal)?;
                Ok(CorsContext::of(cors, &call.parts.headers).preflight())
            }
            Target::Login => {
                record.route = endpoints::login::NAME.into();
                Box::pin(self.login(call, record)).await
            }
            Target::Authorization => Box::pin(self.authorization(call, record)).await,
            Target::ProviderCallback => Box::pin(self.provider_callback(call, record)).await,
            Target::AccessToken => {
                record.route = endpoints::token::NAME.into();
                Box::pin(self.access_token(call, record)).await
            }
            Target::Logout => {
                record.route = endpoints::logout::NAME.into();
                Box::pin(self.logout(call, record)).await
            }
            Target::Revoke => {
                record.route = endpoints::revoke_introspect::REVOKE.into();
                let basic = call.parts.headers.contains_key(header::AUTHORIZATION);
                Box::pin(self.revoke(call, record)).await.map_err(|refused| Refused { basic, ..refused })
            }
            Target::Introspect => {
                record.route = endpoints::revoke_introspect::INTROSPECT.into();
                let basic = call.parts.headers.contains_key(header::AUTHORIZATION);
                Box::pin(self.introspect(call, record)).await.map_err(|refused| Refused { basic, ..refused })
            }
            Target::BackchannelLogout => {
                record.route = endpoints::backchannel_logout::NAME.into();
                Box::pin(self.backchannel_logout(call, record)).await
            }
            Target::SecurityEvents => {
                record.route = endpoints::security_events::NAME.into();
                Box::pin(self.security_events(call, record)).await
            }
            Target::Everything => Ok(options(None)),
            Target::ForwardAuth => {
                record.route = forward_auth::NAME.into();
                Box::pin(self.decide(call, exchange)).await
            }
            Target::ExtAuthz => {
                record.route = forward_auth::ext_authz::NAME.into();
                Box::pin(self.ext_authz(call, exchange)).await
            }
            Target::KeySet
            | Target::Certificates
            | Target::Metadata
            | Target::ProtectedResource(_)
            | Target::OpenApi(_) => {
                record.route = endpoints::well_known::NAME.into();
                Ok(document(policy, target))
            }
        }
    }
}

/// The name in log and metrics of what a browser asks about.
pub(super) fn name_of(policy: &Policy, asked: Preflighted) -> Arc<str> {
    match asked {
        Preflighted::Route(number) => Arc::clone(&policy.routes[number as usize].name),
        Preflighted::Login => endpoints::login::NAME.into(),
        Preflighted::Logout => endpoints::logout::NAME.into(),
        Preflighted::AccessToken => endpoints::token::NAME.into(),
        Preflighted::Revoke => endpoints::revoke_introspect::REVOKE.into(),
        Preflighted::Document => endpoints::well_known::NAME.into(),
    }
}

/// A public document below `/.well-known`.
fn document(policy: &Policy, target: Target) -> Answer {
    let issuer = policy.issuer.as_ref();
    match target {
        Target::KeySet => published("application/jwk-set+json", issuer.map(|issuer| &issuer.jwks)),
        Target::Certificates => published("application/x-pem-file", issuer.map(|issuer| &issuer.certificates)),
        Target::ProtectedResource(number) => {
            published("application/json", policy.protected_resources.get(number as usize))
        }
        Target::OpenApi(number) => published("application/json", policy.openapi.get(number as usize)),
        _ => published("application/json", issuer.map(|issuer| &issuer.metadata)),
    }
}
