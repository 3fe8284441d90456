//! Claims as providers write them.
