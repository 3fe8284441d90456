//! Shared Signals: CAEP and RISC events pushed by a provider.
