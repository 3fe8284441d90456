//! What verdicts on tokens want and see, for explanations.

use crate::auth::jwt::Verifier;
use crate::auth::trusted_issuer::TrustedIssuers;
use crate::explanation::trace::{StepDetail, pointer_step, shown};

/// Most issuers that are named.
const MOST_NAMED: usize = 5;

/// The issuer of a customer's token, which is none that is known.
pub(super) fn unknown_issuer(issuer: &str, own: Option<&Verifier>, trusted: &TrustedIssuers) -> StepDetail {
    let of_customers = trusted.iter().filter(|trusted| trusted.customers).map(|trusted| trusted.verifier.issuer());
    let mut all: Vec<&str> = own.map(Verifier::issuer).into_iter().chain(of_customers).collect();
    all.dedup();
    let mut wanted = format!("iss {}", all.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(" or "));
    if all.len() > MOST_NAMED {
        wanted.push_str(&format!(", or one of {} more", all.len() - MOST_NAMED));
    }
    let near =
        all.iter().find_map(|known| Some(format!("it differs only in {} from {known}", difference(issuer, known)?)));
    let why = near.unwrap_or_else(|| "which is none of them".to_owned());
    StepDetail::new(wanted, format!("{}, {why}", shown(issuer))).at("/trusted_issuers")
}

/// In what two spellings of one issuer differ; `None` where they are two issuers.
fn difference(one: &str, other: &str) -> Option<&'static str> {
    let bare = |issuer: &str| issuer.split_once("://").map_or(issuer, |(_, rest)| rest).to_owned();
    if one.trim_end_matches('/') == other.trim_end_matches('/') {
        Some("a slash at the end")
    } else if one.eq_ignore_ascii_case(other) {
        Some("upper and lower case")
    } else if one.trim() == other {
        Some("blanks at its ends")
    } else if bare(one) == bare(other) {
        Some("the scheme")
    } else {
        None
    }
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
