//! Header fields about the bytes of a body, for bodies that the gateway writes anew.

use http::HeaderMap;
use http::header::{self, HeaderName};

/// The length and the digests of a body.
const ABOUT_BYTES: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Removes them, because the body has changed on its way.
pub(super) fn remove(headers: &mut HeaderMap) {
    for name in &ABOUT_BYTES {
        headers.remove(name);
    }
}
