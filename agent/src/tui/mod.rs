//! The screen of `watch` and `replay`: renders snapshots and computes nothing beyond layout.
//!
//! The caller owns the loop. It takes the terminal with [`Guard::enter`], feeds [`App::update`]
//! with snapshots and [`App::on_event`] with what comes from [`events`], does what the returned
//! [`Action`] asks, and draws.

mod app;
mod background;
mod clipboard;
mod events;
#[cfg(feature = "lessons")]
pub mod fix;
mod found;
#[cfg(feature = "lessons")]
mod gesture;
mod help;
mod input;
mod jump;
mod keys;
#[cfg(feature = "lessons")]
pub mod lesson;
mod list;
mod loading;
mod order;
mod palette;
pub mod picker;
mod signs;
mod subject;
mod take;
mod terminal;
mod text;
mod theme;
mod track;
mod view;

pub use app::{Action, App, Playback};
pub use events::events;
pub use loading::draw_progress;
pub use take::{Selected, Take};
pub(crate) use terminal::is_hung_up;
pub use terminal::{Guard, terminal_as_stdin};
pub use theme::Theme;
pub use track::{Gap, Mark, Track};

/// True of a terminal that says of itself that it can only print lines (an editor's, a log's).
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}
