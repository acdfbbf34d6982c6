//! The commands in the README and the guide are commands.

use backscope::cli::Cli;
use clap::Parser;

#[test]
fn commands_are_commands() {
    let pages = [include_str!("../../README.md"), include_str!("../../docs/guide.md")];
    let mut checked = 0;
    for line in pages.iter().flat_map(|page| page.lines()) {
        let line = line.strip_prefix("$ ").unwrap_or(line);
        let Some(command) =
            line.strip_prefix("sudo ").map(|line| line.replace("$(which backscope)", "backscope"))
        else {
            continue;
        };
        let command = command.split(['|', '#']).next().unwrap_or_default();
        if !command.starts_with("backscope ") {
            continue;
        }
        let parsed = Cli::try_parse_from(command.split_whitespace());
        assert!(parsed.is_ok(), "{line}");
        checked += 1;
    }
    assert!(checked >= 5, "only {checked} commands found");
}
