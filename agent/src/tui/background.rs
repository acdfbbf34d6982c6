//! The terminal's background, dark or light: asked of the terminal, whose answer comes among the
//! keys.
//!
//! Nobody waits for the answer. The screen begins with a guess and turns once the answer is there,
//! so a terminal that is far away delays nothing, and one that never answers neither. [`Answer`]
//! picks it out of the events: nothing that was typed meanwhile is lost or taken for it.

use std::env;
use std::ffi::OsStr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::palette::luminance;

/// The kind of background that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Background {
    /// Text is lighter than it.
    Dark,
    /// Text is darker than it.
    Light,
}

/// Asks for the colour of the background (xterm's OSC 11).
pub(super) const QUESTION: &[u8] = b"\x1b]11;?\x1b\\";
/// How the answer begins. It ends as the question does, or with BEL.
const BEGINNING: &str = "\x1b]11;";
/// Longest colour in an answer: "rgba:ffff/ffff/ffff/ffff".
const LONGEST: usize = 24;
/// The luminance that looks half way between black and white.
const MIDDLE: f64 = 0.18;

/// Time after the question in which an answer is looked for.
const AWAITED: Duration = Duration::from_secs(10);
/// Time for which the terminal is held for an answer that is still to come: behind it, the shell
/// would take the answer for something typed.
const HELD: Duration = Duration::from_secs(1);

/// Time for which a key is held back that may be the beginning of an answer, and for which the rest
/// of one is awaited.
const KEY: Duration = Duration::from_millis(20);
const SPLIT: Duration = Duration::from_secs(1);

/// One for the process, as the terminal is.
static ASKED: Mutex<Asked> = Mutex::new(Asked { at: None, answer: None });
static ANSWERED: Condvar = Condvar::new();

struct Asked {
    at: Option<Instant>,
    answer: Option<Background>,
}

fn asked() -> MutexGuard<'static, Asked> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the question, the first time; `None` if the terminal would not understand it.
pub(super) fn question() -> Option<&'static [u8]> {
    let mut asked = asked();
    if asked.at.is_some() || !understands(&env::var_os("TERM").unwrap_or_default()) {
        return None;
    }
    asked.at = Some(Instant::now());
    Some(QUESTION)
}

/// True of terminals that know control sequences of this kind: the others may print them.
fn understands(terminal: &OsStr) -> bool {
    let name = terminal.to_string_lossy();
    !matches!(&*name, "" | "dumb" | "linux" | "unknown" | "cons25") && !name.starts_with("vt")
}

/// Returns the answer, once it has come.
pub(super) fn answer() -> Option<Background> {
    asked().answer
}

/// Waits for an answer that may still come, for a moment.
pub(super) fn await_answer() {
    let asked = asked();
    let Some(at) = asked.at else { return };
    let left = HELD.saturating_sub(at.elapsed());
    drop(ANSWERED.wait_timeout_while(asked, left, |asked| asked.answer.is_none()));
}

/// Returns what the environment says of the background, as some terminals set it:
/// `COLORFGBG=15;0`, the numbers of the text's and the background's colours.
pub(super) fn guess() -> Option<Background> {
    of_colours(&env::var("COLORFGBG").ok()?)
}

fn of_colours(text: &str) -> Option<Background> {
    match text.rsplit(';').next()?.parse::<u8>().ok()? {
        0..=6 | 8 => Some(Background::Dark),
        7 | 9..=15 => Some(Background::Light),
        16.. => None,
    }
}

/// Picks the answer out of the events.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Events that may be the beginning of the answer, and their characters.
    held: Vec<Event>,
    text: String,
    /// It came.
    is_over: bool,
}

impl Answer {
    /// True while it may come.
    fn is_awaited(&self) -> bool {
        !self.is_over && asked().at.is_some_and(|at| at.elapsed() < AWAITED)
    }

    /// Returns the time for which events are held back, if there are any. A lone escape is mostly a
    /// key; nobody types what follows it in an answer, and its rest may be under way.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &*self.text {
            "" => None,
            "\x1b" => Some(KEY),
            _ => Some(SPLIT),
        }
    }

    /// Takes the next event, and adds to `out` those that are no part of the answer. The event that
    /// completes it makes for a new drawing of the screen.
    pub(super) fn take(&mut self, event: Event, out: &mut Vec<Event>) {
        if self.held.is_empty() && !self.is_awaited() {
            out.push(event);
            return;
        }
        if let Some(background) = self.sort_out(event, out) {
            self.is_over = true;
            asked().answer = Some(background);
            ANSWERED.notify_all();
            out.push(redraw());
        }
    }

    fn sort_out(&mut self, event: Event, out: &mut Vec<Event>) -> Option<Background> {
        let Some(piece) = characters(&event) else {
            self.let_go(out);
            out.push(event);
            return None;
        };
        let mut text = format!("{}{piece}", self.text);
        if !may_begin_with(&text) {
            self.let_go(out);
            text = piece;
            if !may_begin_with(&text) {
                out.push(event);
                return None;
            }
        }
        self.text = text;
        self.held.push(event);
        let colour = whole(&self.text)?.to_owned();
        // Whatever colour it names, it was the answer, and no keys.
        self.held.clear();
        self.text.clear();
        background(&colour)
    }

    /// Adds what is held back to `out`: it was typed after all.
    pub(super) fn let_go(&mut self, out: &mut Vec<Event>) {
        out.append(&mut self.held);
        self.text.clear();
    }
}

/// Returns an event that changes nothing.
fn redraw() -> Event {
    let (width, height) = ratatui::crossterm::terminal::size().unwrap_or_default();
    Event::Resize(width, height)
}

/// Returns the characters that an event was read from, of those that an answer has.
fn characters(event: &Event) -> Option<String> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    let modifiers = *modifiers - KeyModifiers::SHIFT;
    match code {
        KeyCode::Esc if modifiers.is_empty() => Some("\x1b".to_owned()),
        KeyCode::Char(c) if modifiers.is_empty() => Some(c.to_string()),
        KeyCode::Char(c) if modifiers == KeyModifiers::ALT => Some(format!("\x1b{c}")),
        KeyCode::Char('g') if modifiers == KeyModifiers::CONTROL => Some("\x07".to_owned()),
        _ => None,
    }
}

/// Returns the colour and the end of an answer that has begun.
fn parts(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(BEGINNING)?;
    Some(rest.split_at(rest.find(['\x1b', '\x07']).unwrap_or(rest.len())))
}

/// True if an answer may begin like this.
fn may_begin_with(text: &str) -> bool {
    let Some((colour, end)) = parts(text) else { return BEGINNING.starts_with(text) };
    let is_one = |name: &str| match colour.strip_prefix(name) {
        Some(digits) => digits.chars().all(|c| c.is_ascii_hexdigit() || c == '/'),
        None => end.is_empty() && name.starts_with(colour),
    };
    colour.len() <= LONGEST
        && matches!(end, "" | "\x07" | "\x1b" | "\x1b\\")
        && ["rgb:", "rgba:", "#"].into_iter().any(is_one)
}

/// Returns the colour of an answer that is complete.
fn whole(text: &str) -> Option<&str> {
    match parts(text)? {
        (colour, "\x07" | "\x1b\\") => Some(colour),
        _ => None,
    }
}

/// Returns the kind of a background: "rgb:1e1e/1e1e/1e1e", each part of one to four digits, or
/// "#1e1e1e".
fn background(colour: &str) -> Option<Background> {
    let mut digits = Vec::new();
    if let Some(all) = colour.strip_prefix('#') {
        if all.is_empty() || all.len() % 3 != 0 {
            return None;
        }
        for at in (0..all.len()).step_by(all.len() / 3) {
            digits.push(all.get(at..at + all.len() / 3)?);
        }
    } else {
        digits.extend(colour.split_once(':')?.1.split('/'));
    }
    let [red, green, blue, ..] = digits[..] else { return None };
    let mut rgb = [0.0; 3];
    for (part, digits) in rgb.iter_mut().zip([red, green, blue]) {
        if !(1..=4).contains(&digits.len()) {
            return None;
        }
        let most = (1_u32 << (4 * digits.len())) - 1;
        *part = f64::from(u32::from_str_radix(digits, 16).ok()?) / f64::from(most);
    }
    Some(if luminance(rgb) > MIDDLE { Background::Light } else { Background::Dark })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(code, modifiers))
    }

    /// Events as crossterm reads them from these characters, all at once.
    fn typed(text: &str) -> Vec<Event> {
        let (mut events, mut rest) = (Vec::new(), text.chars().peekable());
        while let Some(c) = rest.next() {
            events.push(match (c, rest.peek()) {
                ('\x1b', Some(_)) => {
                    key(KeyCode::Char(rest.next().expect("one")), KeyModifiers::ALT)
                }
                ('\x1b', None) => key(KeyCode::Esc, KeyModifiers::NONE),
                ('\x07', _) => key(KeyCode::Char('g'), KeyModifiers::CONTROL),
                (c, _) if c.is_ascii_uppercase() => key(KeyCode::Char(c), KeyModifiers::SHIFT),
                (c, _) => key(KeyCode::Char(c), KeyModifiers::NONE),
            });
        }
        events
    }

    /// Returns the background, what else was typed, and what is held back at the end.
    fn sort_out(events: Vec<Event>) -> (Option<Background>, Vec<Event>, usize) {
        let (mut answer, mut out, mut found) = (Answer::default(), Vec::new(), None);
        for event in events {
            found = answer.sort_out(event, &mut out).or(found);
        }
        (found, out, answer.held.len())
    }

    const XTERM: &str = "\x1b]11;rgb:ffff/FFFF/ffff\x1b\\";

    #[test]
    fn answers_are_understood() {
        for (text, expected) in [
            (XTERM, Background::Light),
            ("\x1b]11;rgb:0000/0000/0000\x07", Background::Dark),
            ("\x1b]11;rgb:1e/1e/1e\x1b\\", Background::Dark),
            ("\x1b]11;rgba:fd/f6/e3/ff\x1b\\", Background::Light),
            ("\x1b]11;#002b36\x07", Background::Dark),
        ] {
            assert_eq!(sort_out(typed(text)), (Some(expected), Vec::new(), 0), "{text:?}");
        }
    }

    #[test]
    fn what_is_typed_around_an_answer_stays() {
        let mut events = typed("jj/ng");
        events.extend(typed(XTERM));
        events.extend(typed("q"));
        events.insert(2, key(KeyCode::Tab, KeyModifiers::NONE));
        let mut expected = typed("jj/ngq");
        expected.insert(2, key(KeyCode::Tab, KeyModifiers::NONE));
        assert_eq!(sort_out(events), (Some(Background::Light), expected, 0));
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        for at in 1..XTERM.len() {
            let mut events = typed(&XTERM[..at]);
            events.extend(typed(&XTERM[at..]));
            let sorted = sort_out(events);
            assert_eq!(sorted, (Some(Background::Light), Vec::new(), 0), "cut at {at}");
        }
    }

    #[test]
    fn what_only_looks_like_an_answer_was_typed() {
        for text in ["\x1b]11;rgq", "\x1b]12;rgb:0/0/0\x07", "]11;rgb:0/0/0", "\x1bx", "\x1b]\x1bq"]
        {
            assert_eq!(sort_out(typed(text)), (None, typed(text), 0), "{text:?}");
        }
        let mut endless = BEGINNING.to_owned() + "rgb:";
        endless += &"f".repeat(100);
        assert_eq!(sort_out(typed(&endless)), (None, typed(&endless), 0));
    }

    #[test]
    fn a_key_that_is_held_back_is_let_go() {
        let (mut answer, mut out) = (Answer::default(), Vec::new());
        let escape = key(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(answer.sort_out(escape.clone(), &mut out), None);
        assert_eq!((answer.patience(), out.len()), (Some(KEY), 0));
        answer.let_go(&mut out);
        assert_eq!((answer.patience(), out), (None, vec![escape]));
    }

    #[test]
    fn a_strange_colour_is_an_answer_that_says_nothing() {
        for text in ["\x1b]11;rgb:\x07", "\x1b]11;#12345\x07", "\x1b]11;rgb:1/2\x07"] {
            assert_eq!(sort_out(typed(text)), (None, Vec::new(), 0), "{text:?}");
        }
    }

    #[test]
    fn the_environment_names_the_background_last() {
        assert_eq!(of_colours("15;0"), Some(Background::Dark));
        assert_eq!(of_colours("0;default;15"), Some(Background::Light));
        assert_eq!(of_colours("15;default"), None);
    }

    #[test]
    fn terminals_that_would_print_it_are_not_asked() {
        for (name, asked) in [("xterm-256color", true), ("tmux", true), ("linux", false)] {
            assert_eq!(understands(OsStr::new(name)), asked, "{name}");
        }
        assert!(["dumb", "vt220", ""].iter().all(|name| !understands(OsStr::new(name))));
    }
}
