//! LDAP as a backend for accounts, with a real slapd.
