//! A picture on its way to another: what a turned knob changed, step by step.

use super::check::{Bar, Picture};
use crate::{
    model::timeline::Step,
    text::{Untrusted, duration_us},
};

impl Picture {
    /// Returns this picture at a share of the way from an earlier one, with both figures where they
    /// differ ("44 ms → 0.1 ms"). A picture of another shape is there at once.
    #[must_use]
    pub fn since(&self, earlier: &Self, share: f64) -> Self {
        let mut picture = self.clone();
        match (&mut picture, earlier) {
            (Self::Bars { bars, .. }, Self::Bars { bars: earlier, .. }) => {
                for (at, bar) in bars.iter_mut().enumerate() {
                    bar.move_from(earlier.get(at), share);
                }
            }
            (Self::Lanes { steps, .. }, Self::Lanes { steps: earlier, .. }) => {
                let pairs = steps.iter().zip(earlier);
                if steps.len() == earlier.len() && pairs.clone().all(|(new, old)| alike(new, old)) {
                    let pairs: Vec<_> = steps.iter_mut().zip(earlier).collect();
                    for (step, earlier) in pairs {
                        move_step(step, earlier, share);
                    }
                }
            }
            _ => {}
        }
        picture
    }

    /// Returns the length of its longest bar; 0 if it has none.
    pub fn longest(&self) -> f64 {
        match self {
            Self::Bars { bars, .. } => bars.iter().map(|bar| bar.length).fold(0.0, f64::max),
            _ => 0.0,
        }
    }
}

impl Bar {
    /// One that was not there before grows from nothing.
    fn move_from(&mut self, earlier: Option<&Self>, share: f64) {
        let before = earlier.map_or(0.0, |bar| bar.length);
        self.length = between(before, self.length, share);
        if let Some(earlier) = earlier
            && earlier.label == self.label
            && earlier.figure != self.figure
        {
            self.figure = format!("{} → {}", earlier.figure.trim_end(), self.figure.trim_end());
        }
    }
}

fn between(before: f64, after: f64, share: f64) -> f64 {
    before + (after - before) * share.clamp(0.0, 1.0)
}

/// Two steps of the same kind and owner.
fn alike(new: &Step, old: &Step) -> bool {
    match (new, old) {
        (Step::Held { owner, .. }, Step::Held { owner: before, .. }) => owner == before,
        (Step::Arrow { from, to, .. }, Step::Arrow { from: old_from, to: old_to, .. }) => {
            (from, to) == (old_from, old_to)
        }
        (Step::Gap { .. }, Step::Gap { .. }) => true,
        _ => false,
    }
}

fn move_step(step: &mut Step, earlier: &Step, share: f64) {
    let (Step::Held { us, text, .. }, Step::Held { us: before, .. }) = (step, earlier) else {
        return;
    };
    let (old, new) = (duration_us(*before), duration_us(*us));
    if old != new {
        text.push(Untrusted::from(format!(" ({old} → {new})")));
    }
    *us = between(*before as f64, *us as f64, share) as u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Owner;

    fn bars(lengths: &[f64]) -> Picture {
        let bar = |(at, length): (usize, &f64)| Bar {
            label: format!("bar {at}").into(),
            length: *length,
            figure: length.to_string(),
            owner: Owner::Kernel,
            fact: None,
        };
        Picture::Bars { title: String::new(), bars: lengths.iter().enumerate().map(bar).collect() }
    }

    fn held(us: u64, owner: Owner) -> Picture {
        let owner = owner.into();
        let step = Step::Held { at: None, us, owner, counts: true, text: "held".into() };
        Picture::Lanes { app: crate::learn::Who::Server, steps: vec![step] }
    }

    #[test]
    fn bars_move_and_tell_both_figures() {
        let moved = |share| match bars(&[10.0, 4.0]).since(&bars(&[20.0]), share) {
            Picture::Bars { bars, .. } => {
                bars.into_iter().map(|bar| (bar.length, bar.figure)).collect::<Vec<_>>()
            }
            _ => panic!("bars stay bars"),
        };
        let figures = |first, second| vec![(first, "20 → 10".to_owned()), (second, "4".to_owned())];
        assert_eq!(moved(0.0), figures(20.0, 0.0));
        assert_eq!(moved(0.5), figures(15.0, 2.0));
        assert_eq!(moved(1.0), figures(10.0, 4.0));
        assert_eq!(bars(&[3.0, 7.0]).longest(), 7.0);
    }

    #[test]
    fn steps_move_if_they_are_the_same_steps() {
        let moved =
            |earlier: &Picture, share| match held(10_000, Owner::Kernel).since(earlier, share) {
                Picture::Lanes { steps, .. } => match &steps[..] {
                    [Step::Held { us, text, .. }] => (*us, text.for_terminal().to_string()),
                    _ => panic!("one step"),
                },
                _ => panic!("lanes stay lanes"),
            };
        let before = held(44_000, Owner::Kernel);
        assert_eq!(moved(&before, 0.0), (44_000, "held (44 ms → 10 ms)".to_owned()));
        assert_eq!(moved(&before, 1.0).0, 10_000);
        assert_eq!(moved(&held(44_000, Owner::App), 0.0), (10_000, "held".to_owned()));
        assert_eq!(moved(&bars(&[1.0]), 0.0), (10_000, "held".to_owned()));
    }
}
