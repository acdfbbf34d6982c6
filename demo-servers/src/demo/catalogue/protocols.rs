//! Protocols: what one request looks like to the kernel in each of them.

use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[];
