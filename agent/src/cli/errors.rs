//! What a command line that is not understood is told.
//!
//! clap says what is wrong, and its parsers why in the words of a library. Here both become what
//! was meant: the option whose name is nearly the same, and what a value looks like.

use clap::{
    Command, CommandFactory, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::Cli;

/// Returns the error with what was probably meant. `words` are those of the command line.
pub(super) fn explained(error: Error, words: &[String]) -> Error {
    match error.kind() {
        ErrorKind::UnknownArgument => with_the_option_meant(error, words),
        ErrorKind::ValueValidation => with_an_example(error),
        #[cfg(feature = "lessons")]
        ErrorKind::InvalidSubcommand => with_the_demo_meant(error, words),
        _ => error,
    }
}

/// Names the option that was meant. clap proposes hidden ones, too, and to pass an unknown one to
/// CMD, which is not what a slip of the finger means.
fn with_the_option_meant(mut error: Error, words: &[String]) -> Error {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    if !given.starts_with('-') {
        return error;
    }
    let nearest = nearest(given, &options_of(words));
    error.remove(ContextKind::Suggested);
    error.remove(ContextKind::SuggestedArg);
    if let Some(nearest) = nearest {
        error.insert(ContextKind::SuggestedArg, ContextValue::String(nearest));
    }
    error
}

/// Names the demos that were meant.
#[cfg(feature = "lessons")]
fn with_the_demo_meant(error: Error, words: &[String]) -> Error {
    match super::names::no_demo(words) {
        Some(told) => Error::raw(ErrorKind::InvalidSubcommand, format!("{told}\n")),
        None => error,
    }
}

/// Returns the long options of the verb that was given, those that are shown.
fn options_of(words: &[String]) -> Vec<String> {
    let mut command: Command = Cli::command();
    command.build();
    let mut verb = &command;
    for word in words.iter().skip(1) {
        if word == "--" {
            break;
        }
        if let Some(found) = verb.find_subcommand(word) {
            verb = found;
        }
    }
    let shown = verb.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")).collect()
}

/// Returns the one that a slip of the finger or two makes of `given`.
pub(crate) fn nearest(given: &str, options: &[String]) -> Option<String> {
    let given = given.split('=').next().unwrap_or(given).to_lowercase();
    let name = given.trim_start_matches('-');
    let slips = (name.chars().count() / 3).clamp(1, 3);
    let distance = |option: &String| distance(name, option.trim_start_matches('-'));
    let nearest = options.iter().min_by_key(|option| distance(option))?;
    (distance(nearest) <= slips).then(|| nearest.clone())
}

/// The number of slips between two words: a letter too many, missing or wrong, or two neighbours
/// exchanged (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let wrong = usize::from(from[i - 1] != to[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + wrong);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

/// Says what a value looks like, where the parser's words are a library's.
fn with_an_example(error: Error) -> Error {
    use std::error::Error as _;

    let (Some(ContextValue::String(option)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let reason = error.source().map(ToString::to_string).unwrap_or_default();
    let Some(rule) = rule(placeholder(option), &reason) else { return error };
    let told = format!(
        "invalid value '{value}' for '{option}': {rule}\n\nFor more information, try '--help'.\n"
    );
    Error::raw(ErrorKind::ValueValidation, told)
}

/// "PID" of `--pid <PID>`.
fn placeholder(option: &str) -> &str {
    let value = option.split_once('<').map_or("", |(_, value)| value);
    value.split('>').next().unwrap_or(value)
}

/// Returns what a value of this name must be, where a library has said why it is not.
fn rule(placeholder: &str, reason: &str) -> Option<&'static str> {
    let is_time = reason.starts_with("expected number at")
        || reason.starts_with("time unit needed")
        || reason.starts_with("unknown time unit")
        || reason.starts_with("invalid character at")
        || reason == "value was empty";
    let is_number = reason.starts_with("invalid digit found")
        || reason.starts_with("number too")
        || reason.starts_with("cannot parse integer")
        || reason.starts_with("invalid float");
    match placeholder {
        "TIME" if is_time => Some("a time is a number with its unit, such as 500ms, 10s or 5min"),
        "ADDR" if reason.starts_with("invalid socket address") => {
            Some("an address is IP:PORT, such as 127.0.0.1:8080 or [::1]:8080")
        }
        "BYTES" if is_number => Some("write a whole number of bytes, such as 1024"),
        _ if is_number && reason.starts_with("number too") => {
            Some("the number is out of the range of this option")
        }
        _ if is_number => Some("write a whole number, such as 10"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn told(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        let error = Cli::try_parse_from(&words).expect_err(line);
        explained(error, &words).to_string()
    }

    #[test]
    fn the_option_that_was_meant_is_named() {
        for (line, meant) in [
            ("backscope watch --pdi 4242", "--pid"),
            ("backscope watch --prot 80", "--port"),
            ("backscope watch --jsn", "--json"),
            ("backscope watch --Pid=4", "--pid"),
            ("backscope watch --contaner web", "--container"),
            ("backscope record -o f --durtaion 3s", "--duration"),
            ("backscope listeners --jason", "--json"),
            #[cfg(feature = "lessons")]
            ("backscope demo nagle --nodealy", "--nodelay"),
        ] {
            let told = told(line);
            assert!(told.contains(&format!("'{meant}'")), "{line}: {told}");
            assert!(!told.contains("-- --"), "{line}: {told}");
        }
    }

    #[test]
    fn nothing_is_proposed_where_nothing_is_near() {
        for line in ["backscope watch --colour", "backscope watch --ti", "backscope watch --all -5"]
        {
            let told = told(line);
            assert!(!told.contains("tip:"), "{line}: {told}");
            assert!(!told.contains("--tier"), "it is not shown: {told}");
        }
    }

    #[test]
    fn a_value_is_told_what_it_looks_like() {
        for (line, rule) in [
            ("backscope watch --pid abc1", "such as 4242"),
            ("backscope watch --pid -5", "such as 4242"),
            ("backscope watch --pid 99999999999", "such as 4242"),
            ("backscope watch --pid 0", "such as 4242"),
            ("backscope watch --port http", "such as 8080"),
            ("backscope watch --port 65536", "from 1 to 65535"),
            ("backscope watch --port -1", "from 1 to 65535"),
            ("backscope watch --all --duration soon", "such as 500ms, 10s or 5min"),
            ("backscope watch --all --duration 5", "such as 500ms, 10s or 5min"),
            ("backscope watch --all --interval 1x", "such as 500ms, 10s or 5min"),
            ("backscope watch --all --interval 1ms", "such as 500ms"),
            ("backscope watch --all --budget much", "such as 1%"),
            ("backscope record --all -o f --max-size big", "such as 200M"),
            ("backscope record --all -o f --max-size 1k", "such as 200M"),
            ("backscope record --all -o f --on-finding oveflow", "accept-queue-overflow"),
            ("backscope replay f --speed fast", "such as 2"),
            ("backscope annotate a b --min x", "such as 500ms"),
            #[cfg(feature = "export")]
            ("backscope export --all --prometheus foo", "such as 127.0.0.1:9464"),
            #[cfg(feature = "lessons")]
            ("backscope demo nagle --listen here", "such as 127.0.0.1:8080"),
            #[cfg(feature = "lessons")]
            ("backscope demo nagle --pause x", "such as 500ms"),
            #[cfg(feature = "lessons")]
            ("backscope demo nagle --requests x", "such as 10"),
        ] {
            let told = told(line);
            assert!(told.contains(rule), "{line}: {told}");
            assert!(told.starts_with("error: invalid value"), "{line}: {told}");
            assert!(!told.contains("digit found"), "{line}: {told}");
        }
    }

    #[test]
    fn names_are_not_empty() {
        for option in ["--comm", "--container", "--unit", "--pod", "--cgroup"] {
            let words = ["backscope", "watch", option, ""].map(ToOwned::to_owned);
            let error = Cli::try_parse_from(&words).expect_err(option);
            let told = explained(error, &words).to_string();
            assert!(told.contains("such as") && told.contains(option), "{told}");
        }
    }

    #[test]
    fn a_name_in_place_of_a_number_is_looked_up() {
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("every system has it");
        let told = told("backscope watch --pid sleep");
        let pid = child.id().to_string();
        child.kill().and_then(|()| child.wait()).expect("it sleeps");
        assert!(told.contains("did you mean --comm sleep"), "{told}");
        // More than five may sleep on this machine.
        assert!(told.contains(&pid) || told.contains(" more)"), "{told}");
    }
}
