//! Communication patterns.
