//! Protocols, each with its server and its client.

pub mod http;
