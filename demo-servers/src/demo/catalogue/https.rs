//! The ways to HTTPS: how many round trips come before the first byte of an answer.

use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[];
