//! The screen of a replay: that of watch, with keys to move in time.

use std::{
    fs::File,
    io::{self, Seek},
    sync::Arc,
    thread,
    time::Duration,
};

use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::{
    sync::{mpsc::Receiver, oneshot},
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use super::{
    player::{Player, from_beginning},
    tell,
    timeline::Progress,
};
use crate::{
    commands::{
        event_loop,
        look::Look,
        signals::{self, Signals},
        take::{self, Keeper, News},
    },
    tui::{self, Action, App, Guard, Playback, Take},
};

/// Time between two frames.
const TICK: Duration = Duration::from_millis(100);
/// Longest time between two ticks that is played. After a longer one the job was stopped, or the
/// machine.
const LONGEST: Duration = Duration::from_secs(1);
/// Speeds that + and - go through.
const SPEEDS: [f64; 9] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
const SECOND_NS: u64 = 1_000_000_000;
/// Keys that are kept while the recording is looked through.
const TYPED_AHEAD: usize = 64;

/// Action that a key of the replay asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    Pause,
    Faster,
    Slower,
    /// Moves so many seconds on, or back.
    By(i64),
    Begin,
    End,
    NextFinding,
    PreviousFinding,
    /// Goes to a moment, µs since the beginning.
    To(u64),
}

impl Control {
    fn of(key: KeyEvent) -> Option<Self> {
        if key.kind == KeyEventKind::Release
            || key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            return None;
        }
        Some(match key.code {
            KeyCode::Char('p' | ' ') => Self::Pause,
            KeyCode::Char('+' | '=') => Self::Faster,
            KeyCode::Char('-') => Self::Slower,
            KeyCode::Left => Self::By(-5),
            KeyCode::Right => Self::By(5),
            KeyCode::Char('[') => Self::By(-30),
            KeyCode::Char(']') => Self::By(30),
            KeyCode::Home => Self::Begin,
            KeyCode::End => Self::End,
            KeyCode::Char('f') => Self::NextFinding,
            KeyCode::Char('F') => Self::PreviousFinding,
            _ => return None,
        })
    }
}

/// The player with its state: playing or paused, and the speed.
struct PlaybackState {
    player: Player,
    playing: bool,
    speed: f64,
}

impl PlaybackState {
    fn obey(&mut self, control: Control) -> anyhow::Result<()> {
        let now_ns = self.player.position_ns();
        let to_ns = match control {
            Control::Pause => {
                self.playing = !self.playing;
                // From the end it begins anew.
                let restarts = self.playing && self.player.at_end();
                if restarts { Some(self.player.timeline.begin_ns) } else { None }
            }
            Control::Faster => {
                self.speed =
                    SPEEDS.into_iter().find(|speed| *speed > self.speed).unwrap_or(self.speed);
                None
            }
            Control::Slower => {
                self.speed = SPEEDS
                    .into_iter()
                    .rev()
                    .find(|speed| *speed < self.speed)
                    .unwrap_or(self.speed);
                None
            }
            Control::By(seconds) => {
                let distance = seconds.unsigned_abs() * SECOND_NS;
                Some(if seconds < 0 {
                    now_ns.saturating_sub(distance)
                } else {
                    now_ns.saturating_add(distance)
                })
            }
            Control::Begin => Some(self.player.timeline.begin_ns),
            Control::End => Some(self.player.timeline.end_ns),
            Control::To(us) => {
                Some(self.player.timeline.begin_ns.saturating_add(us.saturating_mul(1_000)))
            }
            Control::NextFinding => self.player.next_finding(),
            // While it plays one has just left the finding that one jumped to.
            Control::PreviousFinding => {
                let grace = if self.playing { SECOND_NS as f64 * self.speed } else { 0.0 };
                self.player.finding_before(now_ns.saturating_sub(grace as u64))
            }
        };
        if let Some(to_ns) = to_ns {
            self.player.seek(to_ns)?;
        }
        Ok(())
    }

    /// Plays on for so long.
    fn play(&mut self, passed: Duration) -> anyhow::Result<()> {
        let by_ns = passed.min(LONGEST).mul_f64(self.speed).as_nanos() as u64;
        self.player.advance(self.player.position_ns().saturating_add(by_ns))?;
        self.playing &= !self.player.at_end();
        Ok(())
    }

    fn playback(&self) -> Playback {
        let timeline = &self.player.timeline;
        Playback {
            playing: self.playing,
            position_us: self.player.position_ns().saturating_sub(timeline.begin_ns) / 1_000,
            length_us: timeline.end_ns.saturating_sub(timeline.begin_ns) / 1_000,
            speed: self.speed,
            damages: timeline.damage_count,
        }
    }
}

struct Screen {
    state: PlaybackState,
    guard: Guard,
    app: App,
    input: Receiver<io::Result<Input>>,
    keeper: Keeper,
}

/// Plays the recording until the user has seen enough; true if it is damaged.
pub(super) fn run(file: File, speed: f64, mut keeper: Keeper, look: &Look) -> anyhow::Result<bool> {
    // What is no recording is said without a screen.
    from_beginning(&file)?;
    let event_loop = event_loop()?;
    let mut guard = Guard::enter(look.theme())?;
    let mut input = tui::events()?;
    event_loop.block_on(async {
        let mut signals = Signals::catch()?;
        signals::survive_file_limit()?;
        let opening = Opening { guard: &mut guard, input: &mut input, signals: &mut signals };
        let Some((player, typed)) = opening.open(file).await? else { return Ok(false) };
        keeper.set_clock(player.header().clock);
        let mut app = look.app(player.clock());
        app.set_track(player.timeline.track());
        let state = PlaybackState { player, playing: true, speed };
        let mut screen = Screen { state, guard, app, input, keeper };
        screen.show(typed, &mut signals).await?;
        let Screen { state, guard, keeper, .. } = screen;
        drop(guard);
        for told in keeper.end()? {
            note!("backscope: {}", told);
        }
        Ok(tell(&state.player.timeline.damages, state.player.timeline.damage_count))
    })
}

/// The look through the whole recording, which may take a while.
struct Opening<'a> {
    guard: &'a mut Guard,
    input: &'a mut Receiver<io::Result<Input>>,
    signals: &'a mut Signals,
}

impl Opening<'_> {
    /// Returns the player, and what was typed meanwhile; `None` if the user leaves.
    async fn open(self, file: File) -> anyhow::Result<Option<(Player, Vec<Input>)>> {
        let length = file.metadata()?.len();
        // The place in the file is that of all its readers.
        let place = file.try_clone()?;
        let progress = Arc::new(Progress::default());
        let (sender, mut opened) = oneshot::channel();
        let reading = Arc::clone(&progress);
        thread::Builder::new().name("timeline".to_owned()).spawn(move || {
            // Nobody may wait for it any more.
            let _ = sender.send(Player::open(file, &reading));
        })?;
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        let mut typed = Vec::new();
        loop {
            tokio::select! {
                player = &mut opened => return Ok(Some((player??, typed))),
                _ = ticks.tick() => {
                    let entries = progress.entries();
                    let share = stream_position(&place) as f64 / length.max(1) as f64;
                    self.guard.draw_by(|frame| tui::draw_progress(frame, share, entries))?;
                }
                input = self.input.recv() => match input.transpose()? {
                    Some(input) if leaves(&input) => break,
                    Some(input) if typed.len() < TYPED_AHEAD => typed.push(input),
                    Some(_) => {}
                    None => break,
                },
                () = self.signals.any() => break,
            }
        }
        progress.give_up();
        Ok(None)
    }
}

fn stream_position(mut file: &File) -> u64 {
    file.stream_position().unwrap_or(0)
}

/// True of the keys that end the program.
fn leaves(input: &Input) -> bool {
    let Input::Key(key) = input else { return false };
    let is_ctrl_c = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    key.kind != KeyEventKind::Release && (is_ctrl_c || key.code == KeyCode::Char('q'))
}

impl Screen {
    async fn show(&mut self, typed: Vec<Input>, signals: &mut Signals) -> anyhow::Result<()> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        self.draw()?;
        for input in typed {
            if self.on_input(input)? {
                return Ok(());
            }
        }
        loop {
            tokio::select! {
                now = ticks.tick() => {
                    let passed = now.saturating_duration_since(last);
                    last = now;
                    let playing = self.state.playing;
                    if playing {
                        self.state.play(passed)?;
                    }
                    if self.tell_news() || playing {
                        self.draw()?;
                    }
                }
                // A terminal that is gone asks for the end.
                input = self.input.recv() => match input {
                    Some(input) => if self.on_input(input?)? {
                        return Ok(());
                    },
                    None => return Ok(()),
                },
                () = self.guard.is_due() => self.draw()?,
                () = signals.any() => return Ok(()),
            }
        }
    }

    /// True if the user wants to leave.
    fn on_input(&mut self, input: Input) -> anyhow::Result<bool> {
        let input = self.app.translated(input);
        let control = match input {
            Input::Key(key) if !self.app.has_keys() => Control::of(key),
            _ => None,
        };
        if let Some(control) = control {
            self.state.obey(control)?;
        } else {
            match self.app.on_event(input) {
                Action::Quit => return Ok(true),
                Action::Suspend => self.guard.suspend()?,
                Action::Seek(us) => self.state.obey(Control::To(us))?,
                Action::Take(take) => self.take(take)?,
                Action::None => return Ok(false),
                Action::Redraw => {}
            }
        }
        self.draw()?;
        Ok(false)
    }

    /// Takes along what a key asks for.
    fn take(&mut self, what: Take) -> anyhow::Result<()> {
        let told = match what {
            Take::Copy => {
                take::copy(&mut self.app, &self.guard);
                return Ok(());
            }
            Take::Record => "this is a recording already".into(),
            Take::Write => match self.app.selected() {
                Some(selected) => {
                    let view = self.app.view_of(&selected);
                    self.keeper.write(&selected, view.as_deref(), self.state.player.model())
                }
                None => take::NOTHING.into(),
            },
            Take::Report => match self.keeper.why_not() {
                Some(reason) => reason.clone(),
                None => {
                    let digest = self.state.player.digest()?;
                    self.keeper.report(&digest, self.state.player.position_ns())
                }
            },
        };
        self.app.tell(told);
        Ok(())
    }

    /// Says what became of files; true if there was anything to say.
    fn tell_news(&mut self) -> bool {
        let news = self.keeper.news();
        let any = !news.is_empty();
        for news in news {
            if let News::Told(told) = news {
                self.app.tell(told);
            }
        }
        any
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        if let Some(snapshot) = self.state.player.refreshed(&self.app.query()) {
            self.app.update(snapshot);
        }
        if let Some(query) = self.app.query_due() {
            self.app.show_found(self.state.player.find(&query));
        }
        self.app.set_playback(self.state.playback());
        Ok(self.guard.draw(&mut self.app)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: KeyCode, modifiers: KeyModifiers) -> Option<Control> {
        Control::of(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_of_the_watch_keep_their_meaning() {
        for key in "q?/sgGS1234jkywrRW".chars().map(KeyCode::Char) {
            assert_eq!(of(key, KeyModifiers::NONE), None, "{key}");
        }
        for key in [
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Tab,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::PageUp,
        ] {
            assert_eq!(of(key, KeyModifiers::NONE), None, "{key}");
        }
        assert_eq!(of(KeyCode::Char('p'), KeyModifiers::CONTROL), None);
    }

    #[test]
    fn keys_move_in_time() {
        assert_eq!(of(KeyCode::Char(' '), KeyModifiers::NONE), Some(Control::Pause));
        assert_eq!(of(KeyCode::Left, KeyModifiers::NONE), Some(Control::By(-5)));
        assert_eq!(of(KeyCode::Char('F'), KeyModifiers::SHIFT), Some(Control::PreviousFinding));
    }
}
