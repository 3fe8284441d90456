//! Bodies with a length.
