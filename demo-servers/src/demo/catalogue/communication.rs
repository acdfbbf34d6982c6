//! Communication patterns: who speaks first, who waits, and who keeps what.

use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[];
