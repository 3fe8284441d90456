//! `reload.guard`: whether refusals of callers jump after a reload.
//!
//! Strangers must not be able to take a reload back, nor one caller with an authentic credential. So calls are compared
//! group by group: those of one client, API key and kind of customer on one route. A group counts by its calls before the
//! reload, and for no more than the answered calls that it has lost since: a flood of refused calls on top changes
//! nothing. Where no credential of a group is authentic any more, refusals of strangers on its route count as its own,
//! but only if it is answered nowhere else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::in_force::Earlier;
use super::preview::{RefusalJudge, ReloadCauses};
use crate::config::percentage::Percentage;
use crate::config::raw::ReloadGuard;
use crate::gateway::observe::request_shapes::{NOBODY, RequestShape, RequestShapes, STRANGER};
use crate::policy::Policy;

/// Fewest calls before a reload, and fewest refused calls after it, from which anything follows.
const FEWEST: u64 = 10;

/// Most samples of a window.
const SAMPLES: u32 = 10;

/// Whose calls are compared: route, client, API key, and whether a customer.
type Group = (Arc<str>, Option<Arc<str>>, Option<Arc<str>>, bool);

/// Counts since the start of the process.
#[derive(Debug, Clone, Default)]
struct Counts {
    groups: HashMap<Group, Calls>,
    /// Refused requests with a credential that is not authentic, by route.
    strangers: HashMap<Arc<str>, u64>,
    /// Refused requests that no route answers.
    unanswered: u64,
}

#[derive(Debug, Clone, Default)]
struct Calls {
    answered: u64,
    /// Refused because of the caller, by method and word.
    refused: HashMap<(&'static str, &'static str), u64>,
}

impl Calls {
    fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    fn all(&self) -> u64 {
        self.answered + self.refused()
    }
}

impl Counts {
    fn of(shapes: HashMap<RequestShape, u64>) -> Self {
        let mut counts = Self::default();
        for (shape, count) in shapes {
            if shape.is_of_stranger() {
                match shape.refusal {
                    STRANGER => *counts.strangers.entry(shape.route).or_default() += count,
                    NOBODY if &*shape.route == "none" => counts.unanswered += count,
                    _ => {}
                }
                continue;
            }
            let calls = counts.groups.entry((shape.route, shape.client, shape.api_key, shape.customer)).or_default();
            if shape.refusal.is_empty() {
                calls.answered += count;
            } else if is_about_callers(shape.refusal) {
                *calls.refused.entry((shape.method, shape.refusal)).or_default() += count;
            }
        }
        counts
    }

    /// What has been added since `earlier`.
    fn since(&self, earlier: &Self) -> Self {
        let mut added = self.clone();
        for (group, calls) in &mut added.groups {
            let Some(before) = earlier.groups.get(group) else { continue };
            calls.answered = calls.answered.saturating_sub(before.answered);
            for (word, count) in &mut calls.refused {
                *count = count.saturating_sub(before.refused.get(word).copied().unwrap_or_default());
            }
        }
        for (route, count) in &mut added.strangers {
            *count = count.saturating_sub(earlier.strangers.get(route).copied().unwrap_or_default());
        }
        added.unanswered = added.unanswered.saturating_sub(earlier.unanswered);
        added
    }

    fn calls(&self) -> u64 {
        self.groups.values().map(Calls::all).sum()
    }
}

/// Returns whether a refusal says something about callers: not about backends, floods or the gateway itself.
fn is_about_callers(word: &str) -> bool {
    const WORDS: [&str; 18] = [
        "address_not_allowed",
        "client_certificate",
        "other_certificate",
        "token_certificate",
        "misdirected",
        "host_not_served",
        "plain_http",
        "no_route",
        "ambiguous_route",
        "method",
        "no_credential",
        "credential_repeated",
        "credential_conflict",
        "scope",
        "cross_site",
        "identifier_mismatch",
        "content_type",
        "body_too_large",
    ];
    const BEGINNINGS: [&str; 5] = ["api_key_", "client_token_", "customer_token_", "session_", "dpop_"];
    let is_ours = word.ends_with("_no_keys") || word.ends_with("_introspection");
    WORDS.contains(&word) || BEGINNINGS.iter().any(|beginning| word.starts_with(beginning)) && !is_ours
}

/// The guard of a process.
#[derive(Default)]
pub(super) struct Guard {
    watched: Mutex<GuardState>,
}

#[derive(Default)]
struct GuardState {
    settings: Option<ReloadGuard>,
    /// The counts of a window until now.
    samples: VecDeque<(Instant, Counts)>,
    trial: Option<Trial>,
}

/// A configuration that is in force and not yet confirmed.
struct Trial {
    settings: ReloadGuard,
    /// The last confirmed one.
    earlier: Earlier,
    since: Instant,
    /// What is different from that one.
    causes: ReloadCauses,
    at_reload: Counts,
    /// The calls of the window before, or of the last hour where that had too few.
    before: Counts,
    /// The length of time in which they came.
    took: Duration,
}

/// What becomes of a configuration on trial.
pub(super) enum TrialVerdict {
    /// None is, or it goes on.
    Open,
    /// It stays; the one before is not needed any more.
    Confirmed(Earlier),
    /// It goes; the reason in a sentence.
    RollBack(Earlier, String),
}

impl Guard {
    /// Takes these settings from now on.
    pub(super) fn set(&self, settings: Option<ReloadGuard>) {
        let mut state = self.locked();
        state.settings = settings;
        if settings.is_none() {
            state.samples.clear();
        }
    }

    /// The pause between two looks; `None` while it is off.
    pub(super) fn pause(&self) -> Option<Duration> {
        let window = self.locked().settings?.window.get();
        Some((window / SAMPLES).clamp(Duration::from_millis(50), Duration::from_secs(5)))
    }

    /// Another configuration is put in force, with `settings`, in place of `earlier`. Where that was itself on trial, the
    /// last confirmed one and the calls before it stay the measure. Returns the one that is not needed any more.
    pub(super) fn begin(
        &self,
        settings: Option<ReloadGuard>,
        (earlier, mut causes): (Earlier, ReloadCauses),
        shapes: &RequestShapes,
        now: Instant,
    ) -> Option<Earlier> {
        let mut state = self.locked();
        let trial = state.trial.take();
        state.settings = settings;
        let Some(settings) = settings else {
            state.samples.clear();
            return Some(earlier);
        };
        let at_reload = Counts::of(shapes.totals());
        let (trial, unneeded) = match trial {
            Some(trial) => {
                causes.add(trial.causes);
                (Trial { settings, since: now, causes, at_reload, ..trial }, Some(earlier))
            }
            None => {
                let window = state.samples.front().map(|(since, counts)| (*since, at_reload.since(counts)));
                let (before, took) = match window.filter(|(_, before)| before.calls() >= FEWEST) {
                    Some((since, before)) => (before, now.saturating_duration_since(since)),
                    None => (Counts::of(shapes.last_hour().0), Duration::from_secs(3_600)),
                };
                (Trial { settings, earlier, since: now, causes, at_reload, before, took }, None)
            }
        };
        state.trial = Some(trial);
        unneeded
    }

    /// Looks at the counts of calls under `policy`, which is in force.
    pub(super) fn look(&self, shapes: &RequestShapes, policy: &Policy, now: Instant) -> TrialVerdict {
        let counts = Counts::of(shapes.totals());
        let mut state = self.locked();
        let Some(settings) = state.settings else { return TrialVerdict::Open };
        let verdict = match state.trial.take() {
            None => TrialVerdict::Open,
            Some(trial) => {
                let after = now.saturating_duration_since(trial.since);
                match trial.fault(&counts.since(&trial.at_reload), policy, after) {
                    Some(fault) => TrialVerdict::RollBack(trial.earlier, fault),
                    None if after >= trial.settings.window.get() => TrialVerdict::Confirmed(trial.earlier),
                    None => {
                        state.trial = Some(trial);
                        TrialVerdict::Open
                    }
                }
            }
        };
        // Of a configuration on trial nothing is known yet.
        if state.trial.is_none() {
            state.samples.push_back((now, counts));
            let window = settings.window.get();
            while state.samples.len() > 1
                && state.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= window)
            {
                state.samples.pop_front();
            }
            while state.samples.len() > 2 * SAMPLES as usize {
                state.samples.pop_front();
            }
        }
        verdict
    }

    fn locked(&self) -> MutexGuard<'_, GuardState> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial {
    /// The sentence about refusals that have jumped; `None` if they have not. `after` is what came since the reload.
    fn fault(&self, after: &Counts, policy: &Policy, elapsed: Duration) -> Option<String> {
        let calls_before = self.before.calls();
        let refused: u64 = after.groups.values().map(Calls::refused).sum();
        let strangers: u64 = after.strangers.values().sum();
        if calls_before < FEWEST || refused + strangers + after.unanswered < FEWEST {
            return None;
        }
        let judge = RefusalJudge::new(&self.causes, &self.earlier.policy, policy);
        let mut after = after.clone();
        let (mut grown, mut seen, mut refused) = (0.0, 0.0, 0);
        let mut words = Vec::new();
        for (group, before) in &self.before.groups {
            let now = after.groups.remove(group).unwrap_or_default();
            let strange = if now.all() == 0 { self.taken(&mut after, group, before.answered) } else { 0 };
            let all = now.all() + strange;
            if all == 0 || before.all() == 0 {
                continue;
            }
            let by_word = newly_refused(&judge, group, &now);
            let refusals = by_word.values().sum::<u64>() + strange;
            let weight = before.all() as f64;
            // The calls of a caller that comes as often as before, in this time.
            let expected =
                before.answered as f64 * (elapsed.as_secs_f64() / self.took.as_secs_f64().max(0.001)).min(1.0);
            let lost = if expected > 0.0 { (1.0 - now.answered as f64 / expected).max(0.0) } else { 0.0 };
            let more = (refusals as f64 / all as f64).min(lost);
            seen += weight;
            grown += weight * more;
            refused += refusals;
            if more > 0.0 {
                words.push((refusals, told(group, &by_word, refusals, all)));
            }
        }
        let points = if seen > 0.0 { grown / seen } else { 0.0 };
        let most = f64::from(self.settings.refusals.millionths()) / f64::from(Percentage::WHOLE);
        if refused < FEWEST || points <= most {
            return None;
        }
        words.sort_by(|one, other| other.cmp(one));
        let words: Vec<String> = words.into_iter().take(5).map(|(_, words)| words).collect();
        Some(format!(
            "the share of refused calls has grown by {:.0} points, more than `reload.guard.refusals` {}: {}",
            points * 100.0,
            self.settings.refusals,
            words.join("; ")
        ))
    }

    /// Takes refusals of strangers for calls of a group that was answered before, at most `most`: those of credentials on
    /// its route where the reload can make its own unauthentic, and those that no route answers where it has lost its own.
    fn taken(&self, after: &mut Counts, (route, client, api_key, _): &Group, most: u64) -> u64 {
        let mut taken = 0;
        let mut take = |left: &mut u64| {
            let some = (*left).min(most - taken);
            *left -= some;
            taken += some;
        };
        if self.causes.disowns(route, client.as_deref(), api_key.as_deref()) {
            after.strangers.get_mut(route).into_iter().for_each(&mut take);
        }
        if self.causes.loses_route(route) {
            take(&mut after.unanswered);
        }
        taken
    }
}

/// The refusals of a group that come from the reload, by word.
fn newly_refused(judge: &RefusalJudge<'_>, group: &Group, calls: &Calls) -> HashMap<&'static str, u64> {
    let (route, client, api_key, customer) = group.clone();
    let mut shape = RequestShape { route, client, api_key, method: "", customer, refusal: "", observed: "" };
    let mut words = HashMap::new();
    for ((method, word), count) in calls.refused.iter().filter(|(_, count)| **count > 0) {
        (shape.method, shape.refusal) = (method, word);
        if judge.is_new(&shape) {
            *words.entry(*word).or_default() += count;
        }
    }
    words
}

fn told(group: &Group, by_word: &HashMap<&'static str, u64>, refused: u64, all: u64) -> String {
    let (route, client, api_key, customer) = group;
    let who = match (client, api_key) {
        (Some(client), _) => format!("client {client}"),
        (None, Some(key)) => format!("API key {key}"),
        (None, None) if *customer => "customers".to_owned(),
        (None, None) => "callers".to_owned(),
    };
    let mut words: Vec<(u64, &str)> = by_word.iter().map(|(word, count)| (*count, *word)).collect();
    words.sort_unstable_by(|one, other| other.cmp(one));
    match words.first() {
        Some((_, word)) => format!("{refused} of {all} calls of {who} on route {route} are refused: {word}"),
        None => format!(
            "no call of {who} on route {route} is authentic any more, and {refused} calls without an authentic credential \
             are refused"
        ),
    }
}
