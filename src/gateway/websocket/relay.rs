//! Relays the bytes of a WebSocket in both directions, until both sides have ended.
//!
//! Bytes are written as soon as they are read, from the stack: an idle relay keeps no buffer. While one side does not
//! take its bytes, the other is not read. The end of one side is passed on as an end of writing.
//!
//! A relay that is to end sends a Close frame to both sides, behind a frame of theirs and never inside one. Later bytes
//! are not passed on, until the Close frame that answers it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::frames::WebsocketFrames;

/// Size of a read, in bytes.
const PIECE: usize = 16 * 1024;
/// Reads after which other tasks have their turn.
const PIECES: usize = 16;

/// The caller's and the backend's side.
pub(super) struct Relay<Caller, Backend> {
    caller: Caller,
    backend: Backend,
    /// From the caller to the backend.
    up: Pipe,
    /// From the backend to the caller.
    down: Pipe,
    idle: Duration,
    alarm: Pin<Box<Sleep>>,
    moved_at: Instant,
    /// The side that ended first, in good order.
    first: Option<RelayEnd>,
}

/// The end of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelayEnd {
    /// The caller ended it, or its connection broke.
    Caller,
    /// The backend did.
    Backend,
    /// Nothing moved for too long.
    Idle,
}

/// One direction of a relay.
struct Pipe {
    frames: WebsocketFrames,
    goodbye: Goodbye,
    /// Bytes that were read, and not yet written.
    pending: Bytes,
    has_ended: bool,
    is_over: bool,
    moved: u64,
}

/// Progress of a Close frame of our own in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// Not wanted.
    None,
    /// Follows the current frame.
    Wanted,
    /// Is next.
    Next,
    /// Was sent.
    Said,
}

/// The side that broke.
enum Broken {
    Reader,
    Writer,
}

impl<Caller, Backend> Relay<Caller, Backend>
where
    Caller: AsyncRead + AsyncWrite + Unpin,
    Backend: AsyncRead + AsyncWrite + Unpin,
{
    /// A relay between these two; `early` came from the caller before the response.
    pub(crate) fn new(caller: Caller, backend: Backend, early: Bytes, idle: Duration) -> Self {
        let now = Instant::now();
        Self {
            caller,
            backend,
            up: Pipe::new(true, early),
            down: Pipe::new(false, Bytes::new()),
            idle,
            alarm: Box::pin(tokio::time::sleep_until(now + idle)),
            moved_at: now,
            first: None,
        }
    }

    /// Bytes sent to the backend, and to the caller.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.up.moved, self.down.moved)
    }

    /// Sends a Close frame to both sides.
    pub(crate) fn close(&mut self) {
        self.up.goodbye = Goodbye::Wanted;
        self.down.goodbye = Goodbye::Wanted;
    }

    /// Relays until the end. Returns true beside it where both sides have ended in good order.
    pub(crate) async fn run(&mut self) -> (RelayEnd, bool) {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(RelayEnd, bool)> {
        let before = self.moved();
        let up = self.up.poll(context, &mut self.caller, &mut self.backend);
        let down = self.down.poll(context, &mut self.backend, &mut self.caller);
        if self.first.is_none() {
            self.first = match (self.up.has_ended, self.down.has_ended) {
                (true, _) => Some(RelayEnd::Caller),
                (_, true) => Some(RelayEnd::Backend),
                _ => None,
            };
        }
        match (up, down) {
            (Poll::Ready(Err(Broken::Reader)), _) | (_, Poll::Ready(Err(Broken::Writer))) => {
                return Poll::Ready((self.first.unwrap_or(RelayEnd::Caller), false));
            }
            (Poll::Ready(Err(Broken::Writer)), _) | (_, Poll::Ready(Err(Broken::Reader))) => {
                return Poll::Ready((self.first.unwrap_or(RelayEnd::Backend), false));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                return Poll::Ready((self.first.unwrap_or(RelayEnd::Caller), true));
            }
            _ => {}
        }
        if self.moved() != before {
            self.moved_at = Instant::now();
        }
        // The alarm is set anew only where it would ring too early.
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.moved_at + self.idle;
            if end <= Instant::now() {
                return Poll::Ready((RelayEnd::Idle, false));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl Pipe {
    /// The direction of a client's bytes, or a server's; `early` has come already.
    fn new(is_of_client: bool, early: Bytes) -> Self {
        let mut frames = WebsocketFrames::new(is_of_client);
        frames.advance(&early);
        Self { frames, goodbye: Goodbye::None, pending: early, has_ended: false, is_over: false, moved: 0 }
    }

    /// The part to pass on of bytes that have just come.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let first_end = self.frames.advance(bytes);
        match (self.goodbye, first_end) {
            (Goodbye::None | Goodbye::Next, _) => bytes,
            (Goodbye::Said, _) => {
                self.has_ended |= self.frames.has_closed() || self.frames.is_lost();
                &[]
            }
            // Both sides are ending by themselves, or speak something else.
            (Goodbye::Wanted, _) if self.frames.has_closed() || self.frames.is_lost() => {
                self.goodbye = Goodbye::None;
                bytes
            }
            (Goodbye::Wanted, Some(end)) => {
                self.goodbye = Goodbye::Next;
                &bytes[..end]
            }
            (Goodbye::Wanted, None) => bytes,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Broken>> {
        for _ in 0..PIECES {
            if self.is_over {
                return Poll::Ready(Ok(()));
            }
            let mut pending = std::mem::take(&mut self.pending);
            let sent = self.send(context, &mut pending, writer);
            self.pending = pending;
            ready!(sent).map_err(|_| Broken::Writer)?;
            let is_now = self.goodbye == Goodbye::Wanted && self.frames.is_between();
            if (is_now || self.goodbye == Goodbye::Next) && !self.has_ended {
                match self.frames.going_away() {
                    Some(frame) => (self.goodbye, self.pending) = (Goodbye::Said, frame),
                    None => self.goodbye = Goodbye::None,
                }
                continue;
            }
            if self.has_ended {
                ready!(Pin::new(&mut *writer).poll_shutdown(context)).map_err(|_| Broken::Writer)?;
                self.is_over = true;
                continue;
            }
            let mut space = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *reader).poll_read(context, &mut buffer) {
                Poll::Pending => {
                    // What was written must not wait in a buffer of the writer's.
                    ready!(Pin::new(&mut *writer).poll_flush(context)).map_err(|_| Broken::Writer)?;
                    return Poll::Pending;
                }
                // An end of TLS without its last word. What came tells by itself whether it is whole.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.has_ended = true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reader)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.has_ended = true,
                Poll::Ready(Ok(())) => {
                    let mut rest = self.take(buffer.filled());
                    let sent = self.send(context, &mut rest, writer);
                    self.pending = Bytes::copy_from_slice(rest);
                    ready!(sent).map_err(|_| Broken::Writer)?;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn send(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut impl Buf,
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while bytes.has_remaining() {
            match ready!(Pin::new(&mut *writer).poll_write(context, bytes.chunk()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    bytes.advance(written);
                    self.moved += written as u64;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn on_a_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(test);
    }

    #[test]
    fn early_bytes_come_first_and_the_end_of_one_side_does_not_end_the_other() {
        on_a_runtime(async {
            let (caller, near) = duplex(100);
            let (backend, far) = duplex(100);
            let mut relay = Relay::new(near, far, Bytes::from_static(b"early "), Duration::from_secs(60));
            let (mut caller_reads, mut caller_writes) = tokio::io::split(caller);
            let (mut backend_reads, mut backend_writes) = tokio::io::split(backend);
            let calling = async move {
                caller_writes.write_all(b"question").await.unwrap();
                caller_writes.shutdown().await.unwrap();
                let mut answer = Vec::new();
                caller_reads.read_to_end(&mut answer).await.unwrap();
                answer
            };
            let answering = async move {
                let mut question = Vec::new();
                backend_reads.read_to_end(&mut question).await.unwrap();
                // More than either side can hold.
                backend_writes.write_all(&vec![b'a'; 100_000]).await.unwrap();
                backend_writes.shutdown().await.unwrap();
                question
            };
            let (end, answer, question) = tokio::join!(relay.run(), calling, answering);
            assert_eq!((end, question), ((RelayEnd::Caller, true), b"early question".to_vec()));
            assert_eq!((answer.len(), relay.moved()), (100_000, (14, 100_000)));
        });
    }

    #[test]
    fn a_relay_on_which_nothing_moves_ends_and_one_that_moves_does_not() {
        on_a_runtime(async {
            // A machine that is too busy to move anything in time gets more time.
            for idle in [50, 500, 5_000].map(Duration::from_millis) {
                let (mut caller, near) = duplex(100);
                let (mut backend, far) = duplex(100);
                let mut relay = Relay::new(near, far, Bytes::new(), idle);
                let start = Instant::now();
                let moving = async {
                    for _ in 0..10 {
                        tokio::time::sleep(idle * 2 / 5).await;
                        caller.write_all(b"x").await.unwrap();
                        backend.read_exact(&mut [0]).await.unwrap();
                    }
                };
                let mut run = Box::pin(relay.run());
                let has_moved = tokio::select! {
                    _ = &mut run => false,
                    () = moving => true,
                };
                if has_moved {
                    let end = run.await;
                    assert_eq!((end, relay.moved()), ((RelayEnd::Idle, false), (10, 0)));
                    assert!(start.elapsed() >= idle * 5);
                    return;
                }
            }
            panic!("it ends though it moves");
        });
    }
}
