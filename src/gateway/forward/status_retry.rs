//! Retries after responses of some statuses: `retry: {on: [...]}` of a route.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response, header};
use http_body::Body as _;

use crate::backend::pool::response_body::AnswerBody;
use crate::backend::pool::{AvoidedServer, Deadlines, Pool, SendOptions, copied};
use crate::backend::{Backend, Failure};
use crate::body_stream::RequestBody;
use crate::policy::route::StatusRetry;
use crate::secret::random_bytes;

/// Rest of a discarded response up to which its connection is kept, in bytes.
const REST: usize = 64 * 1024;

/// Sends a request, and sends it again after a response that `rules` name, while there is time and `retry_budget`
/// allows it. A request whose body still comes from the caller is sent once.
///
/// # Errors
/// The failure of the last time.
pub(super) async fn send(
    pool: &Pool,
    backend: &Backend,
    rules: &StatusRetry,
    request: &mut Option<Request<RequestBody>>,
    options: SendOptions<'_>,
) -> Result<Response<AnswerBody>, Failure> {
    let Deadlines { now, head, body } = options.patience;
    let until = (now + head).min(body.until);
    let mut options = options;
    for number in 0..rules.attempts {
        let copy = request.as_ref().and_then(copied);
        let response = pool.send(backend, request, options).await?;
        if !rules.statuses.iter().any(|status| status.has(response.status().as_u16())) {
            return Ok(response);
        }
        let Some(mut copy) = copy else { return Ok(response) };
        let Some(pause) = pause(rules.backoff, number, response.headers()) else { return Ok(response) };
        // There must be time for an answer too.
        if Instant::now() + pause >= until || !backend.may_repeat() {
            return Ok(response);
        }
        let server = AvoidedServer(response.body().server_id());
        discard_during(pause, response.into_body()).await;
        let now = Instant::now();
        options.sending.begin_at(now);
        options.patience = Deadlines { now, head: until.saturating_duration_since(now), body };
        copy.extensions_mut().insert(server);
        *request = Some(copy);
    }
    pool.send(backend, request, options).await
}

/// The pause before the next time: `backoff`, doubled each time, less up to half of it, so that callers do not come
/// again together; not shorter than `Retry-After` asks for. `None` where that names a date: how long it is, only the
/// caller can decide.
fn pause(backoff: Duration, number: u32, headers: &HeaderMap) -> Option<Duration> {
    let longest = backoff.saturating_mul(1 << number.min(16));
    let [random] = random_bytes::<1>();
    let pause = longest / 2 + longest.mul_f64(f64::from(random) / 512.0);
    match headers.get(header::RETRY_AFTER) {
        None => Some(pause),
        Some(asked) => Some(pause.max(Duration::from_secs(asked.to_str().ok()?.trim().parse().ok()?))),
    }
}

/// Waits, and meanwhile reads what is left of a response, so that its connection can be used again. One that is too
/// long or too slow for that is closed.
async fn discard_during(pause: Duration, body: AnswerBody) {
    let mut waiting = pin!(tokio::time::sleep(pause));
    let mut body = Some(body);
    let mut read = 0;
    std::future::poll_fn(|context| {
        while let Some(unread) = &mut body {
            match Pin::new(unread).poll_frame(context) {
                std::task::Poll::Pending => break,
                std::task::Poll::Ready(Some(Ok(frame))) if read <= REST => {
                    read += frame.data_ref().map_or(0, |it| it.len())
                }
                std::task::Poll::Ready(_) => body = None,
            }
        }
        waiting.as_mut().poll(context)
    })
    .await;
}
