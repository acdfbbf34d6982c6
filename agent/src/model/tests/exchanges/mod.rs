//! The ledger: what the facts of one exchange come to.

mod answers;
mod garbage;
mod requests;

use crate::model::event::Exchange;
use crate::model::exchange::{counted, view};
use crate::model::snapshot::{ExchangeView, SliceKind};

const US: u64 = 1_000;

/// Kinds and times in order.
fn slices(view: &ExchangeView) -> Vec<(&'static str, u64)> {
    view.slices.iter().map(|slice| (slice.kind.name(), slice.us)).collect()
}

fn verdict(view: &ExchangeView) -> (&'static str, u64) {
    view.verdict.as_ref().map_or(("none", 0), |verdict| (verdict.kind.name(), verdict.us))
}

fn by_kind_of(view: &ExchangeView, kind: SliceKind) -> u64 {
    counted(&view.slices).filter(|(other, _)| *other == kind).map(|(_, us)| us).sum()
}

fn assert_tiles(exchange: &Exchange, view: &ExchangeView) {
    let mut end_ns = view.start_ns;
    for slice in &view.slices {
        assert_eq!(slice.start_ns, end_ns, "a gap or an overlap in {exchange:?}: {view:?}");
        assert!(slice.us > 0 && slice.cpu_us.is_none_or(|cpu_us| cpu_us <= slice.us), "{view:?}");
        end_ns += slice.us * US;
    }
    assert_eq!(
        view.slices.iter().map(|slice| slice.us).sum::<u64>(),
        view.total_us,
        "{exchange:?}: {view:?}"
    );
    assert!(view.slices.windows(2).all(|pair| pair[0].kind != pair[1].kind), "{view:?}");
    assert!(
        view.verdict.as_ref().is_none_or(|verdict| verdict.share > 0.0 && verdict.share <= 1.0)
    );
}

fn judged(exchange: &Exchange) -> ExchangeView {
    let view = view(exchange, None);
    assert_tiles(exchange, &view);
    view
}
