//! Protocols, each with its server and its client.

pub mod echo;
pub mod grpc;
pub mod http;
pub mod http1;
pub mod layers;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod udp;
pub mod webrtc;
pub mod websocket;
