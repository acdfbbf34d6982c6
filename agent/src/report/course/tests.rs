//! The pages of every lesson, from its recordings.

use std::{collections::BTreeSet, io::Cursor, sync::OnceLock};

use super::{
    DEMOS, DEMOS_SCRIPT, INDEX, INDEX_SCRIPT, LESSON_SCRIPT, Neighbours, PLAYER_SCRIPT, STYLE,
    Told, demos_page, index_page, lesson_page, links::file, shows_a_queue,
};
use crate::{
    digest::Digest,
    html::policy,
    learn::{self, Bar, Block, Lesson, LessonFacts, Outcome, Picture, Piece, Who},
    model::{snapshot::Owner, timeline::Step},
    record::Reader,
    text::Untrusted,
};

/// A name as a process may have it.
const NAME: &str = "</script><script>alert(1)</script>\"'&\u{202e}\u{1b}[2J";
/// The same as it may stand on the page.
const ESCAPED: &str = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\
                       \\u{202e}\\u{1b}[2J";

struct Course {
    lessons: Vec<Lesson>,
    outcomes: Vec<Vec<Outcome>>,
    /// Name and text of each page.
    pages: Vec<(String, String)>,
}

/// Made once for all tests: it plays a hundred recordings.
fn course() -> &'static Course {
    static COURSE: OnceLock<Course> = OnceLock::new();
    COURSE.get_or_init(|| {
        let mut course = Course { lessons: Vec::new(), outcomes: Vec::new(), pages: Vec::new() };
        for entry in learn::all() {
            let lesson = entry.lesson().expect("a test reads every lesson");
            course.outcomes.push(outcomes(&lesson, entry.recordings));
            course.lessons.push(lesson);
        }
        let lessons: Vec<&Lesson> = course.lessons.iter().collect();
        for (at, lesson) in lessons.iter().enumerate() {
            let neighbours = Neighbours {
                before: at.checked_sub(1).map(|before| lessons[before]),
                after: lessons.get(at + 1).copied(),
                course: true,
            };
            let told = told(lesson, course.outcomes[at].clone());
            course.pages.push((lesson.slug.clone(), lesson_page(&told, &neighbours)));
        }
        course.pages.push((INDEX.to_owned(), index_page(&lessons)));
        course.pages.push((DEMOS.to_owned(), demos_page(&lessons)));
        course
    })
}

fn outcomes(lesson: &Lesson, recordings: &[learn::Recording]) -> Vec<Outcome> {
    let mut earlier: Vec<Option<LessonFacts>> = Vec::new();
    let mut outcomes = Vec::new();
    for (round, recording) in recordings.iter().enumerate() {
        let evidence = learn::recorded(*recording).expect("a recording");
        let outcome = learn::judge(lesson, round, evidence, true, earlier.clone());
        earlier.push(Some(outcome.facts.clone()));
        outcomes.push(outcome);
    }
    outcomes
}

fn told(lesson: &Lesson, outcomes: Vec<Outcome>) -> Told<'_> {
    let mut runs = Vec::new();
    if shows_a_queue(lesson) {
        let entry = learn::find(&lesson.slug).expect("it is in the catalogue");
        for recording in entry.recordings {
            let bytes = recording.bytes().expect("a recording");
            let mut reader = Reader::new(Cursor::new(bytes)).expect("a recording");
            runs.push(Digest::of(&mut reader, 0).expect("it plays"));
        }
    }
    Told { lesson, outcomes, runs }
}

fn page(name: &str) -> &'static str {
    let found = course().pages.iter().find(|(page, _)| page == name);
    &found.unwrap_or_else(|| panic!("no page {name}")).1
}

/// The text of a page without its tags and with its entities resolved, its blanks as one.
fn words(page: &str) -> String {
    let main = &page[page.find("<main").expect("a main part")..];
    let mut out = String::new();
    let mut is_tag = false;
    for character in main.chars() {
        match character {
            '<' => is_tag = true,
            '>' => is_tag = false,
            _ if !is_tag => out.push(character),
            _ => {}
        }
    }
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    {
        out = out.replace(entity, character);
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An attribute that is code, as `onclick`.
fn handler(page: &str) -> Option<&str> {
    page.split('<').skip(1).filter_map(|tag| tag.split('>').next()).find(|tag| {
        let mut attributes = tag.split(' ').skip(1).filter_map(|it| it.split_once('='));
        attributes.any(|(name, _)| name.starts_with("on") && name.chars().all(char::is_alphabetic))
    })
}

/// A block as it is told.
fn sentence(block: &Block, facts: Option<&LessonFacts>) -> String {
    let text: String = block.pieces().iter().map(|piece| piece.filled(facts)).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn pages_are_whole_and_ask_for_nothing() {
    let names: BTreeSet<String> = course().pages.iter().map(|(name, _)| file(name)).collect();
    assert_eq!(names.len(), course().pages.len(), "each has a name of its own");
    for (name, page) in &course().pages {
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{name}");
        for tag in
            ["html", "main", "section", "details", "figure", "table", "svg", "ol", "ul", "li"]
        {
            let begins = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!(begins, page.matches(&format!("</{tag}>")).count(), "{name}: {tag}");
        }
        for request in
            [" src=", "<link", "<img", "<iframe", "@import", "url(h", "url(\"", " style="]
        {
            assert!(!page.contains(request), "{name}: {request}");
        }
        assert_eq!(handler(page), None, "{name}");
        for part in page.split(" href=\"").skip(1) {
            let link = part.split('"').next().unwrap_or_default();
            let (to, id) = link.split_once('#').unwrap_or((link, ""));
            assert!(to.is_empty() || names.contains(to), "{name}: {link} leads nowhere");
            let target =
                if to.is_empty() { page } else { self::page(to.trim_end_matches(".html")) };
            assert!(id.is_empty() || target.contains(&format!(" id=\"{id}\"")), "{name}: {link}");
        }
        let ids: Vec<&str> =
            page.split(" id=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: {ids:?}");
    }
}

#[test]
fn the_policy_is_that_of_the_contents() {
    for (name, page) in &course().pages {
        let script = match name.as_str() {
            INDEX => INDEX_SCRIPT,
            DEMOS => DEMOS_SCRIPT,
            _ if page.contains("class=\"player\"") => PLAYER_SCRIPT,
            _ => LESSON_SCRIPT,
        };
        let policy = policy(STYLE, script);
        assert!(!policy.contains("unsafe"));
        assert!(page.contains(&format!("content=\"{policy}\"")), "{name}");
        assert_eq!(page.matches(STYLE).count(), 1, "{name}");
        assert_eq!(page.matches(script).count(), 1, "{name}");
    }
}

#[test]
fn a_page_says_what_the_screen_says() {
    for (lesson, outcomes) in course().lessons.iter().zip(&course().outcomes) {
        let page = page(&lesson.slug);
        let words = words(page);
        let says = |text: &str| assert!(words.contains(text), "{}: no {text:?}", lesson.slug);
        for block in &lesson.intro {
            says(&sentence(block, None));
        }
        for block in &lesson.jobs {
            says(&sentence(block, Some(&outcomes[0].facts)));
        }
        for (round, outcome) in lesson.rounds.iter().zip(outcomes) {
            let facts = Some(&outcome.facts);
            round.question.iter().for_each(|block| says(&sentence(block, None)));
            for block in round.reveal_of(&outcome.facts) {
                says(&sentence(block, facts));
                for piece in block.pieces() {
                    if let Piece::Fact(_) = piece {
                        let figure = format!("<b class=\"fact\">{}</b>", piece.filled(facts));
                        assert!(page.contains(&figure), "{}: {figure}", lesson.slug);
                    }
                }
            }
            for guess in 0..round.plan.offered.len() {
                if let Some(why) = round.on_wrong(guess, &outcome.facts) {
                    says(&sentence(&why, facts));
                }
            }
            says(&outcome.facts.shown(&round.plan.answer));
            round.plan.offered.iter().for_each(|offered| says(offered));
            for spec in outcome.facts.specs() {
                says(spec.about);
            }
            let right = round.right(&outcome.facts).expect("it was recorded");
            assert!(page.contains(&format!("data-right=\"{right}\"")), "{}", lesson.slug);
        }
        assert!(!page.contains("does not hold"), "{}", lesson.slug);
    }
}

#[test]
fn a_picture_has_each_step_and_each_bar() {
    for (lesson, outcomes) in course().lessons.iter().zip(&course().outcomes) {
        let page = page(&lesson.slug);
        let (mut steps_drawn, mut bars_drawn) = (0, 0);
        for outcome in outcomes {
            match &outcome.picture {
                Picture::Lanes { steps, .. } => {
                    steps_drawn += steps.len();
                    for step in steps {
                        let (Step::Arrow { text, .. }
                        | Step::Held { text, .. }
                        | Step::Gap { text }) = step;
                        assert!(page.contains(&text.for_html().to_string()), "{}", lesson.slug);
                    }
                }
                Picture::Bars { bars, .. } | Picture::Nested { shells: bars, .. } => {
                    bars_drawn += bars.len();
                    for bar in bars {
                        assert!(
                            page.contains(&bar.label.for_html().to_string()),
                            "{}",
                            lesson.slug
                        );
                        assert!(page.contains(&format!("<b class=\"figure\">{}</b>", bar.figure)));
                    }
                }
            }
        }
        assert_eq!(page.matches("<li class=\"step").count(), steps_drawn, "{}", lesson.slug);
        assert_eq!(page.matches("<b class=\"figure\">").count(), bars_drawn, "{}", lesson.slug);
    }
}

#[test]
fn the_accept_queue_is_animated_as_it_was_recorded() {
    let page = page("accept-queue");
    let at = course().lessons.iter().position(|lesson| lesson.slug == "accept-queue");
    let outcomes = &course().outcomes[at.expect("it is there")];
    for (round, outcome) in (1..).zip(outcomes) {
        assert!(page.contains(&format!("data-film=\"film-{round}\"")), "round {round}");
        let data = format!("<script type=\"application/json\" id=\"film-{round}\">");
        let (_, data) = page.split_once(&data).expect("its data");
        let (data, _) = data.split_once("</script>").expect("its end");
        let film: serde_json::Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(film["limit"].to_string(), outcome.facts.shown("limit"), "round {round}");
        let events = film["events"].as_array().expect("events");
        let came = events.iter().filter(|event| event[1] == 0).count();
        assert_eq!(came.to_string(), outcome.facts.shown("believing"), "round {round}");
        let refused: u64 =
            events.iter().filter(|event| event[1] == 2).filter_map(|event| event[2].as_u64()).sum();
        assert_eq!(refused.to_string(), outcome.facts.shown("drops"), "round {round}");
    }
}

#[test]
fn names_from_outside_are_escaped() {
    let longest = course().outcomes.iter().position(|outcomes| outcomes.len() >= 3);
    let at = longest.expect("a lesson with three questions");
    let mut lesson = course().lessons[at].clone();
    lesson.title = NAME.to_owned();
    let mut outcomes = course().outcomes[at].clone();
    let name = || Untrusted::from(NAME);
    let bar =
        Bar { label: name(), length: 1.0, figure: NAME.to_owned(), owner: Owner::App, fact: None };
    outcomes[0].picture = Picture::Bars { title: NAME.to_owned(), bars: vec![bar.clone()] };
    outcomes[1].picture =
        Picture::Lanes { app: Who::Server, steps: vec![Step::Gap { text: name() }] };
    outcomes[2].picture = Picture::Nested { title: NAME.to_owned(), shells: vec![bar] };
    for outcome in &mut outcomes {
        outcome.evidence.kernel = name();
        outcome.evidence.reports.push(name());
    }
    let told = Told { lesson: &lesson, outcomes, runs: Vec::new() };
    let page = lesson_page(&told, &Neighbours::default());
    assert!(page.matches(ESCAPED).count() >= 8, "{}", page.matches(ESCAPED).count());
    assert!(!page.contains("<script>alert"), "a script");
    assert_eq!(page.matches("<script").count(), page.matches("</script>").count());
    // Alone it leads to no page that may not be there.
    assert!(page.split(" href=\"").skip(1).all(|link| link.starts_with('#')));
}

#[test]
fn every_lecture_is_in_the_list() {
    let page = words(page(INDEX));
    let mut told: BTreeSet<u8> =
        course().lessons.iter().flat_map(|it| it.lectures.clone()).collect();
    for note in page.split("There is no lesson for ").skip(1) {
        let (numbers, _) = note.split_once('.').expect("a sentence");
        told.extend(numbers.split([' ', ',']).filter_map(|word| word.parse::<u8>().ok()));
    }
    assert_eq!(told, (5..=49).collect());
    for lesson in &course().lessons {
        assert!(page.contains(&lesson.title), "{}", lesson.slug);
    }
}

#[test]
fn lessons_and_demos_lead_to_each_other() {
    let demos = page(DEMOS);
    for demo in demo_servers::demo::demos() {
        assert!(demos.contains(&format!("<section class=\"demo\" id=\"{}\"", demo.name)));
        for lesson in &course().lessons {
            let goes = lesson.lectures.iter().any(|lecture| demo.lectures.contains(lecture));
            let link = format!("href=\"demos.html#{}\"", demo.name);
            assert_eq!(page(&lesson.slug).contains(&link), goes, "{} {}", lesson.slug, demo.name);
        }
    }
}

#[test]
fn the_whole_course_is_small() {
    let length: usize = course().pages.iter().map(|(_, page)| page.len()).sum();
    assert!(length < 6_000_000, "{length} bytes");
}
