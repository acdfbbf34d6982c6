//! Checks the table of `docs/tests.md`, which says where cases run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::{env, fs, path::Path};

use super::all;
use crate::harness::{Case, Tiers, Varies, Where};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tests.md");
const BEGIN: &str = "<!-- table: begin -->\n";
const END: &str = "<!-- table: end -->";

/// Cases of one topic, by where they run.
#[derive(Default)]
struct TopicRow<'a> {
    native: usize,
    by_tier: usize,
    on_each_kernel: Vec<&'a str>,
    on_arm64: Vec<&'a str>,
    with_long: usize,
}

impl<'a> TopicRow<'a> {
    fn add(&mut self, case: &'a Case, name: &'a str) {
        self.native += 1;
        if case.place == Where::Native {
            return;
        }
        if case.by_processor {
            self.on_arm64.push(name);
        }
        self.with_long += if case.tiers == Tiers::Each { 2 } else { 1 };
        match case.varies {
            Varies::Never => {}
            Varies::ByTier => self.by_tier += 1,
            Varies::ByKernel => self.on_each_kernel.push(name),
        }
    }
}

fn table(cases: &[Case]) -> String {
    let mut rows: BTreeMap<&str, TopicRow<'_>> = BTreeMap::new();
    for case in cases {
        let (topic, name) = case.name.rsplit_once("::").unwrap_or(("", case.name));
        rows.entry(topic).or_default().add(case, name);
    }
    let mut table = String::from(
        "| topic | natively | full tier of 6.12 | on each kernel | on arm64 | runs a kernel with `--long` |\n\
         |---|--:|--:|---|---|--:|\n",
    );
    for (topic, row) in rows {
        let names = [row.on_each_kernel.join(", "), row.on_arm64.join(", ")].join(" | ");
        let (native, by_tier, long) = (row.native, row.by_tier, row.with_long);
        writeln!(table, "| {topic} | {native} | {by_tier} | {names} | {long} |").expect("a string");
    }
    table
}

#[test]
fn the_page_says_which_cases_run_where() {
    let page = fs::read_to_string(PAGE).expect("docs/tests.md");
    let (head, rest) = page.split_once(BEGIN).expect("a begin of the table");
    let (written, tail) = rest.split_once(END).expect("an end of the table");
    let table = table(&all());
    if env::var_os("UPDATE").is_some() {
        fs::write(Path::new(PAGE), format!("{head}{BEGIN}{table}{END}{tail}"))
            .expect("docs/tests.md");
        return;
    }
    assert_eq!(written, table, "run `UPDATE=1 cargo test -p backscope-tests --lib`, and review");
}

#[test]
fn every_case_is_named_once() {
    let mut names = BTreeSet::new();
    for case in all() {
        assert!(names.insert(case.name), "{} is there twice", case.name);
    }
}
