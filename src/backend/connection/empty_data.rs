//! Removes empty DATA frames from what an HTTP/2 server sends.
//!
//! A server may send empty DATA frames without END_STREAM, and some do before trailers or with each flush. The HTTP
//! library counts them over the life of a connection, takes the 101st for an attack, and ends the connection with all
//! its streams. They carry nothing and use no flow-control window, so they are removed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Length of a frame header (RFC 9113 section 4.1).
const HEADER: usize = 9;
/// Type of DATA frames, and their flag END_STREAM (RFC 9113 section 6.1).
const DATA: u8 = 0x0;
const END_STREAM: u8 = 0x1;

/// Byte stream of an HTTP/2 connection without empty DATA frames.
pub(super) struct WithoutEmptyData<IO> {
    io: IO,
    /// Bytes left of the payload of a frame.
    rest: usize,
    /// Frame header that arrived in parts.
    header: [u8; HEADER],
    /// Bytes of the header that have arrived.
    come: usize,
    /// Bytes of the complete header that have been passed on.
    given: usize,
}

impl<IO> WithoutEmptyData<IO> {
    pub(in crate::backend) fn new(io: IO) -> Self {
        Self { io, rest: 0, header: [0; HEADER], come: 0, given: 0 }
    }

    /// Moves the bytes to keep to the beginning of `bytes`; returns their length.
    fn sift(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() {
            let left = bytes.len() - at;
            let piece = if self.rest > 0 {
                let piece = left.min(self.rest);
                self.rest -= piece;
                piece
            } else if left < HEADER {
                self.header[..left].copy_from_slice(&bytes[at..]);
                self.come = left;
                break;
            } else {
                let header = &bytes[at..at + HEADER];
                self.rest = length(header);
                if is_empty_data(header) {
                    at += HEADER;
                    continue;
                }
                HEADER
            };
            if at != kept {
                bytes.copy_within(at..at + piece, kept);
            }
            at += piece;
            kept += piece;
        }
        kept
    }
}

fn length(header: &[u8]) -> usize {
    header[..3].iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

fn is_empty_data(header: &[u8]) -> bool {
    length(header) == 0 && header[3] == DATA && header[4] & END_STREAM == 0
}

impl<IO: AsyncRead + Unpin> AsyncRead for WithoutEmptyData<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.come == HEADER {
                let piece = (HEADER - this.given).min(buffer.remaining());
                buffer.put_slice(&this.header[this.given..this.given + piece]);
                this.given += piece;
                if this.given == HEADER {
                    (this.come, this.given) = (0, 0);
                }
                return Poll::Ready(Ok(()));
            }
            if this.come > 0 {
                let mut missing = ReadBuf::new(&mut this.header[this.come..]);
                ready!(Pin::new(&mut this.io).poll_read(context, &mut missing))?;
                let read = missing.filled().len();
                if read == 0 {
                    return Poll::Ready(Ok(()));
                }
                this.come += read;
                if this.come == HEADER {
                    this.rest = length(&this.header);
                    if is_empty_data(&this.header) {
                        this.come = 0;
                    }
                }
                continue;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
            let read = buffer.filled().len() - before;
            let kept = this.sift(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + kept);
            if kept > 0 || read == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WithoutEmptyData<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Bytes that come in these pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let Some(piece) = self.get_mut().0.front_mut() else { return Poll::Ready(Ok(())) };
            let fits = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece[..fits]);
            piece.drain(..fits);
            Poll::Ready(Ok(()))
        }
    }

    fn frame((kind, flags, length): (u8, u8, usize)) -> Vec<u8> {
        let length = if length > 40 { 0 } else { length };
        // A payload that looks like an empty frame.
        [&(length as u32).to_be_bytes()[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; length]].concat()
    }

    proptest! {
        #[test]
        fn all_but_empty_data_frames_pass_however_they_are_cut(
            frames in proptest::collection::vec((0_u8..3, 0_u8..3, 0_usize..80), 0..30),
            sizes in proptest::collection::vec(1_usize..30, 1..20),
            space in 1_usize..40,
        ) {
            let all: Vec<Vec<u8>> = frames.into_iter().map(frame).collect();
            let left = all.iter().filter(|frame| !(frame.len() == HEADER && frame[3] == DATA && frame[4] & 1 == 0));
            let expected = left.flatten().copied().collect::<Vec<u8>>();
            let mut bytes = all.concat();
            let mut pieces = VecDeque::new();
            for size in sizes.iter().cycle() {
                if bytes.is_empty() {
                    break;
                }
                pieces.push_back(bytes.drain(..(*size).min(bytes.len())).collect());
            }
            let mut count = pieces.len();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut io = WithoutEmptyData::new(Pieces(pieces));
            let mut passed = Vec::new();
            let mut part = vec![0; space];
            runtime.block_on(async {
                // An end of a piece reads as an end of the stream.
                while count > 0 {
                    let read = io.read(&mut part).await.unwrap();
                    passed.extend_from_slice(&part[..read]);
                    if read == 0 && io.io.0.front().is_none_or(Vec::is_empty) {
                        io.io.0.pop_front();
                        count -= 1;
                    }
                }
            });
            prop_assert_eq!(passed, expected);
        }
    }
}
