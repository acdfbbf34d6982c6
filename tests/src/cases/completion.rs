//! Completions in the shells themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::native;
use crate::harness::{Case, Process, World, skip};

pub(super) const CASES: &[Case] = &[
    native("completion::in_bash", in_bash),
    native("completion::in_zsh", in_zsh),
    native("completion::in_fish", in_fish),
];

/// A folder with the program under its name and a shell's script, and PATH with that folder.
fn prepared(world: &World, shell: &str, file: &str) -> anyhow::Result<(tempfile::TempDir, String)> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(world.agent(), folder.path().join("backscope"))?;
    let output = world.agent_command(&["completions", shell]).output()?;
    ensure!(output.status.success(), "{output:?}");
    fs::write(folder.path().join(file), output.stdout)?;
    let path = std::env::var("PATH").unwrap_or_default();
    Ok((folder, path))
}

/// What a script of a shell prints; `None` where there is no such shell.
fn printed(shell: &str, script: &str, folder: &Path, path: &str) -> anyhow::Result<Option<String>> {
    let mut command = Command::new(shell);
    if shell == "zsh" {
        command.arg("-f");
    }
    command.args(["-c", script]).env("PATH", format!("{}:{path}", folder.display()));
    command.env("FOLDER", folder).env("TERM", "dumb").env("HOME", folder).stdin(Stdio::null());
    match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        output => {
            let output = output?;
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
    }
}

/// A process to complete by its name.
fn sleeper() -> anyhow::Result<Process> {
    let mut command = Command::new("sleep");
    command.arg("600");
    Process::start(command)
}

/// Checks what a shell offers for the lines of [`LINES`], each on a line of its own.
fn check(shell: &str, offered: &str, sleeper: u32) -> anyhow::Result<()> {
    let line = |at: usize| offered.lines().nth(at).with_context(|| format!("{shell}: {offered}"));
    let has = |at: usize, word: &str| -> anyhow::Result<bool> {
        Ok(line(at)?.split_whitespace().any(|found| found == word))
    };
    for (at, word) in [(0, "--pid"), (1, "watch"), (2, "nagle"), (3, "nagle")] {
        ensure!(has(at, word)?, "{shell}: no {word}: {offered}");
    }
    ensure!(has(4, "accept-queue-overflow")?, "{shell}: {offered}");
    ensure!(has(5, &sleeper.to_string())?, "{shell}: no {sleeper}: {offered}");
    // A process may be called as a hidden verb is.
    for hidden in ["stop-then-exec", "lesson-part", "demo-servers"] {
        ensure!(!line(1)?.contains(hidden), "{shell}: {hidden}: {offered}");
    }
    ensure!(!offered.contains("--tier"), "{shell}: it is hidden: {offered}");
    Ok(())
}

/// Lines to complete; `SLEEPER` is the id of a process without its last digit.
const LINES: [&str; 7] = [
    "backscope watch --pi",
    "backscope ",
    "backscope learn nag",
    "backscope demo nag",
    "backscope record --on-finding accept-q",
    "backscope watch --pid SLEEPER",
    "backscope watch --ti",
];

fn lines(sleeper: u32) -> Vec<String> {
    let id = sleeper.to_string();
    LINES.iter().map(|line| line.replace("SLEEPER", &id[..id.len() - 1])).collect()
}

fn in_bash(world: &World) -> anyhow::Result<()> {
    let (folder, path) = prepared(world, "bash", "script")?;
    let sleeper = sleeper()?;
    // The function that the script gives bash, called as bash calls it.
    let mut script = "source \"$FOLDER/script\"\n\
        complete -p backscope | grep -q -- '-F _clap_complete_backscope' || exit 1\n\
        try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(( $# - 1 )); COMP_TYPE=9; COMPREPLY=()\n\
        _clap_complete_backscope backscope \"${@: -1}\" x\n\
        echo ${COMPREPLY[*]}; }\n"
        .to_owned();
    for line in lines(sleeper.pid()) {
        let last = if line.ends_with(' ') { " ''" } else { "" };
        script += &format!("IFS=$' \\t\\n'; try {line}{last} | tr '\\013' ' '\n");
    }
    match printed("bash", &script, folder.path(), &path)? {
        Some(offered) => check("bash", &offered, sleeper.pid()),
        None => skip("bash is not installed"),
    }
}

fn in_fish(world: &World) -> anyhow::Result<()> {
    let (folder, path) = prepared(world, "fish", "script")?;
    let sleeper = sleeper()?;
    let mut script = "source $FOLDER/script\n".to_owned();
    for line in lines(sleeper.pid()) {
        script += &format!("echo (complete -C '{line}' | string replace -r '\\t.*' '')\n");
    }
    match printed("fish", &script, folder.path(), &path)? {
        Some(offered) => check("fish", &offered, sleeper.pid()),
        None => skip("fish is not installed"),
    }
}

/// On a terminal of its own, with the script where packages install it.
fn in_zsh(world: &World) -> anyhow::Result<()> {
    let (folder, path) = prepared(world, "zsh", "_backscope")?;
    let sleeper = sleeper()?;
    let mut script = "zmodload zsh/zpty || exit 1\n\
        zpty z zsh -f -i\n\
        zpty -w z \"PS1=; fpath=($FOLDER \\$fpath); autoload -U compinit; compinit -u -D; \
        bindkey -e; LISTMAX=100000; setopt no_beep no_auto_menu; unsetopt zle_bracketed_paste; echo RE''ADY\"\n\
        zpty -r -m z out '*READY*'\n"
        .to_owned();
    // The words that are completed are printed; what is ambiguous is listed before.
    for line in lines(sleeper.pid()) {
        let words = line.strip_prefix("backscope").unwrap_or(&line);
        script += &format!(
            "zpty -w -n z $'backscope{words}\\t\\t'; zpty -w -n z $'\\x01echo \\x05 ; echo DO\"\"NE\\n'\n\
             zpty -r -m z out '*DONE*'; print -r -- ${{${{out//$'\\n'/ }}//$'\\r'/ }}\n"
        );
    }
    match printed("zsh", &script, folder.path(), &path)? {
        Some(offered) => check("zsh", &offered, sleeper.pid()),
        None => skip("zsh is not installed"),
    }
}
