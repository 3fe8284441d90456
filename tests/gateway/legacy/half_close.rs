//! Early answers and half-closed connections.
