//! The page, of runs that were made by hand.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    digest::{
        Digest,
        tests::{digest_of, entries},
    },
    model::{
        event::{Event, Exchange, Role, Stage},
        tests::{
            connections::{closed, opened},
            facts::{Build, at, server},
            world::{MS, SECOND, World},
        },
    },
    record::{
        Reader, RecordEntry,
        tests::{Dice, changed, entries_of, every_event, recording},
    },
    text::Untrusted,
};

/// A name as a process or a file may have it.
const NAME: &str = "</script><script>alert(1)</script>\"'&\u{202e}\u{1b}[2J😀";
/// The same as it may stand on the page.
const ESCAPED: &str = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\
                       \\u{202e}\\u{1b}[2J😀";
/// Fields of events that hold text from outside.
const FROM_OUTSIDE: [&str; 6] = ["comm", "path", "method", "server_name", "alpn", "lost"];

/// A run whose accept queue overflows.
pub(super) fn overflowing() -> Digest {
    digest_of(&recording(&entries()), super::WORST)
}

fn page_of(digest: &Digest) -> String {
    let mut page = Vec::new();
    super::write(&mut page, digest).expect("a vector takes everything");
    String::from_utf8(page).expect("text")
}

/// Checks what holds of every page: one document, which asks for nothing.
fn assert_whole(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    for tag in ["html", "head", "body", "main", "section", "details", "figure", "table", "svg"] {
        let begins =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(begins, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    for request in [" src=", "<link", "<img", "<iframe", "@import", "url(h", "url(\"", " style="] {
        assert!(!page.contains(request), "{request}");
    }
    let hrefs = page.matches(" href=").count();
    assert_eq!(hrefs, page.matches(" href=\"#").count(), "links stay on the page");
}

#[test]
fn it_says_what_is_wrong_whose_doing_it_is_and_what_to_do_first() {
    let digest = overflowing();
    let page = page_of(&digest);
    assert_whole(&page);
    let worst = &digest.findings.worst_first()[0].finding;
    let main = &page[page.find("<main>").expect("a main part")..];
    let place = |words: &str| main.find(words).unwrap_or_else(|| panic!("no {words:?}: {main}"));
    let order = [
        place(&worst.headline.for_html().to_string()),
        place("Whose doing"),
        place("What to do"),
        place("In figures"),
        place("id=\"findings\""),
        place("id=\"listeners\""),
        place("id=\"time\""),
        place("id=\"exchanges\""),
        place("id=\"protocols\""),
        place("id=\"connects\""),
        place("id=\"cost\""),
        place("id=\"gaps\""),
    ];
    assert!(order.is_sorted(), "{order:?}");
    for story in digest.findings.stories() {
        assert!(main.contains(&story.finding.text.for_html().to_string()), "{:?}", story.finding);
    }
}

#[test]
fn a_finding_that_comes_and_goes_has_its_times() {
    let mut world = World::with_limit(4);
    for _ in 0..3 {
        world.refuse(0, Stage::Syn);
        (0..12).for_each(|_| world.sample_after(SECOND));
    }
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    let page = page_of(&digest_of(&recording(&entries), 5));
    assert_whole(&page);
    assert!(page.contains("from 1.00 s to 25.0 s, 3 times, "), "{page}");
    assert_eq!(page.matches("class=\"held\"").count(), 3);
}

#[test]
fn nothing_to_report_is_said_only_if_it_is_so() {
    let quiet = |lost: u64| {
        let mut world = World::with_limit(64);
        for _ in 0..3 {
            world.accept(0, 100, MS, MS);
            world.sample_after(SECOND);
        }
        let mut entries = entries_of(world.given);
        if let Some(RecordEntry::Event(Event::Sample(sample))) = entries.last_mut() {
            sample.lost = vec![("ring".into(), lost)];
            sample.lost.retain(|(_, count)| *count > 0);
        }
        entries.push(RecordEntry::Finish(world.now));
        page_of(&digest_of(&recording(&entries), 5))
    };
    let page = quiet(0);
    let main = &page[page.find("<main>").expect("a main part")..];
    assert!(main.contains("Nothing to report."), "{main}");
    let page = quiet(7);
    assert!(!page.contains("Nothing to report."));
    assert!(page.contains("and part of the run was not") && page.contains("7 records"), "{page}");
    let world = World::with_limit(64);
    let page = page_of(&digest_of(&recording(&[RecordEntry::Finish(world.now)]), 5));
    assert!(!page.contains("Nothing to report.") && page.contains("Nothing to judge"));
    assert!(!page_of(&overflowing()).contains("Nothing to report."));
}

/// Puts the name wherever text from outside stands.
fn rename(value: &mut Value, is_outside: bool) {
    match value {
        Value::String(text) if is_outside => NAME.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, is_outside)),
        Value::Object(fields) => {
            for (name, value) in fields {
                rename(value, FROM_OUTSIDE.contains(&name.as_str()));
            }
        }
        _ => {}
    }
}

#[test]
fn names_from_outside_are_escaped() {
    let mut renamed =
        vec![RecordEntry::Target(NAME.into()), RecordEntry::Notices(vec![NAME.into()])];
    let mut given = entries();
    let end = given.pop().expect("an end");
    given.extend(every_event().into_iter().map(RecordEntry::Event));
    for entry in given {
        let entry = match entry {
            RecordEntry::Event(event) => {
                let mut value = serde_json::to_value(&event).expect("an event");
                rename(&mut value, false);
                RecordEntry::Event(serde_json::from_value(value).expect("an event"))
            }
            other => other,
        };
        renamed.push(entry);
    }
    renamed.push(end);
    let mut digest = digest_of(&recording(&renamed), 20);
    digest.attached.kernel = NAME.into();
    digest.attached.gaps = vec![NAME.into()];
    digest.written_by = Some(Untrusted::from(NAME));
    let page = page_of(&digest);
    assert_whole(&page);
    assert!(page.matches(ESCAPED).count() > 20, "{}", page.matches(ESCAPED).count());
    assert!(
        !page.contains("<script>alert") && !page.contains("\u{202e}") && !page.contains('\u{1b}')
    );
    // Data for the script holds them, too.
    assert!(page.contains("\\u003c/script\\u003e"));
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, page.matches("</script>").count());
    assert_eq!(scripts, 1 + page.matches("<script type=\"application/json\"").count());
}

#[test]
fn whatever_a_recording_holds_there_is_a_page() {
    let events = every_event();
    let mut dice = Dice(0x0BAD_5EED_0BAD_5EED);
    for _ in 0..150 {
        let mut entries = Vec::new();
        for _ in 0..30 {
            let which = dice.roll(events.len());
            entries.extend(changed(&mut dice, &events[which]).map(RecordEntry::Event));
        }
        let bytes = recording(&entries);
        assert_whole(&page_of(&digest_of(&bytes, 20)));
    }
}

#[test]
fn a_recording_that_breaks_off_gives_a_page_or_an_error() {
    let whole = recording(&entries());
    let mut pages = 0;
    for part in 0..=50 {
        let cut = &whole[..whole.len() * part / 50];
        let Ok(mut reader) = Reader::new(cut) else { continue };
        let page = page_of(&Digest::of(&mut reader, 5).expect("memory can be read"));
        assert_whole(&page);
        assert_eq!(page.contains("Damage to the recording"), part < 50, "{part}");
        pages += 1;
    }
    assert!(pages > 40, "{pages}");
}

/// A run with so many exchanges on a hundred connections.
fn many(exchanges: u64) -> Vec<RecordEntry> {
    let mut world = World::with_limit(128);
    for sock in 1..=100 {
        world.apply(opened(sock, Role::Server, false));
    }
    for number in 0..exchanges {
        let later = world.now - at(0);
        let exchange = server().writing(at(MS + number % 977 * 20_000)).later(later);
        let (sock, seq) = (1 + number % 100, (1 + number / 100) as u32);
        world.now += 100_000;
        world.apply(Event::Exchange(Exchange { sock, seq, ts_ns: world.now, ..exchange }));
        if number % 10_000 == 0 {
            world.sample_after(SECOND);
        }
    }
    for sock in 1..=100 {
        world.apply(closed(sock, world.now));
    }
    world.sample_after(SECOND);
    let mut entries = entries_of(world.given);
    entries.push(RecordEntry::Finish(world.now));
    entries
}

#[test]
fn a_hundred_thousand_exchanges_stay_below_three_megabytes() {
    let digest = digest_of(&recording(&many(100_000)), super::WORST);
    let summary = digest.summary.as_ref().expect("a summary");
    assert_eq!(summary.times.exchanges, 100_000);
    let page = page_of(&digest);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}

#[test]
fn the_policy_is_that_of_the_contents() {
    let page = page_of(&overflowing());
    let policy = crate::html::policy(super::STYLE, super::SCRIPT);
    assert!(page.contains(&format!("content=\"{policy}\"")));
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"));
    assert_eq!(page.matches(super::STYLE).count(), 1);
    assert_eq!(page.matches(super::SCRIPT).count(), 1);
}

#[test]
fn ids_are_unique_and_links_lead_somewhere() {
    let page = page_of(&overflowing());
    let mut ids: BTreeMap<&str, u32> = BTreeMap::new();
    for part in page.split(" id=\"").skip(1) {
        *ids.entry(part.split('"').next().unwrap_or_default()).or_default() += 1;
    }
    assert!(ids.values().all(|count| *count == 1), "{ids:?}");
    for part in page.split(" href=\"#").skip(1) {
        let id = part.split('"').next().unwrap_or_default();
        assert!(ids.contains_key(id), "#{id}");
    }
}
