//! `grant_type=refresh_token` (RFC 6749 section 6): another JWT of the same login, without a password.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Response;

use super::authorization_endpoint::request::narrowed;
use super::client_authentication::{is_shown, one_of};
use super::customer_token::CustomerJwt;
use super::form::Form;
use super::json_answer::{json_response, times};
use crate::auth::jwt::confirmation::Binding;
use crate::gateway::Gateway;
use crate::gateway::authorize::dpop;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::policy::AccessToken;
use crate::policy::accounts::Accounts;
use crate::refusal::Refusal;
use crate::state::refresh_token::{Family, RefreshToken, Rotated, Rotation};
use crate::state::revocation::Issued;
use crate::state::session::LoginId;

impl Gateway {
    /// Exchanges a refresh token for its successor and another JWT. A client may authenticate itself as well; it need
    /// not, for a customer who logs in has no client secret.
    pub(crate) async fn refresh(
        &self,
        call: &Call<'_>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let login = policy.login.as_ref().ok_or(Refusal::GrantType)?;
        let presented = form.required("refresh_token")?;
        let client = if is_shown(&call.parts.headers, form)? {
            Some(self.authenticate(call, query, form, endpoint, record).await?)
        } else {
            let named = one_of(query, form, "client_id")?.and_then(|id| policy.auth.clients.get(id));
            named.filter(|client| client.is_public)
        };
        let client = client.filter(|client| !client.redirect_uris.is_empty());
        // A client of the authorization code grant reads here what it has read there, and libraries refuse all else.
        let kind = if client.is_some() { "Bearer" } else { "JWT" };
        let scope = match one_of(query, form, "scope")?.filter(|scope| !scope.trim().is_empty()) {
            None => String::new(),
            Some(scope) => match client {
                // As its authorization request: the JWT has no scopes, and many libraries send theirs each time.
                Some(client) => narrowed(client, Some(scope)),
                // A login grants none, so that any is more than was granted (RFC 6749 section 6).
                None => return Err(Refusal::ScopeNotAllowed.into()),
            },
        };
        let scope = if scope.is_empty() { scope } else { format!(r#","scope":{}"#, serde_json::json!(scope)) };
        let presented = RefreshToken::parse(presented).ok_or(Refusal::RefreshToken)?;
        let state = &self.shared.state;
        let issued = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = issued.as_secs();
        let shown = dpop::proof(call, now).transpose().map_err(Refusal::Dpop)?;
        let deriver = policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let successors = presented.successors(deriver);
        let rotation = Rotation { now: issued, grace: login.refresh.map(|refresh| refresh.grace).unwrap_or_default() };
        // Whose login it is, and what its JWT says; a login from before a rotation of the key names its customer as of then.
        let holder = |family: &Family| {
            let customer = deriver.accept(family.customer.as_str(), now).ok()?;
            let claims = match &login.accounts {
                Accounts::File(accounts) => accounts.of_login(family.account, &customer)?.claims.clone(),
                Accounts::Backend(_) | Accounts::Directory(_) | Accounts::Provider => Default::default(),
            };
            Some((customer, claims))
        };
        let rotated = state.rotate(&presented, &successors, rotation, |family| holder(family).is_some()).await;
        let rotated = rotated.map_err(|_| Refusal::StateUnavailable)?;
        let family = self.live_family(rotated, &presented, login.lifetime, record).await?;
        let (customer, claims) = holder(&family).ok_or(Refusal::RefreshToken)?;
        record.known.customer = Some(customer.clone());
        let next = successors.iter().find(|token| token.digest == family.current).ok_or(Refusal::Internal)?;
        let binding = Box::pin(self.customer_binding(shown, &customer, call, now)).await?;
        let kind = binding.as_ref().map_or(kind, |binding| Binding::token_type(Some(binding)));
        // A rule that ends the login ends this too, however much is known now.
        let jwt = CustomerJwt {
            customer: &customer,
            claims,
            issued: Issued { at: now, number: family.number },
            lifetime: login.lifetime,
            login: LoginId::of(&presented.family),
            family: Some(&presented.family),
            binding,
        };
        let jwt = jwt.sign(call)?;
        let (issued_at, expires_in) = times(issued, login.lifetime, endpoint.number_style);
        Ok(json_response(format!(
            r#"{{"token_type":"{kind}","issued_at":{issued_at},"access_token":"{jwt}","JWT":"{jwt}","expires_in":{expires_in},"refresh_token":"{}"{scope}}}"#,
            next.as_str()
        )))
    }

    /// The family of a refresh token after its rotation. A token that was used before ends its family. `lifetime` is that
    /// of its JWTs, in seconds.
    ///
    /// # Errors
    /// [`Refusal::RefreshToken`] and [`Refusal::RefreshTokenReused`]; [`Refusal::StateUnavailable`] where the family may
    /// live on.
    async fn live_family(
        &self,
        rotated: Rotated,
        presented: &RefreshToken,
        lifetime: u64,
        record: &mut Record,
    ) -> Result<Family, Refusal> {
        let state = &self.shared.state;
        match rotated {
            Rotated::Good(family) | Rotated::Reused(family) if state.is_family_revoked(&presented.family, &family) => {
                record.known.customer = Some(family.customer);
                Err(Refusal::RefreshToken)
            }
            Rotated::Unknown | Rotated::Replaced => Err(Refusal::RefreshToken),
            Rotated::Good(family) => Ok(family),
            // Its account, or the key of its customer, is not in force here, and may be tomorrow or at another replica.
            Rotated::Barred(family) => {
                record.known.customer = Some(family.customer);
                Err(Refusal::RefreshToken)
            }
            Rotated::Reused(family) => {
                // What was issued last outlives the family.
                let ends = family.expires_at.saturating_add(lifetime);
                state.end_family(&presented.family, ends).await.map_err(|_| Refusal::StateUnavailable)?;
                record.known.customer = Some(family.customer);
                Err(Refusal::RefreshTokenReused)
            }
        }
    }
}
