//! The backend's own OAuth token.
