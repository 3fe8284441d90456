//! Identifiers of customers: derived for a probe under both configurations, for each tenant and backend.

use std::collections::BTreeMap;

use super::Compared;
use super::meaning::{Section, parsed};
use super::written::shown_value;
use crate::customer::{Deriver, Identifier, Mode};
use crate::policy::Policy;
use crate::policy::accounts::Accounts;
use crate::policy::route::Route;
use crate::policy_change::{ChangeSubject, PolicyChange};

/// A subject that nobody has.
const PROBE: &str = "wicketgate-probe";

/// Keys of `login` that say who a customer is.
const SUBJECT_KEYS: [&[&str]; 3] =
    [&["accounts", "subject"], &["accounts", "ldap", "subject"], &["provider", "subject"]];

/// Every way in which backends would know customers by other names. `now` is in seconds since 1970.
pub(super) fn changes(old: &Compared, new: &Compared, now: u64) -> Vec<PolicyChange> {
    let (Some(before), after) = (&old.policy.auth.deriver, &new.policy.auth.deriver) else { return Vec::new() };
    let Some(after) = after else {
        return vec![danger(
            "`identifier` is no longer set: backends get no identifiers of customers any more".to_owned(),
        )];
    };
    let mut changes = of_tenants(old, new, (before, after), now);
    changes.extend(of_subjects(old, new));
    if changes.is_empty() {
        changes.extend(of_accounts(&old.policy, &new.policy));
        changes.extend(of_backends(&old.policy, &new.policy));
    }
    changes.extend(of_sent(old, new));
    changes
}

fn danger(what: String) -> PolicyChange {
    PolicyChange::new(ChangeSubject::Identifiers, true, what)
}

/// The identifier of the probe, for each tenant that is there before and after.
fn of_tenants(old: &Compared, new: &Compared, (before, after): (&Deriver, &Deriver), now: u64) -> Vec<PolicyChange> {
    let (old, new) = (old.meaning.entries(Section::Tenants), new.meaning.entries(Section::Tenants));
    let mut changes: BTreeMap<String, PolicyChange> = BTreeMap::new();
    for (issuer, tenant) in old {
        let Some(next) = new.get(issuer) else { continue };
        let (was, is) = (parsed(tenant), parsed(next));
        let (was, is) = (was.as_str().unwrap_or_default(), is.as_str().unwrap_or_default());
        let (Ok(one), Ok(other)) = (before.derive(was, PROBE), after.derive(is, PROBE)) else { continue };
        if one == other {
            continue;
        }
        let versions =
            [before, after].map(|deriver| deriver.versions().next().map(|(version, ..)| format!("v{version}")));
        let [from, to] = versions;
        if after.derive_previous(is, PROBE, now) == Some(one) {
            let what = "the identifier key rotates with an overlap: backends get both identifiers meanwhile".to_owned();
            let change = PolicyChange::new(ChangeSubject::Identifiers, false, what);
            changes.insert(String::new(), change.from_to(from, to));
            continue;
        }
        let whose = if issuer.is_empty() { "our own accounts".to_owned() } else { format!("issuer {issuer}") };
        let (why, from, to) = if before.mode() != after.mode() {
            let mode = |deriver: &Deriver| Some(mode_word(deriver.mode()).to_owned());
            ("`identifier.mode` is another", mode(before), mode(after))
        } else if was != is {
            ("their tenant is another", Some(was.to_owned()), Some(is.to_owned()))
        } else {
            ("`identifier.key` is another, without the one before", None, None)
        };
        let what = format!("the identifiers of all customers of {whose} change: {why}");
        changes.insert(issuer.clone(), danger(what).from_to(from, to));
    }
    changes.into_values().collect()
}

fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Traceable => "traceable",
        Mode::OneWay => "one_way",
    }
}

/// The places at which issuers and logins say who a customer is.
fn of_subjects(old: &Compared, new: &Compared) -> Vec<PolicyChange> {
    let mut changes = Vec::new();
    for name in old.meaning.entries(Section::TrustedIssuers).keys() {
        let [before, after] = [old, new].map(|side| side.meaning.entry(Section::TrustedIssuers, name));
        if !after.is_null() && before["subject"] != after["subject"] {
            let what = format!("the identifiers of all customers of issuer {name} change: `subject` is another claim");
            let shown = |value: &serde_json::Value| shown_value("subject", value);
            changes.push(danger(what).from_to(shown(&before["subject"]), shown(&after["subject"])));
        }
    }
    let [before, after] = [old, new].map(|side| side.meaning.entry(Section::Settings, "login"));
    for keys in SUBJECT_KEYS {
        let of = |login: &serde_json::Value| keys.iter().fold(login.clone(), |value, key| value[*key].clone());
        let (was, is) = (of(&before), of(&after));
        if was != is && !was.is_null() && !is.is_null() {
            let what =
                format!("the identifiers of all customers who log in change: `login.{}` is another", keys.join("."));
            changes.push(danger(what).from_to(shown_value("subject", &was), shown_value("subject", &is)));
        }
    }
    changes
}

/// Accounts of the file that stand for another customer than before.
fn of_accounts(old: &Policy, new: &Policy) -> Option<PolicyChange> {
    let (Accounts::File(before), Accounts::File(after)) =
        (&old.login.as_ref()?.accounts, &new.login.as_ref()?.accounts)
    else {
        return None;
    };
    let moved = before
        .customers()
        .filter(|(name, customer)| after.find(name).is_some_and(|account| account.customer != **customer));
    let count = moved.count();
    (count > 0).then(|| danger(format!("the identifiers of {count} accounts change: their subject is another")))
}

/// Accounts of the file that vanish. Their names are personal data, and only their number is told.
pub(super) fn vanished_accounts(old: &Policy, new: &Policy) -> Option<PolicyChange> {
    let (Accounts::File(before), Accounts::File(after)) =
        (&old.login.as_ref()?.accounts, &new.login.as_ref()?.accounts)
    else {
        return None;
    };
    let all = before.customers().count();
    let gone = before.customers().filter(|(name, _)| after.find(name).is_none()).count();
    let what = format!("{gone} of {all} accounts vanish: their customers cannot log in any more");
    (gone > 0).then(|| PolicyChange::new(ChangeSubject::Callers, true, what))
}

/// The identifiers that only one backend gets.
fn of_backends(old: &Policy, new: &Policy) -> Vec<PolicyChange> {
    let routes: BTreeMap<&str, &Route> = new.routes.iter().map(|route| (&*route.name, route)).collect();
    let changed = old.routes.iter().filter(|route| {
        let Some(other) = routes.get(&*route.name) else { return false };
        route.placement.is_some() && sent(old, route) != sent(new, other)
    });
    let told = |route: &Route| {
        let what =
            format!("route {}: its backend would know all customers by other identifiers (`pairwise`)", route.name);
        danger(what).from_to(Some(old_backend(route)), routes.get(&*route.name).map(|route| old_backend(route)))
    };
    changed.map(told).collect()
}

fn old_backend(route: &Route) -> String {
    format!("backend {}", route.backend.name)
}

/// The identifier of the probe that a backend gets.
fn sent(policy: &Policy, route: &Route) -> Option<Identifier> {
    let deriver = policy.auth.deriver.as_ref()?;
    let customer = deriver.derive(PROBE, PROBE).ok()?;
    match &route.pairwise {
        Some(pairwise) => pairwise.for_backend(deriver, &customer).ok(),
        None => Some(customer),
    }
}

/// Routes that send the company's own key of a customer in place of the identifier, or the other way round.
fn of_sent(old: &Compared, new: &Compared) -> Vec<PolicyChange> {
    let routes: BTreeMap<&str, &Route> = new.policy.routes.iter().map(|route| (&*route.name, route)).collect();
    let form = |route: &Route| Some(if route.send_subject { "subject" } else { "identifier" }.to_owned());
    let pairs = old.policy.routes.iter().filter_map(|route| Some((route, *routes.get(&*route.name)?)));
    let changed = pairs.filter(|(before, after)| {
        before.placement.is_some() && after.placement.is_some() && before.send_subject != after.send_subject
    });
    let told = |(before, after): (&Route, &Route)| {
        let what =
            format!("route {}: its backend would know all customers by other names (`identifier.send`)", before.name);
        danger(what).from_to(form(before), form(after))
    };
    changed.map(told).collect()
}
