//! Builds everything twice, and compares: whoever builds the same commit must get the same bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::Mode;
use rustix::process::umask;

use super::{Plan, Source, make};
use crate::arch::Arch;
use crate::step::{self, Step};

/// Folders of the two builds, whose paths differ in length, and the umask of each.
const PLACES: [(&str, u32); 2] = [("one", 0o022), ("another/and-longer", 0o077)];

/// Builds the last commit in two folders, and returns whether the results are the same.
pub(crate) fn run(architectures: &[Arch], quick: bool, maintainer: Option<String>) -> Result<bool> {
    let checked = step::target_dir().join("dist-check");
    if checked.exists() {
        fs::remove_dir_all(&checked)
            .with_context(|| format!("cannot empty {}", checked.display()))?;
    }
    for (place, mask) in PLACES {
        let place = checked.join(place);
        let root = place.join("checkout");
        let step = Step::start(format_args!("cloning the last commit to {}", root.display()));
        let mut git = Command::new("git");
        git.args(["clone", "--quiet"]).arg(step::root()).arg(&root);
        step::run(&mut git)?;
        step.done("cloned");
        let before = umask(Mode::from_raw_mode(mask));
        let made = make(&Plan {
            root: &root,
            target_dir: &place.join("target"),
            out: &place.join("dist"),
            quick,
            source: Source::Compiled(architectures),
            maintainer: maintainer.clone(),
        });
        umask(before);
        made?;
    }
    let [one, another] = PLACES.map(|(place, _)| checked.join(place).join("dist"));
    let same = compare(&one, &another)?;
    let verdict = if same { "reproducible: both builds are the same" } else { "NOT reproducible" };
    println!("{verdict}{}", if quick { " (quick build)" } else { "" });
    Ok(same)
}

/// Prints a line for each file of two folders, and returns whether all are the same.
fn compare(one: &Path, another: &Path) -> Result<bool> {
    let names = |dir: &Path| -> Result<BTreeSet<_>> {
        let entries =
            fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        entries.map(|entry| Ok(entry?.file_name())).collect()
    };
    let mut same = true;
    for name in names(one)?.union(&names(another)?) {
        let [first, second] = [one, another].map(|dir| fs::read(dir.join(name)).ok());
        let result = match (first, second) {
            (Some(first), Some(second)) if first == second => "the same",
            (Some(_), Some(_)) => "DIFFERENT",
            _ => "MISSING in one of them",
        };
        same &= result == "the same";
        println!("{}: {result}", name.display());
    }
    Ok(same)
}

#[cfg(test)]
mod tests {
    use super::compare;
    use std::fs;

    #[test]
    fn folders_are_the_same_if_every_byte_is() {
        let dir = std::env::temp_dir().join(format!("dist-compare-{}", std::process::id()));
        let [one, another] = ["one", "another"].map(|name| dir.join(name));
        for place in [&one, &another] {
            fs::create_dir_all(place).expect("a folder");
            fs::write(place.join("file"), "bytes").expect("a file");
        }
        assert!(compare(&one, &another).expect("both are there"));
        fs::write(another.join("file"), "Bytes").expect("a file");
        assert!(!compare(&one, &another).expect("both are there"), "one byte");
        fs::write(another.join("file"), "bytes").expect("a file");
        fs::write(another.join("more"), "").expect("a file");
        assert!(!compare(&one, &another).expect("both are there"), "one file");
        fs::remove_dir_all(&dir).expect("the folders go");
    }
}
