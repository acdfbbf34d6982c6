//! Protocols, each with its server and its client.

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

/// The messages and the service of `echo.proto`, as tonic-prost-build generates them (`build_transport(false)`).
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod echo;
