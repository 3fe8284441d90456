//! Discovery documents of others.
