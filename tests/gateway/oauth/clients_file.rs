//! `clients_file`: clients in a file of their own.
