//! The command lines that do what a scenario does, as they can be typed at a shell.

use super::check::Scenario;

/// A command line, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What it does, in a few words.
    pub about: &'static str,
    /// The line itself.
    pub text: String,
}

/// All command lines of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLines {
    /// [`Scenario::as_demo`].
    pub demo: Option<CommandLine>,
    /// [`Scenario::as_parts`].
    pub parts: Vec<CommandLine>,
    /// [`Scenario::at_a_shell`].
    pub shell: Vec<CommandLine>,
}

impl Scenario {
    /// Returns all of its command lines.
    pub fn command_lines(&self) -> CommandLines {
        let (demo, parts, shell) = (self.as_demo(), self.as_parts(), self.at_a_shell());
        CommandLines { demo, parts, shell }
    }

    /// Returns the one line that runs server and client together, if they are those of a demo.
    pub fn as_demo(&self) -> Option<CommandLine> {
        let [client] = self.clients.as_slice() else { return None };
        let (verb, words) = client.split_first()?;
        let words = words.strip_suffix(&[CLIENT_ONLY.to_owned(), words.last()?.clone()])?;
        if verb != "demo" || !self.sysctls.is_empty() || self.moved_server() {
            return None;
        }
        let mut line = format!("backscope demo {}", quoted(words));
        if let Some(link_ms) = self.link_ms {
            line += &format!(" --rtt={link_ms}ms");
        }
        if self.loss > 0 {
            line += &format!(" --loss={}", self.loss);
        }
        let about = if self.link_ms.is_some() { "both, as root" } else { "both" };
        Some(CommandLine { about, text: line })
    }

    /// Returns the lines that run the server and the clients one after the other.
    pub fn as_parts(&self) -> Vec<CommandLine> {
        let server = format!("backscope demo-servers {}", quoted(&self.server));
        let mut out = vec![CommandLine { about: "server", text: server }];
        let mut clients = self.clients.as_slice();
        while let Some(client) = clients.first() {
            let alike = clients.iter().take_while(|other| *other == client).count();
            clients = &clients[alike..];
            // Who is started at a shell need not wait for the word to begin.
            let words: Vec<String> =
                client.iter().filter(|word| *word != "--wait").cloned().collect();
            let one = format!("backscope demo-servers {}", quoted(&words));
            out.push(match alike {
                1 => CommandLine { about: "client", text: one },
                _ => {
                    let text = format!("for i in $(seq {alike}); do {one} & done; wait");
                    CommandLine { about: "clients", text }
                }
            });
        }
        out
    }

    /// Returns all that it takes at a shell, in order: the network of its own, its settings, the
    /// link, the server in the background, the clients.
    pub fn at_a_shell(&self) -> Vec<CommandLine> {
        let line = |about, text: &str| CommandLine { about, text: text.to_owned() };
        let mut out = vec![
            line("a shell in a network of its own", "sudo unshare --net"),
            line("its loopback", "ip link set lo up"),
        ];
        for (name, value) in &self.sysctls {
            let setting = quoted(&[format!("{name}={value}")]);
            out.push(line("a setting of its kernel", &format!("sysctl -w {setting}")));
        }
        if let Some(link_ms) = self.link_ms {
            let loss = match self.loss {
                0 => String::new(),
                percent => format!(" --loss={percent}"),
            };
            let text = format!("backscope demo-servers delay-link --rtt={link_ms}ms{loss} &");
            out.push(line("the link between client and server", &text));
        }
        for (at, mut part) in self.as_parts().into_iter().enumerate() {
            if at == 0 {
                part.text += " &";
            }
            out.push(part);
        }
        out
    }

    /// True if the server's words are not those that its demo would start it with: a lesson may
    /// have its own server for a demo's client.
    fn moved_server(&self) -> bool {
        let Some((_, words)) = self.clients.first().and_then(|client| client.split_first()) else {
            return true;
        };
        let Some(words) = words.len().checked_sub(2).map(|end| &words[..end]) else { return true };
        let demo = Self::demo(&words.join(" "));
        let end = self.server.len().saturating_sub(1);
        demo.server.len() != self.server.len() || demo.server[..end] != self.server[..end]
    }
}

/// The option of a demo that runs its client alone; the address follows.
const CLIENT_ONLY: &str = "--client-only";

/// Words as a shell takes them.
fn quoted(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            out += word;
        } else {
            out += &format!("'{}'", word.replace('\'', r"'\''"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use demo_servers::program;

    use super::*;
    use crate::{
        cli::{Cli, DEMO_SERVERS_VERB},
        learn::all,
    };

    /// The words of a line that a shell would run, without what the shell itself does.
    fn words(line: &str) -> Vec<String> {
        let line = match line.split_once("; do ") {
            Some((_, command)) => command.split(" & done").next().unwrap_or_default(),
            None => line,
        };
        line.trim_end_matches(" &").split(' ').map(str::to_owned).collect()
    }

    fn assert_typed(line: &CommandLine) {
        let words = words(&line.text);
        assert_eq!(words[0], "backscope", "{}", line.text);
        if words[1] == DEMO_SERVERS_VERB {
            program::check(&words[1..]).unwrap_or_else(|error| panic!("{}: {error}", line.text));
        } else {
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{}: {error}", line.text));
        }
    }

    #[test]
    fn every_line_of_every_lesson_can_be_typed() {
        for entry in all() {
            let lesson = entry.lesson().expect("a lesson");
            for round in &lesson.rounds {
                let near = (lesson.check.scenario)(&round.plan.knobs);
                for scenario in [near.clone(), near.clone().far(40), near.lossy(2)] {
                    scenario.as_demo().iter().for_each(assert_typed);
                    scenario.as_parts().iter().for_each(assert_typed);
                    for line in scenario.at_a_shell().iter().skip(2) {
                        if !line.text.starts_with("sysctl ") {
                            assert_typed(line);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_demo_is_one_line_and_others_are_two() {
        let demo = Scenario::demo("https-tls13 --connections 1").far(40).lossy(2);
        let told = demo.as_demo().expect("a demo");
        assert_eq!(told.text, "backscope demo https-tls13 --connections 1 --rtt=40ms --loss=2");
        let parts = Scenario::server("serve").clients_together(3, "client").sysctl("a.b", "1 2");
        assert_eq!(parts.as_demo(), None);
        let shell: Vec<_> = parts.at_a_shell().into_iter().map(|line| line.text).collect();
        assert_eq!(
            shell,
            [
                "sudo unshare --net",
                "ip link set lo up",
                "sysctl -w 'a.b=1 2'",
                "backscope demo-servers serve --listen 127.0.0.1:8080 &",
                "for i in $(seq 3); do backscope demo-servers client --trace --target \
                 127.0.0.1:8080 & done; wait",
            ]
        );
    }
}
