//! Probes name what they hook as the kernel declares it.
//!
//! Above each program stands a line such as
//! `/// proto: 5.10..7.3 net/core/sock.c: void sock_def_readable(struct sock *sk)`, with one line for
//! each declaration where kernels differ. A declaration may go on in the next lines, indented. A
//! version is named if the declaration was read in that kernel's BTF or source, and a range spans
//! the kernels that were read between its ends. A tracepoint is named by the function that fires
//! it, `trace_NAME`; a system call's tracepoint by the `SYSCALL_DEFINE` that makes it; a cgroup's
//! or iterator's program by the function that runs it.

use std::fs;

use crate::docs::tree;
use crate::step;

/// One program of the probes.
struct Program {
    /// Name of its function.
    name: String,
    /// Text that its declarations must have, with the function's name; empty for any function.
    declares: String,
    /// Text behind each `proto:`.
    protos: Vec<String>,
}

/// Finds the first text in double quotes behind `key` in an attribute.
fn quoted<'a>(attribute: &'a str, key: &str) -> &'a str {
    let Some((_, rest)) = attribute.split_once(key) else { return "" };
    rest.split('"').nth(1).unwrap_or_default()
}

/// Returns the text that the declarations of a program with this attribute must have, or `None` if
/// the attribute makes no program.
fn declares(attribute: &str) -> Option<String> {
    let macro_name = attribute.strip_prefix("#[")?.split(['(', ']']).next()?;
    match macro_name {
        "fentry" | "fexit" | "lsm" | "kprobe" | "kretprobe" => {
            Some(format!("{}(", quoted(attribute, "function")))
        }
        "btf_tracepoint" => Some(format!("trace_{}(", quoted(attribute, "function"))),
        "raw_tracepoint" => Some(format!("trace_{}(", quoted(attribute, "tracepoint"))),
        "tracepoint" => {
            let event = quoted(attribute, "name");
            let call = event.trim_start_matches("sys_enter_").trim_start_matches("sys_exit_");
            Some(format!("({call},"))
        }
        "cgroup_sock_addr" | "cgroup_sock" | "cgroup_skb" | "sock_ops" => Some(String::new()),
        "unsafe" if attribute.contains("link_section") => {
            let section = quoted(attribute, "link_section");
            let iterated = section.strip_prefix("iter/")?;
            Some(format!("bpf_iter_{iterated}("))
        }
        _ => None,
    }
}

/// Collects the declarations in a doc comment, each with the indented lines that go on with it.
fn protos(doc: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in doc {
        if let Some(begin) = line.strip_prefix(" proto: ") {
            found.push(begin.to_owned());
            open = true;
        } else if open && let Some(more) = line.strip_prefix("     ") {
            let proto = found.last_mut().expect("one that is open");
            if !proto.ends_with('(') {
                proto.push(' ');
            }
            proto.push_str(more);
        } else {
            open = false;
        }
    }
    found
}

/// Finds the programs of one file.
fn programs(source: &str) -> Vec<Program> {
    let mut found = Vec::new();
    let (mut doc, mut wanted) = (Vec::new(), None);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.to_owned());
        } else if line.starts_with("#[") {
            wanted = declares(line).or(wanted);
        } else {
            if let Some(declares) = wanted.take() {
                let (_, name) = line.split_once("fn ").unwrap_or_default();
                let name = name.split('(').next().unwrap_or_default().to_owned();
                found.push(Program { name, declares, protos: protos(&doc) });
            }
            doc.clear();
        }
    }
    found
}

/// True of a version such as `5.10` or `6.18.44`.
fn is_version(text: &str) -> bool {
    let mut numbers = 0;
    for number in text.split('.') {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        numbers += 1;
    }
    numbers == 2 || numbers == 3
}

/// Says what is wrong with a declaration, if anything is.
fn fault(proto: &str, declares: &str) -> Option<&'static str> {
    let Some((head, declaration)) = proto.split_once(": ") else {
        return Some("no `VERSIONS FILE: DECLARATION`");
    };
    let Some((versions, file)) = head.rsplit_once(' ') else {
        return Some("no file");
    };
    for range in versions.split(", ") {
        let (first, last) = range.split_once("..").unwrap_or((range, range));
        if !is_version(first) || !is_version(last) {
            return Some("no version such as 5.10, nor a range such as 5.10..7.3");
        }
    }
    if !file.ends_with(".c") && !file.ends_with(".h") {
        return Some("no file of the kernel's source");
    }
    if !declaration.contains(declares) {
        return Some("a declaration of something else");
    }
    if !declaration.contains('(') || !declaration.ends_with(')') {
        return Some("no declaration up to its closing bracket");
    }
    None
}

#[test]
fn every_program_names_what_it_hooks() {
    let mut faults = Vec::new();
    let mut checked = 0;
    let mut files = Vec::new();
    tree(&step::root().join("probes/src"), &mut files);
    for file in files.into_iter().filter(|file| file.ends_with(".rs")) {
        let source = fs::read_to_string(&file).expect("a source file");
        for program in programs(&source) {
            checked += 1;
            if program.protos.is_empty() {
                faults.push(format!("{file}: {} has no `/// proto:` line", program.name));
            }
            for proto in &program.protos {
                if let Some(fault) = fault(proto, &program.declares) {
                    faults.push(format!("{file}: {}: {fault}: {proto}", program.name));
                }
            }
        }
    }
    assert!(checked > 60, "only {checked} programs found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_line_is_found() {
    let good = "5.10, 6.1.176..7.3 net/core/sock.c: void sock_def_readable(struct sock *sk)";
    assert_eq!(fault(good, "sock_def_readable("), None);
    for bad in [
        "net/core/sock.c: void sock_def_readable(struct sock *sk)",
        "5.x net/core/sock.c: void sock_def_readable(struct sock *sk)",
        "5.10 sock: void sock_def_readable(struct sock *sk)",
        "5.10 net/core/sock.c: void sock_def_write_space(struct sock *sk)",
        "5.10 net/core/sock.c: void sock_def_readable(struct sock *sk,",
    ] {
        assert!(fault(bad, "sock_def_readable(").is_some(), "{bad}");
    }
}
