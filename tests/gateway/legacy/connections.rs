//! Idle connections, keep-alive, learning, max_connections.
