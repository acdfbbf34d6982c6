//! The pages of a lesson as lines: for the screen, and for output that is no terminal.

use ratatui::style::Style;
use ratatui::text::Line;

use super::{nested, words};
use crate::learn::{Bar, Claim, Lesson, LessonFacts, Outcome, Picture, Value, Who};
use crate::model::snapshot::Owner;
use crate::model::timeline::{Lane, Step};
use crate::text::Untrusted;
use crate::tui::text::{escape, left, right};
use crate::tui::theme::Theme;
use crate::tui::view::lanes;
use crate::tui::view::parts::{Row, cut, paragraph, raw, rule, span, spread};

/// Lines of a page.
pub(super) type Lines = Vec<Line<'static>>;

/// Returns the lesson's name, and how far one is in it.
pub(super) fn header(
    theme: Theme,
    lesson: &Lesson,
    step: &str,
    recorded: bool,
    width: usize,
) -> Line<'static> {
    let mut name = vec![span(format!(" LESSON {} ", lesson.lecture()), theme.reversed())];
    name.push(span(format!("  {}", lesson.title), theme.strong()));
    let recorded = if recorded { "recorded   " } else { "" };
    spread(name, vec![span(format!("{recorded}{step} "), theme.dim())], width)
}

/// Returns the lesson's name, above a question that is asked again.
pub(super) fn again_header(
    theme: Theme,
    lesson: &Lesson,
    recorded: bool,
    width: usize,
) -> Line<'static> {
    let mut name = vec![span(format!(" AGAIN, LESSON {} ", lesson.lecture()), theme.reversed())];
    name.push(span(format!("  {}", lesson.title), theme.strong()));
    let recorded = if recorded { "recorded " } else { "" };
    spread(name, vec![span(recorded.to_owned(), theme.dim())], width)
}

/// Returns the facts that the text of a round claims, each once.
pub(super) fn claimed_facts(lesson: &Lesson, round: usize, outcome: &Outcome) -> Lines {
    let mut out = Lines::new();
    for spec in lesson.check.facts {
        let is_claimed =
            lesson.rounds[round].plan.claims.iter().any(|claim| claim.fact == spec.name);
        if is_claimed && outcome.facts.get(spec.name).is_some() {
            let shown = right(&outcome.facts.shown(spec.name), 12);
            out.push(Line::from(format!(" {shown}  {}", spec.about)));
        }
    }
    out
}

/// Returns the text that leads to the question of a lesson.
pub(super) fn intro(theme: Theme, lesson: &Lesson, round: usize, width: usize) -> Lines {
    let mut out = Lines::new();
    if round == 0 {
        for line in words::blocks(theme, &lesson.intro, None, width) {
            out.push(line.style(theme.dim()));
        }
        out.push(Line::default());
    }
    out
}

/// Returns the question of a round.
pub(super) fn question(theme: Theme, lesson: &Lesson, round: usize, width: usize) -> Lines {
    let mut out = Lines::new();
    let this = &lesson.rounds[round];
    if round > 0 {
        let change = format!("Change one thing: {}", this.change);
        out.extend(paragraph(&change, 1, theme.strong(), width));
        out.push(Line::default());
    }
    out.extend(words::blocks(theme, &this.question, None, width));
    out.push(Line::default());
    out
}

/// Returns the answers offered, with the one in hand; after the run with the right one.
pub(super) fn answers(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    guess: Option<usize>,
    right: Option<usize>,
) -> Line<'static> {
    let mut row = vec![raw(" ")];
    for (at, offered) in lesson.rounds[round].plan.offered.iter().enumerate() {
        let mine = guess == Some(at);
        let (text, style) = match right {
            Some(right) if right == at => (format!("✓ {offered} "), theme.strong()),
            Some(_) if mine => (format!("✗ {offered} "), theme.dim()),
            Some(_) => (format!("  {offered} "), theme.dim()),
            None if mine => (format!("▸{}) {offered} ", key(at)), theme.reversed()),
            None => (format!(" {}) {offered} ", key(at)), theme.strong()),
        };
        row.extend([span(text, style), raw("  ")]);
    }
    let asked = match (right, guess) {
        (Some(_), _) => "",
        (None, Some(_)) => "your prediction",
        (None, None) => "what do you predict?",
    };
    row.push(span(asked, theme.dim()));
    Line::from(row)
}

/// Returns the key of an answer.
pub(super) fn key(at: usize) -> char {
    match at {
        0..4 => char::from(b'a' + at as u8),
        _ => '?',
    }
}

/// Returns what will be measured.
pub(super) fn measured(theme: Theme, lesson: &Lesson, width: usize) -> Lines {
    let mut out = vec![rule(theme, vec![span("WHAT WILL BE MEASURED", theme.dim())], width)];
    for spec in lesson.check.facts {
        let fact = span(format!("   {}", spec.about), theme.dim());
        out.push(Line::from(cut(vec![fact], width)));
    }
    out
}

/// Returns how to read the picture that follows.
pub(super) fn legend(theme: Theme, width: usize) -> Lines {
    let arrow = |from, to, text: &str| Step::Arrow { at: None, from, to, text: text.into() };
    let held = |owner: Owner, text: &str| Step::Held {
        at: None,
        us: 0,
        owner: owner.into(),
        counts: true,
        text: text.into(),
    };
    let steps = [
        arrow(Lane::Peer, Lane::Kernel, "the client's bytes reach this host's kernel"),
        held(Owner::Kernel, "the kernel holds them: a buffer, a rule, the scheduler"),
        arrow(Lane::Kernel, Lane::App, "the app calls accept() or read()"),
        held(Owner::App, "the app holds them: it works, sleeps, or is busy elsewhere"),
        arrow(Lane::App, Lane::Kernel, "the app calls write()"),
        held(Owner::Network, "they are on their way, or were lost there"),
        held(Owner::Peer, "the other side holds them"),
    ];
    let mut out = vec![rule(theme, vec![span("HOW TO READ THE PICTURE", theme.dim())], width)];
    out.extend(lanes::lines(theme, lanes::Sides::PLAIN, &steps, width, 0));
    out
}

/// Returns what was measured, against what was predicted.
pub(super) fn verdict(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    outcome: &Outcome,
    guess: Option<usize>,
    width: usize,
) -> Lines {
    let plan = &lesson.rounds[round].plan;
    let evidence = &outcome.evidence;
    let at = format!("(kernel {}, {} tier)", escape(&evidence.kernel), escape(&evidence.tier));
    let title = if outcome.recorded { "RECORDED ELSEWHERE" } else { "MEASURED JUST NOW" };
    let mut out = vec![rule(theme, vec![span(format!("{title} {at}"), theme.dim())], width)];
    let mut row =
        vec![raw(" "), span(format!(" {} ", outcome.facts.shown(&plan.answer)), theme.reversed())];
    if let Some(spec) = outcome.facts.spec(&plan.answer) {
        row.push(raw(format!("  {}", spec.about)));
    }
    let right = lesson.rounds[round].right(&outcome.facts);
    let said = if guess.is_some() && guess == right {
        "✓ as you predicted ".to_owned()
    } else if let Some(at) = guess
        && let Some(offered) = plan.offered.get(at)
    {
        format!("you predicted {offered} ")
    } else {
        String::new()
    };
    out.push(spread(row, vec![span(said, theme.strong())], width));
    if let Some(guess) = guess
        && let Some(word) = lesson.rounds[round].on_wrong(guess, &outcome.facts)
    {
        let mark = vec![span(" ✗   ", theme.strong())];
        out.extend(words::marked(theme, mark, &word, Some(&outcome.facts), width));
    }
    out.extend(broken(theme, outcome, width));
    out
}

/// Returns the claims of the text that this run does not bear out.
fn broken(theme: Theme, outcome: &Outcome, width: usize) -> Lines {
    let mut out = Lines::new();
    if !outcome.broken.is_empty() {
        out.push(Line::from(span(" ▲ This run does not match the lesson's text:", theme.strong())));
    }
    for broken in &outcome.broken {
        out.extend(paragraph(&broken.to_string(), 3, Style::new(), width));
    }
    out
}

/// Returns the picture under a title that says whose the colours are, with a blank line after it.
pub(super) fn pictured(theme: Theme, outcome: &Outcome, width: usize, room: usize) -> Lines {
    let mut out = vec![owners_rule(theme, &outcome.picture, width)];
    out.extend(picture(theme, outcome, width, room.saturating_sub(2)));
    out.push(Line::default());
    out
}

/// Returns the title of a picture: whose the colours are.
pub(super) fn owners_rule(theme: Theme, picture: &Picture, width: usize) -> Line<'static> {
    let mut title = vec![span("WHO DID WHAT", theme.dim())];
    let mut owners = vec![Owner::Peer, Owner::Kernel, Owner::App];
    if picture.shows(Owner::Network) {
        owners.insert(1, Owner::Network);
    }
    for owner in owners {
        title.extend([raw("  "), span(format!(" {} ", owner.letter()), theme.badge(owner))]);
        title.push(span(format!(" {}", owner.name()), theme.owner(owner)));
    }
    rule(theme, title, width)
}

/// Returns the picture, in at most `room` lines where it can be so short.
pub(super) fn picture(theme: Theme, outcome: &Outcome, width: usize, room: usize) -> Lines {
    drawn(theme, &outcome.picture, outcome.picture.longest(), width, room)
}

/// Returns a picture whose bars are drawn to this length.
pub(super) fn drawn(
    theme: Theme,
    picture: &Picture,
    longest: f64,
    width: usize,
    room: usize,
) -> Lines {
    match picture {
        Picture::Lanes { app, steps } => lanes::lines(theme, sides(*app), steps, width, room),
        Picture::Nested { title, shells } => nested::lines(theme, title, shells, width),
        Picture::Bars { title, bars } => {
            let mut out = vec![Line::from(span(format!(" {title}"), theme.dim()))];
            for bar in bars {
                out.push(self::bar(theme, bar, (bars, longest), width));
            }
            out
        }
    }
}

/// The names of the outer lanes, if this one is the app.
fn sides(app: Who) -> lanes::Sides {
    match app {
        Who::Client => lanes::Sides { peer: "P server", app: "A client" },
        _ => lanes::Sides { peer: "P client", app: "A server" },
    }
}

fn bar(theme: Theme, bar: &Bar, (all, longest): (&[Bar], f64), width: usize) -> Line<'static> {
    let (mut label, mut figure) = (0, 0);
    for other in all {
        label = label.max(escape(&other.label).chars().count());
        figure = figure.max(other.figure.chars().count());
    }
    let room = width.saturating_sub(label + figure + 6);
    let share = if longest > 0.0 { bar.length / longest } else { 0.0 };
    let cells = ((room as f64 * share) as usize).max(usize::from(bar.length > 0.0)).min(room);
    Line::from(vec![
        raw(format!(" {}  ", left(&escape(&bar.label), label))),
        theme.run(bar.owner, cells),
        raw(" ".repeat(room - cells)),
        span(format!("  {}", right(&bar.figure, figure)), theme.strong()),
    ])
}

/// Returns the facts, the claims and what was said.
pub(super) fn evidence(
    theme: Theme,
    lesson: &Lesson,
    round: usize,
    outcome: &Outcome,
    width: usize,
) -> Lines {
    let heading = |text: &str| rule(theme, vec![span(text.to_owned(), theme.dim())], width);
    let mut out = vec![heading("FACTS, as the kernel and the clients counted them")];
    out.extend(facts(theme, &outcome.facts, width));
    out.extend([Line::default(), heading("CLAIMS of the lesson's text")]);
    for claim in &lesson.rounds[round].plan.claims {
        let holds = !outcome.broken.iter().any(|broken| broken.fact == claim.fact);
        out.push(self::claim(theme, claim, &outcome.facts, holds, width));
    }
    out.extend([Line::default(), heading("WHAT RAN, AND WHAT IT PRINTED")]);
    let scenario = (lesson.check.scenario)(&lesson.rounds[round].plan.knobs);
    let mut said: Vec<Untrusted> =
        scenario.as_parts().iter().map(|line| format!("$ {}", line.text).into()).collect();
    said.extend(outcome.evidence.reports.iter().cloned());
    for line in said {
        out.push(Line::from(cut(vec![raw(format!(" {}", escape(&line)))], width)));
    }
    let findings = &outcome.evidence.snapshot.findings;
    if !findings.is_empty() {
        out.extend([Line::default(), heading("FINDINGS that watch would have reported")]);
    }
    for finding in findings {
        let text = format!(" {}: {}", finding.kind, escape(&finding.headline));
        out.push(Line::from(cut(vec![raw(text)], width)));
    }
    out
}

fn facts(theme: Theme, facts: &LessonFacts, width: usize) -> Lines {
    let mut widest = 0;
    for spec in facts.specs() {
        widest = widest.max(facts.shown(spec.name).chars().count());
    }
    let mut out = Lines::new();
    for spec in facts.specs() {
        let style = if facts.get(spec.name).is_some() { theme.strong() } else { theme.dim() };
        let row: Row = vec![
            span(format!(" {}  ", right(&facts.shown(spec.name), widest)), style),
            raw(left(spec.name, 12)),
            span(format!(" {}", spec.about), theme.dim()),
        ];
        out.push(Line::from(cut(row, width)));
    }
    out
}

fn claim(
    theme: Theme,
    claim: &Claim,
    facts: &LessonFacts,
    holds: bool,
    width: usize,
) -> Line<'static> {
    let sign = if holds { " ✓ " } else { " ✗ " };
    let measured = match facts.get(&claim.fact) {
        Some(Value::Word(word)) => word.clone(),
        Some(Value::Number(_)) => facts.shown(&claim.fact),
        None => "not observed".to_owned(),
    };
    let text = format!("{} {}; measured {measured}", left(&claim.fact, 12), claim.expected(facts));
    Line::from(cut(vec![span(sign, theme.strong()), raw(text)], width))
}
