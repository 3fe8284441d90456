//! Content coding `gzip` (RFC 9110 section 8.4.1.3), decoded up to a limit.

use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header;

/// Reason why a body is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingFault {
    /// The coding is something else than gzip.
    Other,
    /// The body is not gzip, or cut off.
    Broken,
    /// What it holds is larger than the limit.
    TooLarge,
}

/// Returns whether a body with these header fields is in gzip; otherwise it is as it stands.
///
/// # Errors
/// [`CodingFault::Other`].
pub fn is_gzip(headers: &HeaderMap) -> Result<bool, CodingFault> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut is_gzip = false;
    for coding in codings.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
        let is_first = !std::mem::replace(&mut is_gzip, true);
        if !is_first || !(coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")) {
            return Err(CodingFault::Other);
        }
    }
    Ok(is_gzip)
}

/// What the gzip holds, which may not be larger than `limit` bytes.
///
/// # Errors
/// [`CodingFault::Broken`] and [`CodingFault::TooLarge`].
pub fn inflated(bytes: &[u8], limit: usize) -> Result<Bytes, CodingFault> {
    let mut all = Vec::new();
    let mut inflating = MultiGzDecoder::new(bytes).take(limit as u64 + 1);
    inflating.read_to_end(&mut all).map_err(|_| CodingFault::Broken)?;
    if all.len() > limit { Err(CodingFault::TooLarge) } else { Ok(all.into()) }
}
