//! Feeds each target its corpus, once: what fuzzing has found does not come back.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{TARGETS, seeds};

/// Time that one input may take in a build without optimisation, on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of all corpora: they are committed.
const MOST_BYTES: u64 = 200_000;

fn corpora() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus"))
}

/// Writes the seeds that tests make, if `UPDATE` is set; else checks that they are there. What
/// fuzzing found lies beside them.
#[test]
fn seeds_are_in_the_corpora() {
    let update = std::env::var_os("UPDATE").is_some();
    for (target, name, bytes) in seeds::all() {
        assert!(TARGETS.iter().any(|(known, _)| *known == target), "{target}");
        let folder = corpora().join(target);
        let path = folder.join(name);
        if update {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, bytes).unwrap();
        } else {
            assert_eq!(fs::read(&path).ok(), Some(bytes), "{}: UPDATE=1 writes it", path.display());
        }
    }
}

#[test]
fn every_target_takes_its_corpus() {
    let mut all = 0;
    for (name, target) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpora().join(name)).expect(name) {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            all += bytes.len() as u64;
            count += 1;
            println!("{}", path.display());
            let begin = Instant::now();
            target(&bytes);
            assert!(begin.elapsed() < LIMIT, "{}: {:?}", path.display(), begin.elapsed());
        }
        assert!(count > 0, "{name} has no corpus");
    }
    assert!(all < MOST_BYTES, "{all} bytes");
}

/// `fuzz/` has a file for each target, and no other.
#[test]
fn every_target_has_its_program() {
    let programs = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets");
    let mut there = Vec::new();
    for entry in fs::read_dir(programs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("fuzzing::{name})")), "{}", path.display());
        there.push(name);
    }
    let mut known: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    there.sort();
    known.sort();
    assert_eq!(there, known);
}
