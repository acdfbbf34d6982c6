//! Reads the running kernel: types, offsets, what it forbids. Loads nothing.

pub mod btf;
pub mod layout;
pub mod preflight;
