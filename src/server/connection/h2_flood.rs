//! HTTP/2 flood detection, from frame headers.
//!
//! The HTTP library limits pending responses, but accepts any number of PING, SETTINGS, PRIORITY and WINDOW_UPDATE
//! frames, and of streams that are opened and reset (rapid reset). So each frame costs part of a budget, responses earn
//! it back, and a caller that uses it up long before its refill is a flood (RFC 9113 section 10.5).

use std::time::{Duration, Instant};

use super::h2_frame::{CALM, CONTINUATION, Cutter, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM};

/// Budget of a connection before responses earn something back.
const BUDGET: u32 = 2_000;

/// Budget on the connection of a trusted proxy, which carries the requests of many callers: one of them must not end it
/// for all.
const BUDGET_OF_PROXY: u32 = 50_000;

/// Refill interval of the budget.
const REFILL: Duration = Duration::from_secs(10);

/// Cost of a frame that only has to be read, or of a new stream.
const FRAME: u32 = 1;

/// Cost of a reset stream, by the caller or because of what the caller sent: its work was for nothing.
const RESET: u32 = 4;

/// Gain for a DATA frame of a response. A caller may send two WINDOW_UPDATEs for each.
const PIECE: u32 = 4;

/// Gain for the end of a response.
const ANSWER: u32 = 8;

/// Length of the client connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Frames of one connection, in both directions.
#[derive(Debug)]
pub(super) struct FrameCounter {
    received: Cutter,
    sent: Cutter,
    budget: u32,
    /// Budget left.
    spare: u32,
    /// Time of the last refill.
    filled: Instant,
    /// Highest stream that the caller has opened.
    last_stream: u32,
    /// Streams whose response has not ended.
    open: Vec<u32>,
    head: RequestHead,
    has_begun: bool,
    /// True within a header block that we send.
    is_in_block: bool,
}

/// State of a request's header block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestHead {
    None,
    /// CONTINUATION follows.
    Begun,
    /// END_HEADERS has been seen.
    LastFrame,
}

/// Reason to end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum FloodFault {
    /// Flood.
    Flood,
    /// Frame error with this code, where the library would send another code.
    Malformed(u8),
}

impl FloodFault {
    /// Reason, for metrics.
    pub(in crate::server) fn as_str(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Malformed(_) => "malformed",
        }
    }
}

impl FrameCounter {
    /// For a new connection, of one caller or of a proxy.
    pub(in crate::server) fn new(now: Instant, is_of_proxy: bool) -> Self {
        let budget = if is_of_proxy { BUDGET_OF_PROXY } else { BUDGET };
        Self {
            received: Cutter::after(PREFACE),
            sent: Cutter::default(),
            budget,
            spare: budget,
            filled: now,
            last_stream: 0,
            open: Vec::new(),
            head: RequestHead::None,
            has_begun: false,
            is_in_block: false,
        }
    }

    /// Counts received bytes. `now` is called only if the budget is used up.
    ///
    /// # Errors
    /// The reason to end the connection.
    pub(in crate::server) fn received(
        &mut self,
        bytes: &[u8],
        now: impl FnOnce() -> Instant,
    ) -> Result<(), FloodFault> {
        let Self { received, last_stream, open, head: request, has_begun, .. } = self;
        let mut cost = 0;
        let mut fault = None;
        received.cut(bytes, |head| {
            fault = fault.or(head.fault(*has_begun));
            *has_begun = true;
            match head.kind {
                DATA => {}
                HEADERS => {
                    cost += FRAME;
                    *request = if head.has(END_HEADERS) { RequestHead::LastFrame } else { RequestHead::Begun };
                    if head.stream > *last_stream {
                        *last_stream = head.stream;
                        open.push(head.stream);
                    }
                }
                CONTINUATION => {
                    cost += FRAME;
                    if head.has(END_HEADERS) {
                        *request = RequestHead::LastFrame;
                    }
                }
                RST_STREAM => {
                    cost += RESET;
                    open.retain(|stream| *stream != head.stream);
                }
                _ => cost += FRAME,
            }
        });
        match fault {
            Some(code) => Err(FloodFault::Malformed(code)),
            None => self.spend(cost, now),
        }
    }

    /// Counts sent bytes.
    pub(in crate::server) fn sent(&mut self, bytes: &[u8]) {
        let Self { sent, open, spare, is_in_block, .. } = self;
        sent.cut(bytes, |head| {
            if matches!(head.kind, HEADERS | CONTINUATION) {
                *is_in_block = !head.has(END_HEADERS);
            }
            let has_ended = matches!(head.kind, DATA | HEADERS) && head.has(END_STREAM);
            if head.kind == DATA && head.length > 0 {
                *spare += PIECE;
            }
            if has_ended {
                *spare += ANSWER;
            }
            if head.kind == RST_STREAM {
                *spare = spare.saturating_sub(RESET);
            }
            if has_ended || head.kind == RST_STREAM {
                open.retain(|stream| *stream != head.stream);
            }
        });
        self.spare = self.spare.min(self.budget);
    }

    fn spend(&mut self, cost: u32, now: impl FnOnce() -> Instant) -> Result<(), FloodFault> {
        if cost > self.spare {
            let now = now();
            if now.saturating_duration_since(self.filled) < REFILL {
                return Err(FloodFault::Flood);
            }
            self.filled = now;
            // What came at once is forgiven: it came in ten seconds or more.
            self.spare = self.budget;
        }
        self.spare = self.spare.saturating_sub(cost);
        Ok(())
    }

    /// True within the header block of a request.
    pub(in crate::server) fn is_in_head(&self) -> bool {
        match self.head {
            RequestHead::None => false,
            RequestHead::Begun => true,
            RequestHead::LastFrame => self.received.rest > 0,
        }
    }

    /// True if a response has not ended.
    pub(super) fn has_open_streams(&self) -> bool {
        !self.open.is_empty()
    }

    /// True if a frame of ours can be written now: after our SETTINGS, between frames, and not within a header
    /// block.
    pub(super) fn is_between_answers(&self) -> bool {
        self.sent.has_begun && self.sent.is_between_frames() && !self.is_in_block
    }

    /// Highest stream that the caller has opened.
    pub(super) fn last_stream(&self) -> u32 {
        self.last_stream
    }

    /// GOAWAY with the reason, if it can be written now.
    pub(in crate::server) fn farewell(&self, fault: FloodFault) -> Option<[u8; 17]> {
        if !self.is_between_answers() {
            return None;
        }
        let code = match fault {
            FloodFault::Flood => CALM,
            FloodFault::Malformed(code) => code,
        };
        Some(Self::goaway(self.last_stream, code))
    }

    /// GOAWAY frame (RFC 9113 section 6.8).
    pub(super) fn goaway(last_stream: u32, code: u8) -> [u8; 17] {
        let [a, b, c, d] = last_stream.to_be_bytes();
        [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, code]
    }
}

#[cfg(test)]
mod tests {
    use super::super::h2_frame::{ACK, FRAME_SIZE, PING, PRIORITY, PROTOCOL, SETTINGS, WINDOW_UPDATE};
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn begun() -> (FrameCounter, Instant) {
        let now = Instant::now();
        let mut frames = FrameCounter::new(now, false);
        let begun = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, b"")].concat();
        frames.received(&begun, || now).unwrap();
        frames.spare = BUDGET;
        (frames, now)
    }

    #[test]
    fn frames_for_nothing_are_a_flood_once_the_budget_is_used_up() {
        let kinds = [(PING, 8, FRAME), (PRIORITY, 5, FRAME), (SETTINGS, 6, FRAME), (WINDOW_UPDATE, 4, FRAME)];
        for (kind, length, cost) in kinds.into_iter().chain([(0xfe, 8, FRAME), (RST_STREAM, 4, RESET)]) {
            let (mut frames, now) = begun();
            let frame = frame(kind, 0, 0, &[0; 8][..length]);
            for _ in 0..BUDGET / cost {
                assert_eq!(frames.received(&frame, || now), Ok(()), "{kind}");
            }
            assert_eq!(frames.received(&frame, || now), Err(FloodFault::Flood), "{kind}");
        }
    }

    #[test]
    fn frames_of_the_wrong_length_and_a_beginning_without_settings_have_their_codes() {
        for (kind, flags, length) in [
            (PING, 0, 7),
            (PRIORITY, 0, 4),
            (SETTINGS, 0, 5),
            (SETTINGS, ACK, 6),
            (WINDOW_UPDATE, 0, 3),
            (RST_STREAM, 0, 5),
        ] {
            let (mut frames, now) = begun();
            let bad = frame(kind, flags, 1, &[0; 8][..length]);
            assert_eq!(frames.received(&bad, || now), Err(FloodFault::Malformed(FRAME_SIZE)), "{kind}");
        }
        for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, b"")] {
            let mut frames = FrameCounter::new(Instant::now(), false);
            let bytes = [&[0; PREFACE][..], &first].concat();
            assert_eq!(frames.received(&bytes, Instant::now), Err(FloodFault::Malformed(PROTOCOL)));
        }
    }

    #[test]
    fn who_sends_as_much_more_slowly_is_none() {
        let (mut frames, mut now) = begun();
        for _ in 0..3 {
            for _ in 0..BUDGET {
                assert_eq!(frames.received(&frame(PING, 0, 0, &[0; 8]), || now), Ok(()));
            }
            now += REFILL;
        }
    }

    #[test]
    fn answers_earn_the_budget_back() {
        let (mut frames, now) = begun();
        for number in 0..BUDGET {
            let stream = 2 * number + 1;
            let request = [frame(HEADERS, END_STREAM | END_HEADERS, stream, b"x"), frame(PING, 0, 0, &[0; 8])].concat();
            assert_eq!(frames.received(&request, || now), Ok(()));
            assert!(frames.has_open_streams());
            frames.sent(&frame(HEADERS, END_HEADERS, stream, b"x"));
            frames.sent(&frame(DATA, END_STREAM, stream, b"x"));
            assert!(!frames.has_open_streams());
        }
    }

    #[test]
    fn streams_that_we_have_to_reset_cost_as_much_as_those_that_the_caller_resets() {
        let (mut frames, now) = begun();
        let mut count = 0;
        while frames.received(&frame(HEADERS, END_HEADERS, 2 * count + 1, b"x"), || now).is_ok() {
            frames.sent(&frame(RST_STREAM, 0, 2 * count + 1, &[0; 4]));
            assert!(!frames.has_open_streams());
            count += 1;
        }
        assert_eq!(count, BUDGET / (FRAME + RESET));
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = [
            frame(HEADERS, 0, 1, b"half"),
            frame(CONTINUATION, END_HEADERS, 1, b"rest"),
            frame(DATA, END_STREAM, 1, &[7; 300]),
        ]
        .concat();
        for size in [1, 2, 9, 10, 100, 1_000] {
            let (mut frames, now) = begun();
            let mut in_head = 0;
            for piece in bytes.chunks(size) {
                frames.received(piece, || now).unwrap();
                in_head += usize::from(frames.is_in_head());
            }
            assert!(!frames.is_in_head() && frames.received.is_between_frames());
            assert_eq!(frames.last_stream, 1);
            assert_eq!(frames.spare, BUDGET - 2 * FRAME);
            assert!(size > 20 || in_head > 0, "{size}");
            frames.sent(&bytes[..5]);
            assert_eq!(frames.farewell(FloodFault::Flood), None, "in the middle of a frame");
            frames.sent(&bytes[5..]);
            assert_eq!(frames.farewell(FloodFault::Flood).unwrap()[9..], [0, 0, 0, 1, 0, 0, 0, CALM]);
        }
    }
}
