//! Protocols below and beside HTTP, each with its server and its client.

pub mod layers;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod udp;
pub mod webrtc;
