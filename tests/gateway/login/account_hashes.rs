//! Account files with hashes that companies have: bcrypt, PBKDF2, scrypt, SHA-crypt, htpasswd.
