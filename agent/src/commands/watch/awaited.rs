//! Named targets that nothing matches yet, and processes that do not listen yet.

use std::collections::HashSet;

use crate::{
    model::event::Sample,
    sensor::{
        Targets,
        targets::{self, COMM_BYTES, kernel_comm},
    },
    text::Untrusted,
};

/// Time that a command has to listen until it is said that it does not, ns.
const STARTS_NS: u64 = 2_000_000_000;

/// A command name and ports to which nothing belongs yet, and who has listened. Each is looked for
/// at every refresh until it is found.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    comm: Option<Vec<u8>>,
    /// Nothing else was named: whoever is watched has the name, or had it when it began.
    is_comm_alone: bool,
    ports: Vec<u16>,
    /// Process that this program started.
    command: Option<u32>,
    /// Time of the first sample and of the last one: before the first nobody knows who listens.
    looked_ns: Option<(u64, u64)>,
    /// Processes that hold a listening socket, or did: who closes it has done so on purpose.
    have_listened: HashSet<u32>,
}

impl Awaited {
    pub(super) fn of(targets: &Targets, command: Option<u32>) -> Self {
        let (comm, ports) = (targets.comm.clone(), targets.ports.clone());
        let is_comm_alone = Targets { comm: None, ..targets.clone() }.is_empty();
        Self { comm, is_comm_alone, ports, command, ..Self::default() }
    }

    /// Returns a sentence where the name is longer than those that the kernel keeps.
    pub(super) fn shortened(&self) -> Option<Untrusted> {
        let name = self.comm.as_deref().filter(|name| name.len() > COMM_BYTES)?;
        Some(compose!(
            "the kernel keeps the first {COMM_BYTES} bytes of a process's name: watching every \
             process named {}",
            words(kernel_comm(name))
        ))
    }

    /// Learns who runs and who listens now, and how many processes are watched.
    pub(super) fn look(&mut self, sample: &Sample, watched: usize) {
        let begin_ns = self.looked_ns.map_or(sample.ts_ns, |(begin_ns, _)| begin_ns);
        self.looked_ns = Some((begin_ns, sample.ts_ns));
        for listener in &sample.listeners {
            self.have_listened.insert(listener.pid);
            self.have_listened.extend(&listener.holders);
        }
        let is_watched = self.is_comm_alone && watched > 0;
        self.comm.take_if(|name| is_watched || !targets::processes_named(name).is_empty());
        let listening = sample.listeners.iter().map(|listener| listener.local.port());
        let bound = sample.datagrams.iter().map(|socket| socket.local.port());
        for found in listening.chain(bound) {
            self.ports.retain(|port| *port != found);
        }
    }

    /// Returns what is still waited for, one sentence each.
    pub(super) fn notices(&self) -> Vec<Untrusted> {
        let mut notices = Vec::new();
        if self.looked_ns.is_none() {
            return notices;
        }
        if let Some(name) = &self.comm {
            notices.push(nobody_named(name, &targets::names_in_another_case(name)));
        }
        for port in &self.ports {
            let told = format!("nothing listens on port {port} yet; watching for a listener");
            notices.push(told.into());
        }
        notices
    }

    /// Returns whether it is worth a sentence that this process does not listen: not of one that
    /// did, nor of a command that has just been started.
    pub(super) fn should_listen(&self, pid: u32) -> bool {
        let is_starting = self.command == Some(pid)
            && self.looked_ns.is_none_or(|(begin_ns, now_ns)| now_ns < begin_ns + STARTS_NS);
        !is_starting && !self.have_listened.contains(&pid)
    }
}

/// "no process is named Nginx yet; watching for one. One is named nginx: the case counts".
fn nobody_named(name: &[u8], in_another_case: &[Untrusted]) -> Untrusted {
    let mut told =
        compose!("no process is named {} yet; watching for one", words(kernel_comm(name)));
    let file = name.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty());
    if let Some(file) = file
        && file.len() < name.len()
    {
        let hint = compose!(
            ". A process is named after its program's file, without the folder: try --comm {}",
            words(kernel_comm(file))
        );
        told.push(hint);
    }
    if !in_another_case.is_empty() {
        let hint =
            compose!(". One is named {}: the case counts", Untrusted::join(in_another_case, ", "));
        told.push(hint);
    }
    told
}

fn words(name: &[u8]) -> Untrusted {
    String::from_utf8_lossy(name).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::world::listener;

    fn told(name: &str, others: &[&str]) -> String {
        let others: Vec<Untrusted> = others.iter().map(|name| Untrusted::from(*name)).collect();
        nobody_named(name.as_bytes(), &others).for_terminal().to_string()
    }

    #[test]
    fn what_is_waited_for_is_said_with_what_may_have_been_meant() {
        assert_eq!(told("nginx", &[]), "no process is named nginx yet; watching for one");
        assert!(told("Nginx", &["nginx"]).ends_with("One is named nginx: the case counts"));
        assert!(told("/usr/sbin/nginx", &[]).ends_with("try --comm nginx"));
        assert!(told("kworker/0:1", &[]).ends_with("try --comm 0:1"));
        assert!(!told("//", &[]).contains("try"), "there is no file's name in it");
        assert!(!told("ng\u{1b}inx", &[]).contains('\u{1b}'), "a name comes from outside");
    }

    #[test]
    fn a_long_name_is_cut_as_the_kernel_cuts_it() {
        let of = |name: &str| {
            let comm = Some(name.as_bytes().to_vec());
            Awaited::of(&Targets { comm, ..Targets::default() }, None).shortened()
        };
        let told = of("averylongcommandname").expect("16 bytes or more").for_terminal().to_string();
        assert!(told.ends_with("named averylongcomman"), "{told}");
        assert!(of("fifteen-bytes-x").is_none());
    }

    #[test]
    fn a_port_is_waited_for_until_somebody_listens() {
        let found = listener(1, 8);
        let ports = vec![found.local.port(), 9];
        let mut awaited = Awaited::of(&Targets { ports, ..Targets::default() }, None);
        assert!(awaited.notices().is_empty(), "nobody has looked");
        awaited.look(&Sample::default(), 0);
        assert_eq!(awaited.notices().len(), 2);
        awaited.look(&Sample { listeners: vec![found], ..Sample::default() }, 0);
        let left = awaited.notices();
        assert_eq!(left.len(), 1);
        assert!(left[0].for_terminal().to_string().contains("port 9 yet"));
        awaited.look(&Sample::default(), 0);
        assert_eq!(awaited.notices(), left, "whoever listened may go again");
    }

    #[test]
    fn who_has_listened_is_not_told_to_listen() {
        let held =
            crate::model::event::ListenerSample { pid: 7, holders: vec![7, 8], ..listener(1, 8) };
        let mut awaited = Awaited::of(&Targets::default(), None);
        assert!(awaited.should_listen(7), "it has not been seen to");
        awaited.look(&Sample { listeners: vec![held], ..Sample::default() }, 0);
        awaited.look(&Sample::default(), 0);
        assert!(!awaited.should_listen(7) && !awaited.should_listen(8));
        assert!(awaited.should_listen(9));
    }

    #[test]
    fn a_command_has_time_to_start() {
        let mut awaited = Awaited::of(&Targets::default(), Some(7));
        let at = |ts_ns| Sample { ts_ns, ..Sample::default() };
        assert!(!awaited.should_listen(7) && awaited.should_listen(8));
        awaited.look(&at(5_000_000_000), 0);
        awaited.look(&at(5_900_000_000), 0);
        assert!(!awaited.should_listen(7));
        awaited.look(&at(7_000_000_000), 0);
        assert!(awaited.should_listen(7));
    }

    #[test]
    fn a_process_that_has_renamed_itself_is_found() {
        let targets = Targets { comm: Some(b"no-such-name".to_vec()), ..Targets::default() };
        let mut awaited = Awaited::of(&targets, None);
        awaited.look(&Sample::default(), 0);
        assert_eq!(awaited.notices().len(), 1);
        awaited.look(&Sample::default(), 1);
        assert!(awaited.notices().is_empty());
        // Beside another target nobody knows whom it is that is watched.
        let mut awaited = Awaited::of(&Targets { pids: vec![1], ..targets }, None);
        awaited.look(&Sample::default(), 1);
        assert_eq!(awaited.notices().len(), 1);
    }
}
