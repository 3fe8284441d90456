//! Explanations of the worker's own refusals, for the most recent ones in memory: within a budget, and without waiting
//! for anything.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::Request;

use super::outcome::{settle, settle_observed, summary};
use super::{Explained, copied_parts};
use crate::explanation::Explanation;
use crate::gateway::connection::Connection;
use crate::gateway::connection::taken_head::TakenHead;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::{Current, Gateway};

/// Where a request came from: the policy, the connection and the framing of its head.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Origin<'r> {
    pub(in crate::gateway) current: &'r Rc<Current>,
    pub(in crate::gateway) connection: &'r Rc<Connection>,
    pub(in crate::gateway) taken: &'r TakenHead,
}

impl Gateway {
    /// Explains a refusal, or, without one, what a route only observed, with a copy of the request.
    pub(in crate::gateway) fn explain_refusal(
        &self,
        origin: Origin<'_>,
        copy: impl FnOnce() -> (Request<()>, Option<Bytes>),
        refused: Option<&Refused>,
        record: &mut Record,
    ) {
        if record.checks.is_some() || !self.explanations.take(record.known.names_caller(), Instant::now()) {
            return;
        }
        let Origin { current, connection, taken } = origin;
        let explainer = self.explainer.get_or_init(|| Self::explaining(Arc::clone(&self.shared), current));
        let (head, body) = copy();
        let request_id = record.request_id.clone();
        let explained = Explained { current, connection, taken, head, body, request_id, asks_store: false };
        // Nothing in it waits.
        let explaining = pin!(explainer.explained(explained));
        let Poll::Ready(mut explanation) = explaining.poll(&mut Context::from_waker(Waker::noop())) else { return };
        let told = explanation.refusal.as_deref();
        match (refused, record.observed) {
            (Some(refused), _) if told != Some(refused.refusal.as_str()) => {
                settle(&mut explanation, refused.refusal, Some(refused));
            }
            (None, Some(observed)) if told != Some(observed.as_str()) => settle_observed(&mut explanation, observed),
            _ => {}
        }
        // The path and the names of fields are a caller's, and stay in no memory.
        explanation.backend_request = Vec::new();
        record.explanation = Some(Arc::new(explanation));
    }

    /// The same of a call that has found its route.
    pub(in crate::gateway) fn explain_call(
        &self,
        origin: Origin<'_>,
        call: &Call<'_>,
        refused: Option<&Refused>,
        record: &mut Record,
    ) {
        let Call { head, parts, body, .. } = call;
        let copy = || (copied_parts(parts, Some(&head.host)), body.bytes().cloned());
        self.explain_refusal(origin, copy, refused, record);
    }

    /// Explains a refusal by what its record knows, where there is no explanation yet.
    pub(in crate::gateway) fn summarize_refusal(
        &self,
        connection: &Connection,
        refused: &Refused,
        record: &mut Record,
    ) {
        if record.explanation.is_none() && self.explanations.take(record.known.names_caller(), Instant::now()) {
            let explanation: Explanation = summary(record, connection, refused);
            record.explanation = Some(Arc::new(explanation));
        }
    }
}
