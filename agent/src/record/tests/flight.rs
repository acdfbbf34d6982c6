//! The flight recorder: its files are bounded, and each is a recording that tells of its own time.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use super::{entries_of, header};
use crate::{
    files::{Files, Folder, Removes},
    model::{
        Model,
        event::{Event, Exchange, Opened, Process, ProcessChange, ProcessWorkload, Role, Stage},
        output::{FindingState, Output, Summary},
        snapshot::Severity,
        tests::{
            connections::{closed, opened},
            facts::Build,
            facts::{at, server},
            world::{LISTENER, MS, SECOND, START, World, setup},
        },
        workload::{Workload, Workloads},
    },
    record::{Flight, FlightOptions, Header, Reader, RecordEntry, Trigger},
};

/// A connection that is open all the time.
const LASTING: u64 = 5_000;

/// A server that accepts 20 connections a second, closes them at once, and refuses some from
/// one second to another. One connection lasts, with an exchange a second.
fn world(seconds: u64, refuses: &[(u64, u64)]) -> World {
    let mut world = World::with_limit(4);
    let Event::Opened(known) = opened(LASTING, Role::Server, false) else { panic!("not opened") };
    world.apply(Event::Opened(Opened { listener: Some(LISTENER), ts_ns: world.now, ..known }));
    for second in 0..seconds {
        for accept in 0..20 {
            world.now += 10 * MS;
            world.accept(0, 100, accept * MS, 20 * MS);
            let sock = world.accepted();
            world.apply(closed(sock, world.now + MS));
        }
        world.listeners[0].depth = 0;
        if refuses.iter().any(|(from, to)| (*from..*to).contains(&second)) {
            world.listeners[0].depth = 5;
            world.refuse(0, Stage::Syn);
        }
        let later = world.now - at(0);
        let exchange = server().later(later);
        let seq = second as u32 + 1;
        world.apply(Event::Exchange(Exchange {
            sock: LASTING,
            seq,
            ts_ns: world.now + MS,
            ..exchange
        }));
        world.sample_after(800 * MS);
    }
    world.apply(closed(LASTING, world.now));
    world
}

fn options(folder: &Path) -> FlightOptions {
    FlightOptions {
        folder: folder.to_owned(),
        stem: "flight".to_owned(),
        keep: None,
        max_size: None,
        triggers: Vec::new(),
        around: Duration::from_secs(6),
    }
}

/// Records the world as a run does; returns what the recorder says at the end.
fn fly(world: World, options: &FlightOptions) -> Vec<String> {
    let (files, _) = Files::start(Folder::open(&options.folder).unwrap(), Removes::Files).unwrap();
    let header = header(setup("full"));
    let mut flight = Flight::new(options, &header, files).unwrap();
    let (mut model, mut out) = (Model::new(header.setup), Vec::new());
    let now = world.now;
    for entry in entries_of(world.given) {
        flight.write(&entry).unwrap();
        entry.give(&mut model, &mut out);
        flight.reported(&out).unwrap();
        out.clear();
    }
    flight.write(&RecordEntry::<Event>::Finish(now)).unwrap();
    flight.end().unwrap()
}

/// A file, read to its end by a model.
struct Read {
    name: String,
    header: Header,
    outputs: Vec<Output>,
    workloads: Workloads,
    end_ns: u64,
    whole: bool,
}

impl Read {
    fn summary(&self) -> &Summary {
        let summary = self.outputs.iter().rev().find_map(|output| match output {
            Output::Summary(summary) => Some(summary),
            _ => None,
        });
        summary.expect("a summary")
    }
}

/// Every file of the folder, by name. One that does not end with the run is ended where it ends.
fn read(folder: &Path) -> Vec<Read> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let mut reader = Reader::new(bytes.as_slice()).unwrap();
        let header = reader.header().clone();
        let (mut model, mut outputs) = (Model::new(header.setup.clone()), Vec::new());
        let (mut end_ns, mut finished) = (header.setup.attached_ns, false);
        while let Some(entry) = reader.next_entry().unwrap() {
            if let RecordEntry::Event(Event::Sample(sample)) = &entry {
                end_ns = sample.ts_ns;
            }
            finished |= matches!(entry, RecordEntry::Finish(_));
            entry.give(&mut model, &mut outputs);
        }
        if !finished {
            RecordEntry::Finish(end_ns).give(&mut model, &mut outputs);
        }
        let whole = reader.damage_count() == 0 && reader.totals().is_some();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let workloads = model.brief().workloads;
        files.push(Read { name, header, outputs, workloads, end_ns, whole });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

#[test]
fn the_last_seconds_are_kept_and_each_file_tells_of_its_own_time() {
    let folder = TempDir::new().unwrap();
    let world = world(60, &[(20, 50)]);
    let (end, given) = (world.now, world.given.clone());
    let told = fly(
        world,
        &FlightOptions { keep: Some(Duration::from_secs(16)), ..options(folder.path()) },
    );
    let files = read(folder.path());
    assert!((9..=10).contains(&files.len()), "of two seconds each: {}", files.len());
    assert!(told[0].contains(&files[0].name), "{told:?}");
    let begin = files[0].header.setup.attached_ns;
    assert!((16 * SECOND..19 * SECOND).contains(&(end - begin)), "{}", end - begin);
    for file in &files {
        assert!(file.whole, "{}", file.name);
        let (from, to) = (file.header.setup.attached_ns, file.end_ns);
        let inside = |ts_ns: u64| ts_ns > from && ts_ns <= to;
        let accepts = given.iter().filter(|event| match event {
            Event::Accept(accept) => inside(accept.ts_ns),
            _ => false,
        });
        let refusals = given.iter().filter(|event| match event {
            Event::Overflow(overflow) => inside(overflow.ts_ns),
            _ => false,
        });
        let exchanges = given.iter().filter(|event| match event {
            Event::Exchange(exchange) => inside(exchange.ts_ns),
            _ => false,
        });
        let summary = file.summary();
        assert_eq!(summary.totals.accepted, accepts.count() as u64, "{}", file.name);
        assert_eq!(summary.totals.overflow_syn, refusals.count() as u64, "{}", file.name);
        assert_eq!(summary.times.exchanges, exchanges.count() as u64, "{}", file.name);
        assert_eq!(summary.duration_us, (to - from) / 1_000);
        let told = file.outputs.iter().filter_map(|output| match output {
            Output::Overflow(overflow) => Some(overflow.count),
            _ => None,
        });
        assert_eq!(told.sum::<u64>(), summary.totals.overflow_syn, "none is told of before");
        let findings = summary.standing_findings.iter().chain(&summary.past_findings);
        for finding in findings.clone() {
            let stood = &finding.stood;
            assert!(inside(stood.from_ns()) && inside(stood.until_ns()), "{stood:?}");
        }
        let refused = findings.filter(|finding| finding.kind == "accept-queue-overflow").count();
        assert_eq!(refused, usize::from(summary.totals.overflow_syn > 0), "{}", file.name);
        let lasting = file.outputs.iter().find_map(|output| match output {
            Output::Connection(connection) if connection.view.sock == LASTING => Some(connection),
            _ => None,
        });
        let lasting = lasting.expect("it was open before");
        assert!(lasting.view.preexisting && lasting.view.listener == Some(LISTENER));
    }
}

/// A container was told once, long ago.
#[test]
fn each_file_knows_the_containers_of_the_processes_that_run() {
    let folder = TempDir::new().unwrap();
    let mut world = world(60, &[]);
    let first = world.given.iter().position(|event| matches!(event, Event::Sample(_))).unwrap();
    for (pid, unit) in [(4242, "web.service"), (77, "gone.service")] {
        let workload = Workload { unit: Some(unit.into()), ..Workload::default() };
        let process = ProcessWorkload { ts_ns: START, pid, workload };
        world.given.insert(first, Event::Workload(process));
    }
    let change = ProcessChange::Exited;
    let exit = Process { ts_ns: START, pid: 77, comm: "gone".into(), change };
    world.given.insert(first + 2, Event::Process(exit));
    fly(world, &FlightOptions { keep: Some(Duration::from_secs(16)), ..options(folder.path()) });
    let files = read(folder.path());
    assert!(files.len() > 5, "{}", files.len());
    for file in files {
        let unit = |pid| file.workloads.of(pid).and_then(|workload| workload.unit.clone());
        assert_eq!((unit(4242), unit(77)), (Some("web.service".into()), None), "{}", file.name);
    }
}

#[test]
fn the_first_file_begins_with_the_watch() {
    let folder = TempDir::new().unwrap();
    fly(
        world(4, &[]),
        &FlightOptions { keep: Some(Duration::from_secs(600)), ..options(folder.path()) },
    );
    let files = read(folder.path());
    assert_eq!(files.len(), 1);
    assert!(files[0].whole);
    assert_eq!(files[0].header.setup.attached_ns, START);
    assert_eq!(files[0].summary().totals.accepted, 80);
}

#[test]
fn together_the_files_are_no_larger_than_allowed() {
    const MOST: u64 = 60_000;
    let folder = TempDir::new().unwrap();
    let end = {
        let world = world(400, &[(0, 400)]);
        let end = world.now;
        fly(world, &FlightOptions { max_size: Some(MOST), ..options(folder.path()) });
        end
    };
    let sizes = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata());
    let size: u64 = sizes.map(|metadata| metadata.unwrap().len()).sum();
    assert!((MOST / 2..=MOST).contains(&size), "{size} bytes");
    let files = read(folder.path());
    let broken: Vec<&str> =
        files.iter().filter(|file| !file.whole).map(|file| file.name.as_str()).collect();
    assert!(files.len() > 1 && broken.is_empty(), "{} files, {broken:?}", files.len());
    assert!(files.iter().any(|file| file.end_ns == end), "the newest is there");
}

#[test]
fn a_finding_is_kept_with_the_time_before_and_after() {
    let folder = TempDir::new().unwrap();
    let triggers = vec![Trigger::Kind("accept-queue-overflow")];
    fly(world(60, &[(30, 32)]), &FlightOptions { triggers, ..options(folder.path()) });
    let files = read(folder.path());
    let [file] = files.as_slice() else { panic!("{} files", files.len()) };
    assert!(file.name.starts_with("flight-accept-queue-overflow-20"), "{}", file.name);
    assert!(file.whole);
    let begun = file.outputs.iter().find_map(|output| match output {
        Output::Finding(finding) if finding.state == FindingState::Begun => Some(finding.ts_ns),
        _ => None,
    });
    let begun = begun.expect("the finding is in it");
    let before = begun - file.header.setup.attached_ns;
    let after = file.end_ns - begun;
    assert!((6 * SECOND..9 * SECOND).contains(&before), "{before} ns before");
    assert!((6 * SECOND..8 * SECOND).contains(&after), "{after} ns after");
    assert_eq!(file.summary().totals.overflow_syn, 2);
}

#[test]
fn what_is_found_again_later_is_another_file() {
    let folder = TempDir::new().unwrap();
    let triggers = vec![Trigger::From(Severity::Critical)];
    fly(world(100, &[(20, 22), (70, 72)]), &FlightOptions { triggers, ..options(folder.path()) });
    let files = read(folder.path());
    assert_eq!(files.len(), 2);
    for file in files {
        assert!(file.whole);
        assert_eq!(file.summary().totals.overflow_syn, 2, "{}", file.name);
    }
}

#[test]
fn what_was_not_asked_for_makes_no_file() {
    let folder = TempDir::new().unwrap();
    let triggers = vec![Trigger::Kind("close-wait-leak")];
    fly(world(60, &[(30, 32)]), &FlightOptions { triggers, ..options(folder.path()) });
    assert!(read(folder.path()).is_empty());
}

#[test]
fn without_a_finding_there_is_no_file() {
    let folder = TempDir::new().unwrap();
    let triggers = vec![Trigger::From(Severity::Critical)];
    let told = fly(world(60, &[]), &FlightOptions { triggers, ..options(folder.path()) });
    assert!(read(folder.path()).is_empty());
    assert!(told.is_empty(), "{told:?}");
}
