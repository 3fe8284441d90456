//! Server-sent events that keep pages current: once a second the sections that have changed.
//!
//! Bounded: so many viewers, and each has a short queue. Whoever does not read misses events, and gets everything with the
//! next one that it takes. A stream ends by itself before its connection must; browsers come again by themselves.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// Most viewers at once.
const MOST_VIEWERS: usize = 16;

/// Events that wait for a viewer to read.
const QUEUE: usize = 2;

/// The beginning of a stream: browsers come again after so many milliseconds.
const BEGIN: &[u8] = b"retry: 1000\n\n";

/// A section of the page: its name, and its HTML.
pub(super) type PageSection = (&'static str, String);

/// All viewers.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    all: Mutex<Vec<Viewer>>,
    /// Sections as they were sent last.
    sent: Mutex<HashMap<&'static str, String>>,
}

#[derive(Debug)]
struct Viewer {
    events: mpsc::Sender<Bytes>,
    /// It has missed something, or has just come.
    is_behind: bool,
}

/// The body of a response that goes on until its time is over.
#[derive(Debug)]
pub(in crate::server::admin) struct StatusEvents {
    events: mpsc::Receiver<Bytes>,
    end: Pin<Box<Sleep>>,
}

impl Viewers {
    /// One more viewer, until `end`; `None` where there are too many.
    pub(super) fn enter(&self, end: Instant) -> Option<StatusEvents> {
        let mut all = locked(&self.all);
        all.retain(|viewer| !viewer.events.is_closed());
        if all.len() >= MOST_VIEWERS {
            return None;
        }
        let (events, receiver) = mpsc::channel(QUEUE);
        let _ = events.try_send(Bytes::from_static(BEGIN));
        all.push(Viewer { events, is_behind: true });
        Some(StatusEvents { events: receiver, end: Box::pin(tokio::time::sleep_until(end.into())) })
    }

    /// True if nobody looks.
    pub(super) fn is_empty(&self) -> bool {
        let mut all = locked(&self.all);
        all.retain(|viewer| !viewer.events.is_closed());
        all.is_empty()
    }

    /// Sends the sections that have changed.
    pub(super) fn send(&self, sections: Vec<PageSection>) {
        let mut sent = locked(&self.sent);
        let changed: Vec<&PageSection> =
            sections.iter().filter(|(name, html)| sent.get(name).is_none_or(|before| before != html)).collect();
        let news = event(&changed);
        for (name, html) in &changed {
            sent.insert(name, html.clone());
        }
        let mut whole = None;
        for viewer in locked(&self.all).iter_mut() {
            let event = if viewer.is_behind {
                let all = || {
                    event(
                        &sent
                            .iter()
                            .map(|(name, html)| (*name, html.clone()))
                            .collect::<Vec<_>>()
                            .iter()
                            .collect::<Vec<_>>(),
                    )
                };
                whole.get_or_insert_with(all).clone()
            } else {
                news.clone()
            };
            viewer.is_behind = viewer.events.try_send(event).is_err();
        }
    }
}

/// One event: an object of sections.
fn event(sections: &[&PageSection]) -> Bytes {
    let members = sections.iter().map(|(name, html)| ((*name).to_owned(), Value::String(html.clone())));
    format!("event: sections\ndata: {}\n\n", Value::Object(members.collect::<Map<_, _>>())).into()
}

impl Body for StatusEvents {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Poll::Ready(event) = self.events.poll_recv(context) {
            return Poll::Ready(event.map(|event| Ok(Frame::data(event))));
        }
        self.end.as_mut().poll(context).map(|()| None)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;

    fn sections(rate: &str) -> Vec<PageSection> {
        vec![("traffic", rate.to_owned()), ("routes", "<p>same</p>\n".to_owned())]
    }

    async fn next(stream: &mut StatusEvents) -> String {
        let frame = stream.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_viewer_gets_everything_first_and_then_what_changes() {
        let viewers = Viewers::default();
        viewers.send(sections("0"));
        let mut stream = viewers.enter(Instant::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(next(&mut stream).await.as_bytes(), BEGIN);
        viewers.send(sections("1"));
        let all = next(&mut stream).await;
        assert!(all.contains("\"1\"") && all.contains("same") && all.lines().count() == 3, "{all}");
        viewers.send(sections("2"));
        assert_eq!(next(&mut stream).await, "event: sections\ndata: {\"traffic\":\"2\"}\n\n");
    }

    #[tokio::test]
    async fn who_does_not_read_keeps_little_and_gets_everything_later() {
        let viewers = Viewers::default();
        let mut stream = viewers.enter(Instant::now() + Duration::from_secs(60)).unwrap();
        (0..100).for_each(|number| viewers.send(sections(&number.to_string())));
        next(&mut stream).await;
        next(&mut stream).await;
        viewers.send(sections("100"));
        let all = next(&mut stream).await;
        assert!(all.contains("\"100\"") && all.contains("same"), "{all}");
    }

    #[tokio::test]
    async fn viewers_are_bounded_and_their_places_come_back() {
        let viewers = Viewers::default();
        let end = Instant::now() + Duration::from_secs(60);
        let all: Vec<_> = std::iter::from_fn(|| viewers.enter(end)).collect();
        assert_eq!(all.len(), MOST_VIEWERS);
        drop(all);
        assert!(viewers.is_empty() && viewers.enter(end).is_some());
    }

    #[tokio::test]
    async fn a_stream_ends_by_itself() {
        let viewers = Viewers::default();
        let mut stream = viewers.enter(Instant::now()).unwrap();
        next(&mut stream).await;
        assert!(stream.frame().await.is_none());
    }
}
