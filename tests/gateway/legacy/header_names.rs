//! `header_case` and `header_names`.
