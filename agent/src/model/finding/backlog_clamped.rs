//! `listen(2)` asked for a longer accept queue than the kernel granted.

use super::{Facts, Verdict};
use crate::model::snapshot::{Owner, Severity};
use crate::model::text::count;

pub(super) fn check(facts: &Facts<'_>) -> Option<Verdict> {
    let view = facts.view;
    let asked = view.backlog.filter(|_| facts.is_clamped())?;
    let peak = view.depth.max(facts.figures.depth_peak);
    let matters = view.totals.overflows() > 0 || u64::from(peak) * 2 >= u64::from(view.limit.max(2));
    let mut evidence = vec![
        ("backlog", f64::from(asked)),
        ("limit", f64::from(view.limit)),
        ("peak", f64::from(peak)),
        ("overflows", view.totals.overflows() as f64),
    ];
    evidence.extend(view.somaxconn.map(|somaxconn| ("somaxconn", f64::from(somaxconn))));
    let use_of_it = if view.totals.overflows() > 0 {
        "The shorter queue has overflowed."
    } else if matters {
        "At least half of it was in use lately."
    } else {
        "It has been enough so far."
    };
    Some(Verdict {
        severity: if matters { Severity::Warning } else { Severity::Info },
        owner: Owner::Kernel,
        headline: format!(
            "Asked for a backlog of {}, net.core.somaxconn gave {}.",
            count(asked.into()),
            count(view.limit.into())
        ),
        text: format!(
            "The application called listen() with {}. The kernel cut it to net.core.somaxconn as it was then, without an error. {use_of_it}",
            count(asked.into())
        ),
        evidence,
        fix: format!(
            "sysctl -w net.core.somaxconn={asked}, then listen() again (restart the server); or ask for no more than {}.",
            view.limit
        ),
    })
}
