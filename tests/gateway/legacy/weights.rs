//! Several backends of a route.
