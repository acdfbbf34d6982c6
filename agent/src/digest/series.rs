//! Points over time in bounded memory.

/// Points that are kept at most. Twice as wide as any picture of them.
const MAX: usize = 1_024;

/// A stretch of time with its figures.
pub trait Point {
    /// Adds the stretch right after this one.
    fn merge(&mut self, later: &Self);
}

/// Points over time. When there is no more room neighbours are merged, so that all of the time is
/// there, and each point stands for twice as much of it.
#[derive(Clone, Debug)]
pub struct Series<T> {
    points: Vec<T>,
    /// Given points that make one of `points`.
    stride: usize,
    /// Given points that are in the last of `points`.
    in_last: usize,
}

impl<T> Default for Series<T> {
    fn default() -> Self {
        Self { points: Vec::new(), stride: 1, in_last: 0 }
    }
}

impl<T: Point> Series<T> {
    /// Adds the newest point.
    pub fn push(&mut self, point: T) {
        match self.points.last_mut() {
            Some(last) if self.in_last < self.stride => {
                last.merge(&point);
                self.in_last += 1;
            }
            _ => {
                if self.points.len() == MAX {
                    self.halve();
                }
                self.points.push(point);
                self.in_last = 1;
            }
        }
    }

    /// Returns the points, oldest first.
    pub fn points(&self) -> &[T] {
        &self.points
    }

    fn halve(&mut self) {
        let mut merged: Vec<T> = Vec::with_capacity(MAX);
        for (place, point) in self.points.drain(..).enumerate() {
            match merged.last_mut() {
                Some(last) if place % 2 == 1 => last.merge(&point),
                _ => merged.push(point),
            }
        }
        self.points = merged;
        self.stride *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Sum {
        count: u64,
        last: u64,
    }

    impl Point for Sum {
        fn merge(&mut self, later: &Self) {
            assert!(later.last > self.last, "in order");
            self.count += later.count;
            self.last = later.last;
        }
    }

    #[test]
    fn all_of_the_time_is_there_however_long_it_is() {
        let mut series = Series::default();
        for last in 1..=100_000 {
            series.push(Sum { count: 1, last });
            let points = series.points();
            assert!(points.len() <= MAX);
            let sum: u64 = points.iter().map(|point| point.count).sum();
            assert_eq!((sum, points.last().map(|point| point.last)), (last, Some(last)));
        }
        let widths: Vec<u64> = series.points().iter().map(|point| point.count).collect();
        let (_, whole) = widths.split_last().expect("points");
        assert!(whole.windows(2).all(|pair| pair[0] == pair[1]), "each stands for as much time");
    }
}
