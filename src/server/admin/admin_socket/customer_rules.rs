//! Revocation rules for all logins of one customer, found by an identifier.

use http::StatusCode;

use super::api_error::Fault;
use super::clock::now;
use crate::customer::{Identifier, Mode};
use crate::gateway::{Shared, customer_of_backend, customer_rules};
use crate::state::revocation::Rule;

/// A one-way identifier of one backend cannot be told from that of all.
const ONE_WAY: &str = "if this is an identifier of a backend with `pairwise`, it ended nothing: in mode one_way it cannot be \
     traced to its customer. `wicketgate id for SUBJECT --backend NAME` finds what a backend calls a customer, and without \
     --backend what to revoke";

/// Rules that end all logins of a customer, found by the general identifier or by that of one backend, and a note for
/// the operator.
pub(super) fn rules_of(shared: &Shared, customer: &str) -> Result<(Vec<Rule>, Option<String>), Fault> {
    let (policy, now) = (shared.policy(), now());
    let fault = |message: String| Fault(StatusCode::NOT_FOUND, message);
    let deriver = policy.auth.deriver.as_ref().ok_or_else(|| fault(format!("there is no customer `{customer}`")))?;
    if let Some((known, backend)) = customer_of_backend(&policy, customer) {
        let note = format!("{customer} is what the backend `{backend}` calls this customer");
        return Ok((customer_rules(&policy, shared.state.revocations(), &known, None, now), Some(note)));
    }
    deriver.accept(customer, now).map_err(|found| fault(found.to_string()))?;
    let may_be_of_backend =
        deriver.mode() == Mode::OneWay && policy.routes.iter().any(|route| route.pairwise.is_some());
    let note = may_be_of_backend.then(|| ONE_WAY.to_owned());
    let known = Identifier::from_store(customer);
    Ok((customer_rules(&policy, shared.state.revocations(), &known, None, now), note))
}

/// All identifiers of a customer: a session keeps the one of its login.
pub(super) fn names_of(shared: &Shared, customer: &str) -> Result<Vec<Identifier>, Fault> {
    let (rules, _) = rules_of(shared, customer)?;
    Ok(rules.iter().map(|rule| Identifier::from_store(rule.subject.name())).collect())
}
