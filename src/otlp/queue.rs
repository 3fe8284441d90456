//! Spans of all workers, on their way to the collector: bounded, and full spans are dropped rather than waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Span;
use crate::metrics::SpanCounts;

/// Most spans that wait.
pub(super) const MOST: usize = 4_096;

/// Spans after which sending begins before the interval is over.
const EARLY: usize = MOST / 4;

/// Spans that wait to be sent.
#[derive(Debug)]
pub struct SpanQueue {
    waiting: Mutex<Vec<Span>>,
    counts: Arc<SpanCounts>,
    /// There are enough for a batch.
    pub(super) filled: Notify,
}

impl SpanQueue {
    /// An empty queue.
    pub fn new(counts: Arc<SpanCounts>) -> Self {
        Self { waiting: Mutex::default(), counts, filled: Notify::new() }
    }

    /// Adds the spans of one request: all of them, or none where there is no room.
    pub fn add(&self, spans: Vec<Span>) {
        let count = spans.len();
        let mut waiting = self.locked();
        let before = waiting.len();
        if before + count > MOST {
            drop(waiting);
            self.counts.dropped(count);
            return;
        }
        waiting.extend(spans);
        drop(waiting);
        if before < EARLY && before + count >= EARLY {
            self.filled.notify_one();
        }
    }

    /// Takes all that wait.
    pub(super) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.locked())
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Span>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanKind;
    use super::*;

    fn spans(count: usize) -> Vec<Span> {
        let span = Span {
            trace_id: 1,
            id: 1,
            parent: 0,
            name: "x".into(),
            kind: SpanKind::Internal,
            start: 0,
            end: 0,
            attributes: Vec::new(),
            error: None,
        };
        vec![span; count]
    }

    #[test]
    fn a_full_queue_drops_whole_traces_and_counts_their_spans() {
        let counts = Arc::new(SpanCounts::default());
        let queue = SpanQueue::new(Arc::clone(&counts));
        queue.add(spans(MOST - 2));
        queue.add(spans(3));
        queue.add(spans(2));
        queue.add(spans(1));
        assert_eq!((queue.take().len(), counts.dropped_so_far()), (MOST, 4));
        queue.add(spans(1));
        assert_eq!((queue.take().len(), counts.dropped_so_far()), (1, 4));
    }
}
