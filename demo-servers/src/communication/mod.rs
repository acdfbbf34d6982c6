//! Communication patterns, each with its server and its client: who speaks when, and who remembers.

pub mod broker;
pub mod jobs;
pub mod news;
pub mod opening;
pub mod sessions;
pub mod store;
mod unasked;
pub mod waiting;
