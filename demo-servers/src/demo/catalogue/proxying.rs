//! Proxies and balancers: servers that are clients of others.

use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[];
