//! backscope shows the life of a backend's connections inside the kernel, and says of every slice
//! of time who held it: the kernel, the application, the network or the peer.
//!
//! Data flows one way: [`sensor`] (probes, maps) → [`model`] (pure) → snapshot → front-ends
//! ([`tui`], [`report`]).

#![deny(unsafe_code)]
// They panic where nobody takes the text.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

#[macro_use]
pub mod text;
#[macro_use]
pub mod outlet;

pub mod annotate;
mod bounded;
pub mod cli;
pub mod commands;
pub mod compare;
pub mod digest;
#[cfg(feature = "export")]
pub mod export;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod html;
pub mod kernel;
#[cfg(feature = "lessons")]
pub mod learn;
#[cfg(feature = "mcp")]
mod mcp;
pub mod model;
pub mod preferences;
pub mod privileges;
pub mod protocol;
pub mod record;
pub mod report;
mod run;
pub mod sensor;
pub mod time_of_day;
pub mod tui;
