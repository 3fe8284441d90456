//! HTTP/2 frame headers (RFC 9113 section 4.1), split off a byte stream.

/// Error codes PROTOCOL_ERROR, FRAME_SIZE_ERROR and ENHANCE_YOUR_CALM (RFC 9113 section 7).
pub(super) const PROTOCOL: u8 = 0x1;
pub(super) const FRAME_SIZE: u8 = 0x6;
pub(super) const CALM: u8 = 0xb;

/// Frame types (RFC 9113 section 6) and flags.
pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;

/// Frame header (RFC 9113 section 4.1).
pub(super) struct FrameHead {
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    /// Error code of an invalid frame. The first frame is SETTINGS (RFC 9113 section 3.4), and some types have a fixed
    /// length (sections 6.3 to 6.7 and 6.9).
    pub(super) fn fault(&self, has_begun: bool) -> Option<u8> {
        if !has_begun && (self.kind != SETTINGS || self.has(ACK)) {
            return Some(PROTOCOL);
        }
        let fits = match self.kind {
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.has(ACK) => self.length == 0,
            SETTINGS => self.length.is_multiple_of(6),
            PING => self.length == 8,
            _ => true,
        };
        (!fits).then_some(FRAME_SIZE)
    }

    /// True if this flag is set.
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Splits a byte stream into frames.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    head: [u8; 9],
    /// Bytes of the frame header that have arrived.
    filled: usize,
    /// Bytes left of the present frame.
    pub(super) rest: usize,
    /// True after the first frame.
    pub(super) has_begun: bool,
}

impl Cutter {
    /// Frames that begin after so many bytes.
    pub(super) fn after(skipped: usize) -> Self {
        Self { rest: skipped, ..Self::default() }
    }

    /// Takes bytes, and calls `each` with the header of each frame that begins in them.
    pub(super) fn cut(&mut self, mut bytes: &[u8], mut each: impl FnMut(FrameHead)) {
        loop {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let (more, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.filled));
            self.head[self.filled..self.filled + more.len()].copy_from_slice(more);
            self.filled += more.len();
            bytes = rest;
            if self.filled < self.head.len() {
                return;
            }
            self.filled = 0;
            self.has_begun = true;
            let [a, b, c, kind, flags, d, e, f, g] = self.head;
            self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
            each(FrameHead { length: self.rest, kind, flags, stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff });
        }
    }

    /// True between two frames.
    pub(super) fn is_between_frames(&self) -> bool {
        self.filled == 0 && self.rest == 0
    }
}
