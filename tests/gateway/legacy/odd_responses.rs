//! `tolerate`, `max_response_fields`, `max_response_head`.
