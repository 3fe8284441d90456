//! `routes[].headers`, `queries`, `path: {regex}`.
