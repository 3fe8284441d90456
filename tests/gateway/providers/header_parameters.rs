//! Header parameters of tokens: `jku`, `x5u`, `jwk`, `x5c`, `x5t`, `kid`, `crit`.
