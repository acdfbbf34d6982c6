//! Choice of the process to watch, and the end of a watch.

mod absent;
mod choice;
mod names;

use super::{any_tier, native};
use crate::harness::json::{Value, is};
use crate::harness::{Case, Demo, Process, World, copy_program, net};

pub(super) const CASES: &[Case] = &[
    any_tier("target::several_pids", choice::several_pids),
    any_tier("target::port", choice::port).alone(),
    any_tier("target::comm", choice::comm).alone(),
    any_tier("target::all", choice::all).alone(),
    any_tier("target::command", choice::command),
    any_tier("target::command_status", choice::command_status),
    any_tier("target::children_are_followed", choice::followed),
    any_tier("target::no_follow", choice::no_follow),
    any_tier("target::thread_id", choice::thread_id),
    any_tier("target::in_another_pid_namespace", choice::in_another_pid_namespace),
    any_tier("target::no_socket_yet", absent::no_socket_yet),
    native("target::nobody_has_the_name_yet", absent::nobody_has_the_name_yet),
    native("target::nobody_listens_on_the_port_yet", absent::nobody_listens_yet),
    native("target::a_name_longer_than_the_kernels", names::long_name),
    native("target::who_has_closed_its_listener_is_no_fault", absent::closed_listener),
    native("target::what_was_meant", choice::what_was_meant),
    native("target::no_such_process", choice::no_such_process),
    native("target::unusable_arguments", choice::unusable_arguments),
    any_tier("target::dies", absent::dies),
    any_tier("target::sigterm", absent::sigterm),
    any_tier("target::duration", absent::duration),
    any_tier("target::no_privilege", choice::no_privilege),
    native("target::comm_is_escaped", names::comm_is_escaped),
    native("target::names_of_any_bytes", names::names_of_any_bytes).alone(),
    native("target::a_number_used_again", absent::number_used_again).alone(),
    native("target::in_a_time_namespace", absent::in_a_time_namespace),
];

fn quick(world: &World) -> anyhow::Result<Demo> {
    world.demo(&["slow-acceptor", "--accept-delay", "0ms"])
}

/// The text of a notice that begins, or ends.
fn is_notice(object: &Value, state: &str, text: &str) -> bool {
    is(object, "notice")
        && object["state"] == state
        && object["text"].as_str().is_some_and(|told| told.contains(text))
}

/// A server under a name of its own.
fn server_named(world: &World, name: &str) -> anyhow::Result<Process> {
    let script = format!(
        "import socket\n\
         open('/proc/self/comm','w').write('{name}')\n\
         s=socket.create_server(('127.0.0.1',7002))\n\
         while True: c,_=s.accept(); c.recv(9); c.send(b'x'); c.close()\n"
    );
    let mut python = std::process::Command::new("python3");
    python.args(["-c", &script]);
    let server = Process::start(python)?;
    net::await_listening(7002, world.patience())?;
    Ok(server)
}

/// A program that does nothing, under a name of its own, in a folder that goes with it.
fn sleeper_named(name: &str) -> anyhow::Result<(tempfile::TempDir, Process)> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(name);
    copy_program(std::path::Path::new("/bin/sleep"), &program)?;
    let mut command = std::process::Command::new(&program);
    command.arg("600");
    Ok((folder, Process::start(command)?))
}
