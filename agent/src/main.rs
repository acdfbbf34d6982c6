//! The `backscope` binary: decides nothing, reports errors.

use std::panic::{self, PanicHookInfo};
use std::process::{self, ExitCode};

use backscope::{
    cli::{Cli, complete},
    commands,
    outlet::note,
    privileges,
    text::Untrusted,
};

/// Exit status after a fault of this program itself, as Rust has it.
const FAULT: i32 = 101;

fn main() -> ExitCode {
    // Before an argument is read, or a file opened.
    privileges::begin();
    panic::set_hook(Box::new(end_after_fault));
    if let Some(status) = complete::answer() {
        return status;
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match commands::run(cli) {
        Ok(status) => status,
        Err(error) => match commands::status_of(&error) {
            Some(status) => {
                note(&Untrusted::from(format!("backscope: {error:#}")));
                status
            }
            None => ExitCode::SUCCESS,
        },
    }
}

/// Says what happened and ends the program, whichever thread it was: half of a program shows
/// nothing that can be relied on. What a recording has by then can be replayed.
fn end_after_fault(info: &PanicHookInfo<'_>) {
    let fault = format!("backscope: a fault of this program, please report it: {info}");
    note(&fault.replace('\n', " ").into());
    process::exit(FAULT);
}
