//! What another issuer tells of its own accord, put in force: sessions and customers' tokens are revoked, here and on all
//! replicas.

use crate::auth::provider_events::{Ended, ProviderEvent};
use crate::gateway::Gateway;
use crate::gateway::observe::record::Record;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::state::replay::Use;
use crate::state::revocation::{Rule, Subject};

use super::logout::customer_rules;

impl Gateway {
    /// Ends what an authentic event ends; returns whether it came for the first time. One that comes again ends nothing that
    /// began since, but what it ended the first time is in the store afterwards. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Refusal::StateUnavailable`]: something may live on.
    pub(super) async fn end_told(
        &self,
        policy: &Policy,
        event: &ProviderEvent,
        now: u64,
        record: &mut Record,
    ) -> Result<bool, Refusal> {
        record.fact("issuer", &event.issuer);
        let state = &self.shared.state;
        let unavailable = |_| Refusal::StateUnavailable;
        // An old one may be new here, or one that has been forgotten.
        let is_known_as_first = event.forgotten > now
            && match state.use_once(event.id, event.issued_at, event.forgotten, now).await.map_err(unavailable)? {
                // Without a share nobody would notice its return; the end of a session is worth more than that.
                Use::First | Use::ShareIsFull => true,
                Use::Again => false,
            };
        let revocations = state.revocations();
        let rules_of = |ended: &Ended| match ended {
            Ended::Session(name) => {
                vec![revocations.until_now(Subject::Login(name.clone()), now, now.saturating_add(event.longest))]
            }
            Ended::Customer(customer) => customer_rules(policy, revocations, customer, None, now),
        };
        let mut is_news = is_known_as_first;
        let mut in_force = |rule: Rule| {
            let known = revocations.rule(&rule.subject);
            let known = known.filter(|known| !is_known_as_first && known.since >= event.issued_at);
            is_news |= known.is_none();
            known.unwrap_or(rule)
        };
        let rules: Vec<Rule> = event.ended.iter().flat_map(rules_of).map(&mut in_force).collect();
        for ended in &event.ended {
            if let Ended::Customer(customer) = ended {
                record.known.customer = Some(customer.clone());
            }
        }
        if !rules.is_empty() {
            state.revoke(rules).await.map_err(unavailable)?;
            let ends = if record.known.customer.is_some() { "customer" } else { "session" };
            tracing::info!(
                issuer = event.issuer,
                ends,
                is_news,
                request_id = record.id(),
                "an issuer has ended logins"
            );
        }
        Ok(is_news)
    }
}
