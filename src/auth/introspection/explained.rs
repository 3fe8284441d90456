//! What verdicts on tokens want and see, for explanations.

use crate::explanation::trace::{StepDetail, pointer_step, shown};

/// The issuer of a customer's token, which is none that is known.
pub(super) fn unknown_issuer(issuer: &str) -> StepDetail {
    let wanted = "this gateway's own issuer, or one of trusted_issuers for customers";
    StepDetail::new(wanted, format!("{}, which is none of them", shown(issuer))).at("/trusted_issuers")
}

/// The account of a customer's token of ours.
pub(super) fn account(is_in_force: bool) -> StepDetail {
    let saw = if is_in_force { "it is" } else { "it is gone, or has another password" };
    StepDetail::new("the account is as it was at the login", saw).at("/login/accounts")
}

/// The client of an access token of ours.
pub(super) fn client(id: &str) -> StepDetail {
    StepDetail::new("a client of gateway.yaml", shown(id)).at(format!("/clients/{}", pointer_step(id)))
}
