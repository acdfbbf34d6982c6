//! Holds `SECURITY.md` to the committed object: its hash is what a reader compares.

use std::fs;

use crate::step;

const OBJECT: &str = "probes/prebuilt/backscope.bpf.o";
const DOCUMENT: &str = "SECURITY.md";
/// Stands before the hash.
const MARK: &str = "sha256 ";

/// The hash as coreutils say it.
fn hash() -> String {
    let path = step::root().join(OBJECT);
    let said = step::output(std::process::Command::new("sha256sum").arg(&path)).expect("sha256sum");
    said.split_whitespace().next().expect("a hash").to_owned()
}

#[test]
fn the_hash_in_the_document_is_the_objects() {
    let path = step::root().join(DOCUMENT);
    let text = fs::read_to_string(&path).expect("the document");
    let (head, rest) = text.split_once(MARK).expect("a hash in the document");
    let told: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    let hash = hash();
    if std::env::var_os("UPDATE").is_some() {
        let tail = &rest[told.len()..];
        fs::write(&path, format!("{head}{MARK}{hash}{tail}")).expect("the document");
    } else {
        assert_eq!(told, hash, "UPDATE=1 cargo test -p xtask security writes it");
    }
    let place = format!("{hash}  {OBJECT}");
    assert!(text.contains(OBJECT) && place.len() > 64, "the document names the object");
}
