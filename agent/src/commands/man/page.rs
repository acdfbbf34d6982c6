//! One page of the manual.
//!
//! clap_mangen makes the sections that it makes well. The synopsis is ours, since its own leaves
//! the options' values out, and so is what follows the options in the help: examples stay as they
//! are, each heading is a section.

use std::{fmt::Write, io};

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;

/// Returns the name of the file: "backscope-watch.1".
pub(super) fn file_name(command: &Command) -> String {
    Man::new(command.clone()).get_filename()
}

/// Returns the page of a command that was built.
///
/// # Errors
/// There is none: a vector takes everything.
pub(super) fn of(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    let mut page = title(command).into_bytes();
    man.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis(command).as_bytes());
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        page.extend_from_slice(sections(&help.to_string()).as_bytes());
    }
    Ok(tidy(&String::from_utf8_lossy(&page)))
}

/// Returns the first request. There is no date: a page is as old as its program.
fn title(command: &Command) -> String {
    let file = file_name(command);
    let name = escaped(file.trim_end_matches(".1"));
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {name} 1 \"\" \"backscope {version}\" \"backscope\"\n")
}

/// Returns the synopsis: every option with its value.
fn synopsis(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    // Neither hyphens nor wide gaps.
    let mut out = format!(".SH SYNOPSIS\n.nh\n.ad l\n\\fB{}\\fR", escaped(name));
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    for arg in
        shown().filter(|arg| !arg.is_positional()).chain(shown().filter(|arg| arg.is_positional()))
    {
        let (begin, end) = if arg.is_required_set() { ("", "") } else { ("[", "]") };
        let _ = write!(out, "\n{begin}{}{end}", usage(arg));
    }
    if let Some(value) = command.get_subcommand_value_name()
        && command.has_subcommands()
    {
        let _ = write!(out, "\n[\\fI{}\\fR]", escaped(value));
    } else if command.has_subcommands() {
        out.push_str("\n\\fICOMMAND\\fR");
    }
    out + "\n.ad\n.hy\n"
}

/// Returns how an argument is written: "--pid PID...", "--traces[=PERCENT]", "-- CMD...".
fn usage(arg: &Arg) -> String {
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| format!("\\fB\\-{short}\\fR")));
    names.extend(arg.get_long().map(|long| format!("\\fB{}\\fR", escaped(&format!("--{long}")))));
    let values: Vec<String> = match arg.get_value_names() {
        Some(values) if takes_value(arg) => {
            values.iter().map(|value| format!("\\fI{}\\fR", escaped(value))).collect()
        }
        _ => Vec::new(),
    };
    let value = values.join(" ");
    if arg.is_positional() {
        let more = if arg.is_last_set() { "..." } else { "" };
        let apart = if arg.is_last_set() { "\\fB\\-\\-\\fR " } else { "" };
        return format!("{apart}{value}{more}");
    }
    let names = names.join("|");
    if value.is_empty() {
        return names;
    }
    let is_optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    match (is_optional, arg.is_require_equals_set()) {
        (true, true) => format!("{names}[={value}]"),
        (true, false) => format!("{names} [{value}]"),
        (false, _) => format!("{names} {value}"),
    }
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Turns the end of a command's help into sections. A line that ends in a colon and stands at the
/// margin is a heading; what is indented stays as it is; other text is filled.
fn sections(help: &str) -> String {
    let mut out = String::new();
    let mut kept = false;
    let mut is_first = true;
    let mut keep = |out: &mut String, wanted: bool| {
        if kept == wanted {
            return;
        }
        let last = out.lines().next_back().unwrap_or_default();
        // A section begins with a paragraph of its own.
        if wanted && !last.starts_with(".SH") {
            out.push_str(".PP\n");
        }
        out.push_str(if wanted { ".nf\n" } else { ".fi\n" });
        kept = wanted;
    };
    let mut was_empty = false;
    for line in help.lines() {
        if line.trim().is_empty() {
            keep(&mut out, false);
            was_empty = true;
            continue;
        }
        if let Some(text) = line.strip_prefix("  ") {
            keep(&mut out, true);
            let _ = writeln!(out, "{}", escaped(text));
        } else {
            keep(&mut out, false);
            let (heading, text) = heading(line);
            match heading {
                Some(heading) => {
                    let _ = writeln!(out, ".SH {}", escaped(&heading));
                }
                None if is_first => out.push_str(".SH NOTES\n"),
                None if was_empty => out.push_str(".PP\n"),
                None => {}
            }
            if !text.is_empty() {
                let _ = writeln!(out, "{}", escaped(text));
            }
        }
        (is_first, was_empty) = (false, false);
    }
    keep(&mut out, false);
    out
}

/// Splits a line at the margin: "Exit status: the same as for watch." has a heading and text.
fn heading(line: &str) -> (Option<String>, &str) {
    const IN_TEXT: &str = "Exit status: ";
    if let Some(text) = line.strip_prefix(IN_TEXT) {
        return (Some("EXIT STATUS".to_owned()), text);
    }
    match line {
        "Examples:" | "Example:" => (Some("EXAMPLES".to_owned()), ""),
        _ => match line.strip_suffix(':') {
            Some(heading) if heading.chars().count() < 50 => (Some(heading.to_uppercase()), ""),
            _ => (None, line),
        },
    }
}

/// Escapes text for roff: backslashes, hyphens that are to stay such, signs at which a line would
/// be a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// Leaves no empty line, which roff takes for a paragraph of its own, and no sign that not every
/// roff reads.
fn tidy(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut was_break = false;
    for line in page.lines() {
        let is_break = line == ".br";
        if line.trim().is_empty() || is_break && was_break {
            continue;
        }
        was_break = is_break;
        for sign in line.trim_end().chars() {
            if sign.is_ascii() {
                out.push(sign);
            } else {
                let _ = write!(out, "\\[u{:04X}]", u32::from(sign));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command as Process, Stdio},
    };

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn built() -> Command {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        command
    }

    fn page(verb: &str) -> String {
        let built = built();
        of(built.find_subcommand(verb).expect(verb)).expect("a page")
    }

    /// Every page that is written.
    fn all(command: &Command) -> Vec<(String, String)> {
        let mut pages = vec![(file_name(command), of(command).expect("a page"))];
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            pages.extend(all(verb));
        }
        pages
    }

    #[test]
    fn the_synopsis_has_the_values_of_options() {
        let page = page("watch");
        for line in [
            "[\\fB\\-\\-pid\\fR \\fIPID\\fR]",
            "[\\fB\\-o\\fR|\\fB\\-\\-output\\fR \\fIFILE\\fR]",
            "[\\fB\\-\\-all\\fR]",
            "[\\fB\\-\\-\\fR \\fICMD\\fR...]",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}: {page}");
        }
        assert!(!page.contains("\\-tier"), "it is hidden");
        #[cfg(feature = "export")]
        assert!(self::page("export").contains("\\-traces\\fR[=\\fIPERCENT\\fR]]"));
        assert!(self::page("replay").contains("\n\\fIFILE\\fR\n"), "it is required");
    }

    #[test]
    fn examples_stay_as_they_are_and_headings_are_sections() {
        let page = page("watch");
        assert!(!page.contains("EXTRA"));
        let examples = page.split(".SH EXAMPLES").nth(1).expect("examples");
        let examples = examples.split(".SH").next().expect("their end");
        assert!(examples.contains(".nf\nsudo backscope watch"), "{examples}");
        let lines = examples.lines().filter(|line| line.starts_with("sudo")).count();
        assert!(lines >= 8 && examples.trim_end().ends_with(".fi"), "{examples}");
        assert!(page.contains(".SH EXIT STATUS\n"));
        let replay = self::page("replay");
        assert!(replay.contains(".SH KEYS ON THE SCREEN"), "{replay}");
        let record = self::page("record");
        assert!(record.contains(".SH EXIT STATUS\nthe same as for watch.\n"), "{record}");
        assert!(record.contains(".fi\n.PP\nThe file contains"), "text is filled: {record}");
    }

    #[test]
    fn nothing_in_a_text_is_a_request() {
        assert_eq!(escaped("-a \\x 'b'"), "\\-a \\ex \\(aqb\\(aq");
        assert_eq!(escaped(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(tidy("a\u{2026}\n\n.br\n\n.br\nb  \n"), "a\\[u2026]\n.br\nb\n");
    }

    /// Runs a checker of manual pages, and returns what it says; `None` where there is none.
    fn checked(program: &str, args: &[&str], page: &str) -> Option<String> {
        let mut process = Process::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        process.stdin.take()?.write_all(page.as_bytes()).ok()?;
        let output = process.wait_with_output().ok()?;
        let said = if program == "groff" { output.stderr } else { output.stdout };
        Some(String::from_utf8_lossy(&said).into_owned())
    }

    #[test]
    fn checkers_find_no_fault() {
        let mut checkers = 0;
        for (name, page) in all(&built()) {
            if let Some(said) = checked("groff", &["-man", "-Tutf8", "-ww"], &page) {
                assert!(said.is_empty(), "{name}: {said}");
                checkers += 1;
            }
            if let Some(said) = checked("mandoc", &["-Tlint", "-Wwarning"], &page) {
                let faults = said.lines().find(|line| !line.contains("missing date"));
                assert!(faults.is_none(), "{name}: {said}");
                checkers += 1;
            }
        }
        if checkers == 0 {
            eprintln!("skipped: there is neither groff nor mandoc here");
        }
    }
}
