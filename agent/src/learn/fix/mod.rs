//! Exercises (`learn --fix`): a server that is broken, customers who suffer from it, and a sensor
//! whose finding must go away.
//!
//! An exercise is data ([`Exercise`], from `exercises/NAME/`). [`Game`] is pure: it takes what each
//! second brought, and knows how it stands. [`live`] runs server, customers and sensor.

mod catalogue;
mod exercise;
mod game;
mod judge;
pub mod live;
mod place;
mod quota;
mod scores;
mod second;
mod watcher;

pub use catalogue::{all, find, names};
pub use exercise::{Change, Exercise, ExerciseError, Piece};
pub use game::Game;
pub use judge::{Judge, Lack, Standing};
pub use live::{Live, News, Order};
pub use place::{Place, Session};
pub use scores::{Score, Scores};
pub use second::{FoundNow, Second, Tick};
