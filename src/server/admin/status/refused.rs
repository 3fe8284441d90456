//! Refusals as the report has them: by word, by caller, and the most recent ones.

use std::collections::{BTreeMap, HashMap};

use super::report::{CallerRefusals, RefusalRow, WordReport};
use super::words::cause_and_fix;
use crate::gateway::observe::recent_refusals::RecentRefusal;
use crate::metrics::Traffic;
use crate::refusal::Refusal;

/// Most rows of callers.
const MOST_CALLERS: usize = 50;

/// Most recent refusals that are listed.
const MOST_RECENT: usize = 50;

/// Most routes named with a word.
const MOST_ROUTES: usize = 5;

/// Counts of one word.
#[derive(Default)]
struct CountedWord<'a> {
    last_minute: u64,
    total: u64,
    observed: u64,
    routes: BTreeMap<&'a str, u64>,
}

/// Refusals by word: most of the last minute first, then most in all, then the latest. `before` is the traffic of a minute
/// ago, and `recent` begins with the newest.
pub(super) fn by_word(now: &Traffic, before: Option<&Traffic>, recent: &[RecentRefusal]) -> Vec<WordReport> {
    let mut words: BTreeMap<&'static str, CountedWord<'_>> = BTreeMap::new();
    for (name, route) in &now.routes {
        let earlier = before.and_then(|before| before.routes.get(name));
        for (word, count) in &route.refusals {
            let known = earlier.and_then(|earlier| earlier.refusals.get(word)).copied().unwrap_or_default();
            let counted = words.entry(word).or_default();
            counted.last_minute += count.saturating_sub(known);
            counted.total += count;
            *counted.routes.entry(name).or_default() += count;
        }
        for (word, count) in &route.observed {
            words.entry(word).or_default().observed += count;
        }
    }
    let report = |(word, counted): (&'static str, CountedWord<'_>)| {
        let CountedWord { last_minute, total, observed, routes } = counted;
        let mut routes: Vec<(String, u64)> = routes.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        routes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        routes.truncate(MOST_ROUTES);
        let (cause, fix) = cause_and_fix(word);
        WordReport { word: word.to_owned(), last_minute, total, observed, routes, cause, fix }
    };
    let mut all: Vec<WordReport> = words.into_iter().map(report).collect();
    let newest = |word: &str| recent.iter().position(|refusal| refusal.refusal == word).unwrap_or(usize::MAX);
    all.sort_by_cached_key(|word| (std::cmp::Reverse((word.last_minute, word.total)), newest(&word.word)));
    all
}

/// Who was refused, most first.
pub(super) fn by_caller(recent: &[RecentRefusal]) -> Vec<CallerRefusals> {
    let mut all: HashMap<(String, &str, &str), (usize, u64)> = HashMap::new();
    for refusal in recent {
        let (count, last) = all.entry((caller(refusal), refusal.refusal, &refusal.route)).or_default();
        (*count, *last) = (*count + 1, refusal.time_ms.max(*last));
    }
    let row = |((caller, word, route), (count, last_ms)): ((String, &str, &str), (usize, u64))| CallerRefusals {
        caller,
        word: word.to_owned(),
        route: route.to_owned(),
        count,
        last_ms,
    };
    let mut all: Vec<CallerRefusals> = all.into_iter().map(row).collect();
    all.sort_by(|one, other| (other.count, other.last_ms, &one.caller).cmp(&(one.count, one.last_ms, &other.caller)));
    all.truncate(MOST_CALLERS);
    all
}

/// The most recent ones as rows.
pub(super) fn rows(recent: &[RecentRefusal]) -> Vec<RefusalRow> {
    recent.iter().take(MOST_RECENT).map(row).collect()
}

/// One of them as a row.
pub(super) fn row(refusal: &RecentRefusal) -> RefusalRow {
    RefusalRow {
        request_id: refusal.request_id.clone(),
        time_ms: refusal.time_ms,
        route: refusal.route.to_string(),
        method: refusal.method.to_owned(),
        status: refusal.status,
        word: refusal.refusal.to_owned(),
        code: refusal.code.to_owned(),
        observed: refusal.observed,
        caller: caller(refusal),
    }
}

/// The client, the API key, or the address where nothing was proved.
fn caller(refusal: &RecentRefusal) -> String {
    let claims_only = Refusal::from_word(refusal.refusal).is_some_and(Refusal::is_of_unproved_client);
    match (&refusal.client, &refusal.api_key) {
        (Some(client), _) if claims_only => format!("address {}, as {client}", refusal.client_address),
        (Some(client), _) => format!("client {client}"),
        (None, Some(key)) => format!("API key {key}"),
        (None, None) => format!("address {}", refusal.client_address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(client: Option<&str>, word: &'static str, time_ms: u64) -> RecentRefusal {
        RecentRefusal {
            request_id: format!("r{time_ms}"),
            time_ms,
            route: "profile".into(),
            method: "GET",
            status: 403,
            refusal: word,
            code: "403-1",
            observed: false,
            client_address: "192.0.2.7".to_owned(),
            client: client.map(Into::into),
            api_key: None,
            customer: None,
            backend: None,
            backend_fault: None,
            explanation: None,
        }
    }

    #[test]
    fn refusals_are_counted_by_who_was_refused_and_why() {
        let recent =
            [refusal(None, "scope", 9), refusal(Some("asapp"), "scope", 5), refusal(Some("asapp"), "scope", 7)];
        let callers = by_caller(&recent);
        let shown: Vec<_> = callers.iter().map(|row| (&*row.caller, row.count, row.last_ms)).collect();
        assert_eq!(shown, [("client asapp", 2, 7), ("address 192.0.2.7", 1, 9)]);
        let claimed =
            [refusal(Some("asapp"), "wrong_client_secret", 5), refusal(Some("asapp"), "client_assertion_expired", 6)];
        for row in rows(&claimed) {
            assert_eq!(row.caller, "address 192.0.2.7, as asapp", "{}", row.word);
        }
        let many: Vec<_> = (0..1_024).map(|number| refusal(Some(&format!("c{number}")), "scope", number)).collect();
        assert_eq!((by_caller(&many).len(), rows(&many).len()), (MOST_CALLERS, MOST_RECENT));
    }
}
