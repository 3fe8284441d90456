//! The id of a token (`jti`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::random_bytes;

/// A new id: 128 random bits in base64url.
pub(crate) fn token_id() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<16>())
}
