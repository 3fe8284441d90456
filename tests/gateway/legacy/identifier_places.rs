//! Identifier in a form, the query, the path.
