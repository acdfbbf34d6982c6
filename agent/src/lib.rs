//! backscope shows the life of a backend's connections inside the kernel, and says of every slice of time who held it:
//! the kernel, the application or the peer.

pub mod model;
pub mod tui;
