use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn force_is_for_files() {
    assert!(Cli::try_parse_from(["backscope", "watch", "--all", "--force"]).is_err());
    assert!(
        Cli::try_parse_from(["backscope", "watch", "--all", "-o", "a.bsrec", "--force"]).is_ok()
    );
    let line = "backscope watch --all --report a.html --force";
    assert!(Cli::try_parse_from(line.split(' ')).is_ok());
    let line = "backscope watch --all -o a.bsrec --report a.html";
    assert!(Cli::try_parse_from(line.split(' ')).is_ok());
    assert!(Cli::try_parse_from(["backscope", "record", "--all"]).is_err());
}

#[test]
fn words_from_outside_are_quoted_harmlessly() {
    let hostile = "\x1b[31m\u{9b}2J\u{202e}\n\\";
    let option = format!("--{hostile}");
    for line in [
        ["backscope", hostile, ""],
        ["backscope", "watch", &option],
        ["backscope", "completions", hostile],
        ["backscope", "watch", "--pid=\x1b[31m\u{9b}2J\u{202e}\n\\"],
    ] {
        assert!(Cli::try_parse_from(line).is_err(), "{line:?}");
        let told = Cli::told(&line.map(OsString::from)).expect("it is not understood either");
        let told = told.to_string();
        assert!(!told.contains(['\x1b', '\u{9b}', '\u{202e}']), "{told:?}");
        let (fresh, quoted) = (told.lines().next().unwrap(), r"\u{1b}[31m\u{9b}2J\u{202e}");
        assert!(
            fresh.contains(quoted) || told.contains(&format!("{quoted}\\u{{a}}\\\\")),
            "{told}"
        );
    }
}

#[test]
fn a_command_follows_two_dashes() {
    let cli = Cli::try_parse_from(["backscope", "watch", "--json", "--", "ls", "--all"]).unwrap();
    let Verb::Watch(args) = cli.verb else { panic!("not watch") };
    assert_eq!(args.command, ["ls", "--all"]);
    assert!(!args.target.all);
}

#[test]
fn who_runs_a_command_is_asked_of_a_command_alone() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("backscope watch --as-root -- true").is_ok());
    assert!(parse("backscope record -o a --user nobody -- true").is_ok());
    assert!(parse("backscope watch --as-root --all").is_err());
    assert!(parse("backscope watch --as-root --user nobody -- true").is_err());
}

#[test]
fn the_schema_has_no_arguments() {
    let cli = Cli::try_parse_from(["backscope", "schema"]).unwrap();
    assert!(matches!(cli.verb, Verb::Schema));
    assert!(Cli::try_parse_from(["backscope", "schema", "exchange"]).is_err());
}

#[cfg(not(feature = "lessons"))]
#[test]
fn what_is_not_built_in_says_so_whatever_is_asked_of_it() {
    for line in [
        "backscope learn",
        "backscope learn nagle --auto",
        "backscope demo --help",
        #[cfg(not(feature = "export"))]
        "backscope export --all --prometheus localhost:9464",
        #[cfg(not(feature = "mcp"))]
        "backscope mcp",
    ] {
        let cli =
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        let error = crate::commands::run(cli).expect_err(line);
        assert!(error.to_string().contains("cargo install"), "{line}: {error}");
    }
}
