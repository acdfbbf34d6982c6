//! Makes the refusals that are reported one by one, and those that the kernel only counts, add up
//! to the kernel's totals.

/// One counter of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// Reported so far, named or not.
    reported: u64,
    /// The kernel's total at the sample before.
    before: u64,
}

impl Refusals {
    /// Counts a refusal that was reported with its victim.
    pub(super) fn named(&mut self) {
        self.reported = self.reported.saturating_add(1);
    }

    /// Takes the kernel's total and returns how many refusals have to be reported without a name.
    /// With `patient`, those counted since the sample before are left for the next one: their
    /// records may still be on the way.
    pub(super) fn unnamed(&mut self, total: u64, patient: bool) -> u64 {
        let due = if patient { self.before } else { total };
        let unnamed = due.saturating_sub(self.reported);
        self.reported += unnamed;
        self.before = total;
        unnamed
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;

    #[test]
    fn records_that_come_after_the_total_are_not_counted_twice() {
        let mut refusals = Refusals::default();
        refusals.named();
        assert_eq!(refusals.unnamed(3, true), 0, "two may be on the way");
        refusals.named();
        assert_eq!(refusals.unnamed(3, true), 1, "one never came");
        assert_eq!(refusals.unnamed(3, false), 0);
    }

    #[test]
    fn a_kernel_that_names_nobody_is_reported_at_once() {
        let mut refusals = Refusals::default();
        assert_eq!([5, 5, 9].map(|total| refusals.unnamed(total, false)), [5, 0, 4]);
    }

    #[test]
    fn more_names_than_the_total_are_carried_over() {
        let mut refusals = Refusals::default();
        (0..4).for_each(|_| refusals.named());
        assert_eq!([3, 4, 6].map(|total| refusals.unnamed(total, false)), [0, 0, 2]);
    }
}
