//! JSON that old servers write.
