//! `demo-servers VERB [KNOBS]`: runs one of the servers or clients until it is signalled.

use std::process::ExitCode;

use demo_servers::program;

fn main() -> ExitCode {
    program::main(program::NAME, std::env::args_os(), &[])
}
