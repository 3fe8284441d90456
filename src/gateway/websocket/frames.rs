//! Frame boundaries in one direction of a WebSocket (RFC 6455 section 5.2), so that a frame of our own can follow one.

use bytes::Bytes;

/// The opcode of a Close frame.
const CLOSE: u8 = 8;
/// "Going away", as a server says that shuts down (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
/// The longest header: two bytes, a length of eight, a mask of four.
const LONGEST: usize = 14;

/// Tracks frame headers; payloads are skipped.
pub(super) struct WebsocketFrames {
    /// True for a client's frames, which are masked.
    is_masked: bool,
    header: [u8; LONGEST],
    /// Received bytes of the current header.
    has: usize,
    /// Bytes left of the current payload.
    left: u64,
    is_close: bool,
    has_closed: bool,
    /// These are no frames, so nobody knows where one ends.
    is_lost: bool,
}

impl WebsocketFrames {
    /// Begins at the first frame.
    pub(crate) fn new(is_masked: bool) -> Self {
        Self { is_masked, header: [0; LONGEST], has: 0, left: 0, is_close: false, has_closed: false, is_lost: false }
    }

    /// Consumes bytes. Returns the index at which the first frame ends among them.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) -> Option<usize> {
        let (length, mut first) = (bytes.len(), None);
        while !self.is_lost && !bytes.is_empty() {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = &bytes[skipped..];
            self.left -= skipped as u64;
            if skipped == 0 {
                self.header[self.has] = bytes[0];
                self.has += 1;
                bytes = &bytes[1..];
                if !self.header_is_whole() {
                    continue;
                }
            }
            if self.left == 0 {
                self.has_closed |= self.is_close;
                first = first.or(Some(length - bytes.len()));
            }
        }
        first
    }

    /// True between two frames, where one of our own can follow.
    pub(crate) fn is_between(&self) -> bool {
        self.has == 0 && self.left == 0 && !self.has_closed && !self.is_lost
    }

    /// True once the Close frame has come.
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// True if the frames are malformed, so that one of our own may never follow.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// A Close frame for "going away"; `None` where the system has no random bytes to mask it with.
    pub(super) fn going_away(&self) -> Option<Bytes> {
        let mut frame = vec![0x80 | CLOSE, GOING_AWAY.len() as u8];
        let mut mask = [0; 4];
        if self.is_masked {
            getrandom::fill(&mut mask).ok()?;
            frame[1] |= 0x80;
            frame.extend(mask);
        }
        frame.extend(GOING_AWAY.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        Some(frame.into())
    }

    /// Parses the header; true once it has come whole.
    fn header_is_whole(&mut self) -> bool {
        let [opcode, length, ..] = self.header;
        if self.has < 2 {
            return false;
        }
        let opcode = opcode & 0x0f;
        if (length & 0x80 != 0) != self.is_masked || !matches!(opcode, 0..=2 | 8..=10) {
            self.is_lost = true;
            return false;
        }
        let (extended, short) = match length & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, short),
        };
        if self.has < 2 + extended + if self.is_masked { 4 } else { 0 } {
            return false;
        }
        let number = self.header[2..2 + extended].iter();
        self.left = number.fold(u64::from(short), |number, byte| (number << 8) | u64::from(*byte));
        self.is_close = opcode == CLOSE;
        self.has = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of a server, or with a mask of a client.
    fn frame(first: u8, length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut bytes = match length {
            0..=125 => vec![first, mask | length as u8],
            126..=65535 => [&[first, mask | 126][..], &(length as u16).to_be_bytes()].concat(),
            _ => [&[first, mask | 127][..], &(length as u64).to_be_bytes()].concat(),
        };
        bytes.resize(bytes.len() + length + if is_masked { 4 } else { 0 }, 0x88);
        bytes
    }

    #[test]
    fn the_end_of_a_frame_is_found_whatever_pieces_it_comes_in() {
        for is_masked in [false, true] {
            for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
                let whole = frame(0xc2, length, is_masked);
                for piece in [1, 2, 3, 5, 1000, usize::MAX] {
                    let mut frames = WebsocketFrames::new(is_masked);
                    let pieces: Vec<&[u8]> = whole.chunks(piece.min(whole.len())).collect();
                    for (number, piece) in pieces.iter().enumerate() {
                        let end = frames.advance(piece);
                        let is_last = number + 1 == pieces.len();
                        assert_eq!(end, is_last.then_some(piece.len()), "{length} {number}");
                        assert_eq!(frames.is_between(), is_last);
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_end_is_told_and_behind_a_close_frame_nothing_may_follow() {
        let both = [frame(0x81, 5, false), frame(0x89, 0, false), frame(0x81, 7, false)].concat();
        let mut frames = WebsocketFrames::new(false);
        assert_eq!(frames.advance(&both[..both.len() - 1]), Some(7));
        assert!(!frames.is_between());
        assert_eq!(frames.advance(&[0]), Some(1));
        assert!(frames.is_between());
        frames.advance(&frame(0x88, 2, false));
        assert!(frames.has_closed() && !frames.is_between());
    }

    #[test]
    fn what_is_no_frame_of_this_side_has_no_end() {
        for bytes in [&b"GET / HTTP/1.1"[..], &[0x83, 0x80], &[0x81, 0x00]] {
            let mut frames = WebsocketFrames::new(true);
            assert_eq!(frames.advance(bytes), None);
            assert!(frames.is_lost() && !frames.is_between());
        }
    }

    #[test]
    fn our_own_close_frame_is_one_and_a_clients_is_masked() {
        for is_masked in [false, true] {
            let frame = WebsocketFrames::new(is_masked).going_away().expect("random bytes");
            let mut frames = WebsocketFrames::new(is_masked);
            assert_eq!(frames.advance(&frame), Some(frame.len()));
            assert!(frames.has_closed());
            let code = if is_masked { [frame[6] ^ frame[2], frame[7] ^ frame[3]] } else { [frame[2], frame[3]] };
            assert_eq!(u16::from_be_bytes(code), 1001);
        }
    }
}
