//! Colours, times of the day, and columns that were chosen.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use backscope::model::WallClock;
use backscope::model::snapshot::Snapshot;
use backscope::preferences::{ClockChoice, Columns};
use backscope::time_of_day::{TimeOfDay, Zone};
use backscope::tui::{App, Playback, Theme};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use super::{Screen, assert_screen, assert_shows, scene, traffic};

fn with_theme(theme: Theme, snapshot: Snapshot) -> Screen {
    let mut app = App::new(theme);
    app.update(snapshot);
    Screen { app, size: (80, 24) }
}

/// Returns the look of each cell as a letter, `.` for a plain one, and what the letters mean.
fn looks(buffer: &Buffer) -> String {
    let mut letters: BTreeMap<String, char> = BTreeMap::new();
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let mut look = String::new();
            for (name, colour) in [("text", cell.fg), ("on", cell.bg)] {
                match colour {
                    Color::Reset => {}
                    Color::Indexed(index) => write!(look, " {name} {index}").expect("a string"),
                    other => panic!("{other:?} is none of the 256 colours"),
                }
            }
            for modifier in [Modifier::BOLD, Modifier::UNDERLINED, Modifier::REVERSED] {
                if cell.modifier.contains(modifier) {
                    write!(look, " {modifier:?}").expect("a string");
                }
            }
            let next = char::from(b'a' + letters.len() as u8);
            line.push(if look.is_empty() { '.' } else { *letters.entry(look).or_insert(next) });
        }
        out += line.trim_end_matches('.');
        out.push('\n');
    }
    let mut meanings: Vec<_> = letters.into_iter().collect();
    meanings.sort_by_key(|(_, letter)| *letter);
    for (look, letter) in meanings {
        writeln!(out, "{letter}{}", look.to_lowercase()).expect("a string");
    }
    out
}

/// Compares the looks of a screen with `snapshots/NAME_looks.snap`.
#[track_caller]
fn assert_looks(name: &str, screen: &mut Screen) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{name}_looks"), looks(&screen.buffer())));
}

#[test]
fn themes_differ_in_colours_alone() {
    for (name, theme) in
        [("dark", Theme::colour()), ("light", Theme::light()), ("plain", Theme::plain())]
    {
        let mut screen = with_theme(theme, scene::incident());
        assert_looks(&format!("incident_{name}"), &mut screen);
        let mut screen = with_theme(theme, traffic::traffic());
        screen.key(KeyCode::Tab);
        assert_looks(&format!("connections_{name}"), &mut screen);
    }
    let lines = |theme| with_theme(theme, scene::incident()).lines();
    assert_eq!(lines(Theme::colour()), lines(Theme::light()));
}

/// Colours of one background would not be seen on the other.
#[test]
fn no_colour_of_one_theme_is_in_the_other() {
    let colours = |theme: Theme| {
        let mut seen = HashSet::new();
        for snapshot in [scene::incident(), traffic::traffic()] {
            let mut screen = with_theme(theme, snapshot).sized(160, 50);
            for key in [
                KeyCode::Null,
                KeyCode::Enter,
                KeyCode::Esc,
                KeyCode::Char('2'),
                KeyCode::Enter,
                KeyCode::Esc,
                KeyCode::Char('3'),
                KeyCode::Char('4'),
                KeyCode::Char('?'),
            ] {
                screen.key(key);
                for cell in screen.buffer().content() {
                    seen.extend([cell.fg, cell.bg].into_iter().filter(|c| *c != Color::Reset));
                }
            }
        }
        seen
    };
    let (dark, light) = (colours(Theme::colour()), colours(Theme::light()));
    assert!(dark.len() >= 8 && light.len() >= 8, "{dark:?}, {light:?}");
    assert!(dark.is_disjoint(&light), "{dark:?}, {light:?}");
}

/// The time of day of a snapshot whose watch was attached at this second of 1 December 2026, UTC.
fn at(mut screen: Screen, attached_ns: u64, second: u64) -> Screen {
    const FIRST_OF_DECEMBER: u64 = 1_796_083_200;
    let wall = UNIX_EPOCH + Duration::from_secs(FIRST_OF_DECEMBER + second);
    let clock = WallClock { mono_ns: attached_ns, wall };
    let zone = Zone::of_this_machine();
    screen.app.set_time_of_day(TimeOfDay::of(ClockChoice::Utc, clock, &zone));
    screen
}

fn attached_ns(snapshot: &Snapshot) -> u64 {
    snapshot.now_ns - snapshot.elapsed_us * 1_000
}

#[test]
fn the_time_of_day_is_in_the_header_and_in_the_stream() {
    let snapshot = scene::incident();
    let began = attached_ns(&snapshot);
    for (width, height) in [(80, 24), (160, 50)] {
        let screen = Screen::new(snapshot.clone()).sized(width, height);
        assert_screen("time_of_day", &mut at(screen, began, 14 * 3_600));
    }
}

#[test]
fn the_date_is_told_where_it_may_be_another() {
    let snapshot = scene::incident();
    let began = attached_ns(&snapshot);
    let screen = Screen::new(snapshot.clone());
    let mut screen = at(screen, began, 14 * 3_600);
    assert!(!screen.lines()[0].contains("2026-12-01"), "today");
    let playback = Playback { playing: true, position_us: 1, length_us: 2, speed: 1.0, damages: 0 };
    screen.app.set_playback(playback);
    assert_shows(&screen.lines()[0], &["2026-12-01 14:00:12Z", "00:12"]);
    // The watch began five seconds before midnight, and what happened then was yesterday.
    let screen = Screen::new(snapshot).sized(160, 50);
    let mut screen = at(screen, began, 86_395);
    assert_shows(&screen.lines()[0], &["2026-12-02 00:00:07Z"]);
    assert_screen("after_midnight", &mut screen);
}

#[test]
fn columns_come_as_they_were_chosen() {
    let columns = Columns {
        queues: vec!["overflow", "listener", "queue", "wait-p99"],
        connections: vec!["worst", "connection", "held-by", "resent", "in", "out", "thread"],
        threads: vec!["thread", "time", "on-cpu"],
    };
    for (width, height) in [(80, 24), (160, 50)] {
        let mut screen = Screen::new(scene::incident()).sized(width, height);
        screen.app.set_columns(columns.clone());
        assert_screen("queues_chosen", &mut screen);
        let mut screen = Screen::new(traffic::traffic()).sized(width, height);
        screen.app.set_columns(columns.clone());
        screen.key(KeyCode::Tab);
        assert_screen("connections_chosen", &mut screen);
        screen.key(KeyCode::Tab);
        assert_screen("threads_chosen", &mut screen);
    }
}
