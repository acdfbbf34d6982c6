//! Field cases: faults that people reported of servers that they run, rebuilt. One file a kind.
//!
//! The truth of each kind comes from outside the tool. Each faulty server has a healthy twin, which
//! must stay without a finding of warning level or above.

mod accepts;
mod calls;
mod chain;
pub(super) mod connects;
mod greetings;
mod held;
mod ignored;
mod loops;
mod mptcp;
mod narrow;
mod refusals;
mod resets;
mod sending;
mod silent;
mod unanswered;

use crate::harness::Case;

/// Every field case.
pub(super) fn cases() -> Vec<Case> {
    let kinds: &[&[Case]] = &[
        accepts::CASES,
        calls::CASES,
        chain::CASES,
        connects::CASES,
        greetings::CASES,
        held::CASES,
        ignored::CASES,
        loops::CASES,
        mptcp::CASES,
        narrow::CASES,
        refusals::CASES,
        resets::CASES,
        sending::CASES,
        silent::CASES,
        unanswered::CASES,
    ];
    kinds.concat()
}
