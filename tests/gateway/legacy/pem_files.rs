//! PEM files that others write.
