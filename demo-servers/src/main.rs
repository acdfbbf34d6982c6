//! `demo-servers VERB [KNOBS]`: runs one of the servers or clients until it is signalled.

use std::process::ExitCode;

fn main() -> ExitCode {
    demo_servers::program::main(std::env::args_os(), &[])
}
