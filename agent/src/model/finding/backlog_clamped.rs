//! `listen(2)` asked for a longer accept queue than the kernel granted.

use super::pace::{self, Pace};
use super::{FindingVerdict, ListenerFacts, Text};
use crate::model::snapshot::{Owner, Severity};
use crate::text::count;

pub(super) fn check(facts: &ListenerFacts<'_>) -> Option<FindingVerdict> {
    let view = facts.view;
    let asked = view.backlog?;
    if !facts.is_clamped() {
        return None;
    }
    let peak = view.depth.max(facts.figures.depth_peak);
    let matters =
        view.totals.overflows() > 0 || u64::from(peak) * 2 >= u64::from(view.limit.max(2));
    let mut evidence = vec![
        ("backlog", f64::from(asked)),
        ("limit", f64::from(view.limit)),
        ("peak", f64::from(peak)),
        ("overflows", view.totals.overflows() as f64),
    ];
    if let Some(somaxconn) = view.somaxconn {
        evidence.push(("somaxconn", f64::from(somaxconn)));
    }
    Some(FindingVerdict {
        severity: if matters { Severity::Warning } else { Severity::Info },
        owner: Owner::Kernel,
        headline: format!(
            "listen() asked for a backlog of {}; net.core.somaxconn cut it to {}.",
            count(asked.into()),
            count(view.limit.into())
        ),
        text: say_use_of_it(
            Text::from(format!(
                "The application called listen() with a backlog of {}. Without an error, the \
                 kernel cut it to the value that net.core.somaxconn had then.",
                count(asked.into())
            )),
            facts,
            matters,
        ),
        evidence,
        fix: format!(
            "set {} to {asked}, then listen() again (restart the server); or ask for no more than \
             {}.",
            pace::somaxconn(facts),
            view.limit
        )
        .into(),
    })
}

fn say_use_of_it(text: Text, facts: &ListenerFacts<'_>, matters: bool) -> Text {
    let overflowed = facts.view.totals.overflows() > 0;
    let behind = Pace::of(facts).is_behind();
    text.say("overflowed", overflowed, || "The shorter queue has overflowed.".into())
        .infer("behind", overflowed && behind, || {
            "The application is behind, so a longer queue would fill, too.".into()
        })
        .say("used", matters && !overflowed, || {
            "At least half of the queue was in use recently.".into()
        })
        .say("enough", !matters, || "The shorter queue has been enough so far.".into())
}
