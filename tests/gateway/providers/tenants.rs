//! Issuers with several spellings or tenants.
