//! Values of `request_headers.set` that are proved.
