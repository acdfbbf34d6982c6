//! Every claim of every finding: said where its fact holds, and not said where it does not.
//!
//! A sentence of a finding is a claim with a name (`Text::say`, `infer` and `rest_on` in
//! `model/finding/text.rs`). Each has a row here: a world whose facts support it, and one whose
//! facts contradict it, in which the finding may stand, but must not say so.

mod accepts;
mod calls;
mod connections;
mod connects;
mod loops;
mod queues;
mod sending;
mod sockets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::world::World;
use crate::model::snapshot::Finding;

/// A claim, a world that supports it and one that contradicts it.
#[derive(Clone, Copy)]
struct ClaimRow {
    /// The finding's kind.
    kind: &'static str,
    /// The name of the claim.
    claim: &'static str,
    /// The facts are so.
    supported: fn() -> World,
    /// The facts are otherwise. What the finding stands on without this claim may be there.
    contradicted: fn() -> World,
}

/// Every row, one file a group of findings.
fn rows() -> Vec<ClaimRow> {
    let groups = [
        accepts::rows(),
        calls::rows(),
        connections::rows(),
        connects::rows(),
        loops::rows(),
        queues::rows(),
        sending::rows(),
        sockets::rows(),
    ];
    groups.into_iter().flatten().collect()
}

/// Findings of a kind that make a claim.
fn with_claim(world: &World, row: &ClaimRow) -> Vec<Finding> {
    let says = |finding: &Finding| finding.kind == row.kind && finding.claims.contains(&row.claim);
    world.reported_findings().into_iter().filter(says).collect()
}

#[test]
fn a_claim_is_made_where_its_fact_holds() {
    for row in rows() {
        let world = (row.supported)();
        let found = world.reported_findings();
        let says = !with_claim(&world, &row).is_empty();
        assert!(says, "{} does not claim {}: {found:#?}", row.kind, row.claim);
    }
}

#[test]
fn no_claim_is_made_against_its_fact() {
    for row in rows() {
        let says = with_claim(&(row.contradicted)(), &row);
        assert!(says.is_empty(), "{} claims {}: {says:#?}", row.kind, row.claim);
    }
}

/// A new sentence without a row would be one that nobody tried to contradict.
#[test]
fn every_claim_in_the_source_has_a_row() {
    let tried: BTreeSet<(String, String)> =
        rows().iter().map(|row| (row.kind.to_owned(), row.claim.to_owned())).collect();
    let missing: Vec<_> = in_the_source().difference(&tried).cloned().collect();
    assert!(
        missing.is_empty(),
        "add a row to agent/src/model/tests/claims/ for each of {missing:#?}"
    );
}

/// The claims that the source of the findings names, by kind: a file or a folder is named after its
/// kind.
fn in_the_source() -> BTreeSet<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/finding");
    let mut claims = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the findings") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().replace('_', "-");
        if ["mod", "text"].contains(&name.as_str()) {
            continue;
        }
        // What several findings on the accept queue have in common.
        let name = if name == "pace" { "accept-starved".to_owned() } else { name };
        let source = text_of(&path);
        for call in [".say(", ".infer(", ".rest_on("] {
            for after in source.split(call).skip(1) {
                let claim =
                    after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let claim =
                    claim.unwrap_or_else(|| panic!("{name}: a claim's name must be a literal"));
                claims.insert((name.clone(), claim.to_owned()));
            }
        }
    }
    claims
}

/// The text of a file, or of all files in a folder.
fn text_of(path: &Path) -> String {
    let Ok(entries) = fs::read_dir(path) else { return fs::read_to_string(path).expect("text") };
    entries.map(|entry| text_of(&entry.expect("a file").path())).collect()
}
