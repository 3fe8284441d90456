//! The login backend's field names, encoding, answers that mean no, claims.
