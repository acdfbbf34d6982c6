//! The tools: what an assistant may ask, and the command that answers it.

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Seconds that a watch may last: an assistant waits for it.
pub(super) const MAX_SECONDS: u64 = 60;
/// Processes and ports that one call may name, and bytes of a name or a path.
const MAX_TARGETS: usize = 64;
const MAX_NAME: usize = 4_096;

/// What was asked for, checked.
#[derive(Debug, PartialEq)]
pub(super) enum Question {
    /// All listeners of a target, now.
    Listeners { target: Vec<OsString> },
    /// What a watch of a target finds in so many seconds.
    WatchFor { seconds: u64, target: Vec<OsString> },
    /// What a recording shows.
    Explain { recording: PathBuf },
}

/// There is no tool of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no such tool; there are listeners, watch_for and explain")]
pub(super) struct NoSuchTool;

/// Processes and ports, as options of the command line have them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetArguments {
    #[serde(default)]
    pid: Vec<u32>,
    #[serde(default)]
    port: Vec<u16>,
    comm: Option<String>,
    #[serde(default)]
    container: Vec<String>,
    #[serde(default)]
    pod: Vec<String>,
    #[serde(default)]
    unit: Vec<String>,
    #[serde(default)]
    cgroup: Vec<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchArguments {
    seconds: u64,
    #[serde(default)]
    target: TargetArguments,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenersArguments {
    #[serde(default)]
    target: TargetArguments,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainArguments {
    recording: String,
}

impl Question {
    /// Reads a call. The inner error is a sentence on what is wrong with the arguments.
    ///
    /// # Errors
    /// There is no such tool.
    pub(super) fn of(
        tool: &str,
        arguments: Option<JsonObject>,
    ) -> Result<Result<Self, String>, NoSuchTool> {
        Ok(match tool {
            "listeners" => listeners(arguments),
            "watch_for" => watch_for(arguments),
            "explain" => explain(arguments),
            _ => return Err(NoSuchTool),
        })
    }
}

fn parse<T: DeserializeOwned>(arguments: Option<JsonObject>) -> Result<T, String> {
    let arguments = Value::Object(arguments.unwrap_or_default());
    serde_json::from_value(arguments).map_err(|error| format!("unusable arguments: {error}"))
}

fn listeners(arguments: Option<JsonObject>) -> Result<Question, String> {
    let ListenersArguments { target } = parse(arguments)?;
    Ok(Question::Listeners { target: target.options()? })
}

fn watch_for(arguments: Option<JsonObject>) -> Result<Question, String> {
    let WatchArguments { seconds, target } = parse(arguments)?;
    if seconds == 0 || seconds > MAX_SECONDS {
        return Err(format!("seconds is {seconds}, and must be 1 to {MAX_SECONDS}"));
    }
    let target = target.options()?;
    if target.is_empty() {
        let message = "no target: name pid, port, comm, container, pod, unit or cgroup, or set all to \
                       true; the tool `listeners` shows who listens";
        return Err(message.to_owned());
    }
    Ok(Question::WatchFor { seconds, target })
}

fn explain(arguments: Option<JsonObject>) -> Result<Question, String> {
    let ExplainArguments { recording } = parse(arguments)?;
    check_name("recording", &recording)?;
    Ok(Question::Explain { recording: recording.into() })
}

impl TargetArguments {
    /// Returns the target as options of `watch`. Each has its value in the same word, so that no
    /// value is taken for an option.
    fn options(self) -> Result<Vec<OsString>, String> {
        let groups = [
            ("container", self.container),
            ("pod", self.pod),
            ("unit", self.unit),
            ("cgroup", self.cgroup),
        ];
        let mut named = self.pid.len() + self.port.len();
        for (_, names) in &groups {
            named += names.len();
        }
        if named > MAX_TARGETS {
            return Err(format!("{named} targets, and {MAX_TARGETS} are the most"));
        }
        let mut options = Vec::new();
        for pid in self.pid {
            options.push(format!("--pid={pid}").into());
        }
        for port in self.port {
            options.push(format!("--port={port}").into());
        }
        if let Some(comm) = self.comm {
            check_name("comm", &comm)?;
            options.push(format!("--comm={comm}").into());
        }
        for (what, names) in groups {
            for name in names {
                check_name(what, &name)?;
                options.push(format!("--{what}={name}").into());
            }
        }
        if self.all {
            options.push("--all".into());
        }
        Ok(options)
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
        return Err(format!("{what} must have 1 to {MAX_NAME} bytes, and no NUL"));
    }
    Ok(())
}

/// The schema of a list of names.
fn names(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

/// Returns the descriptions that an assistant reads.
pub(super) fn all() -> Vec<Tool> {
    let target = json!({
        "type": "object",
        "description": "Whom: processes, ports, containers and so on; together they are a union.",
        "properties": {
            "pid": {
                "type": "array", "items": { "type": "integer", "minimum": 1 },
                "description": "These processes, their sockets and their children."
            },
            "port": {
                "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 65535 },
                "description": "Whoever listens on these ports."
            },
            "comm": { "type": "string", "description": "Every process with this command name." },
            "container": names("These containers: id, the first 12 characters of it or more, or name."),
            "pod": names("These pods of Kubernetes, as NAMESPACE/NAME."),
            "unit": names("These units of systemd; nginx is nginx.service."),
            "cgroup": names("The processes of these cgroups, and of those below them."),
            "all": { "type": "boolean", "description": "Every process on the machine." }
        },
        "additionalProperties": false
    });
    vec![
        tool(
            "listeners",
            "Listening sockets",
            "Every listening socket once: address, process, depth and limit of the accept queue, \
             handshakes that are not finished, packets that the kernel dropped. Without a target, \
             those of the whole machine.",
            json!({ "target": target }),
            &[],
        ),
        tool(
            "watch_for",
            "Watch live connections",
            "Watches a server's connections inside the kernel for some seconds. Returns findings, \
             each with its evidence, who held the time (kernel, app, network, peer), and what to \
             change; the exchanges that took longest, as slices of time with owners; listeners; \
             and sums. No finding means that none was made in this time, not that all is well: \
             watch while the problem happens. A value that is null was not observed.",
            json!({
                "seconds": {
                    "type": "integer", "minimum": 1, "maximum": MAX_SECONDS,
                    "description": "How long to watch."
                },
                "target": target
            }),
            &["seconds", "target"],
        ),
        tool(
            "explain",
            "Explain a recording",
            "Returns the same as watch_for, of a recording that `backscope record` wrote. One that \
             is damaged or cut off is explained as far as it can be read.",
            json!({
                "recording": { "type": "string", "description": "Path of the file on this machine." }
            }),
            &["recording"],
        ),
    ]
}

fn tool(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    properties: Value,
    required: &[&str],
) -> Tool {
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    });
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new(name, description, Arc::new(schema))
        .with_title(title)
        .with_annotations(ToolAnnotations::new().read_only(true).open_world(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(tool: &str, arguments: Value) -> Result<Question, String> {
        let arguments = arguments.as_object().cloned();
        Question::of(tool, arguments).expect("it is a tool")
    }

    #[test]
    fn a_watch_is_bounded_and_has_a_target() {
        let question = ask("watch_for", json!({ "seconds": 5, "target": { "pid": [7, 8] } }));
        let target = vec!["--pid=7".into(), "--pid=8".into()];
        assert_eq!(question, Ok(Question::WatchFor { seconds: 5, target }));
        for (arguments, told) in [
            (json!({ "seconds": 0, "target": { "all": true } }), "1 to 60"),
            (json!({ "seconds": 1e18 as u64, "target": { "all": true } }), "1 to 60"),
            (json!({ "seconds": -1, "target": { "all": true } }), "unusable"),
            (json!({ "seconds": "5", "target": { "all": true } }), "unusable"),
            (json!({ "target": { "all": true } }), "seconds"),
            (json!({ "seconds": 5 }), "no target"),
            (json!({ "seconds": 5, "target": {} }), "no target"),
            (json!({ "seconds": 5, "target": { "pid": vec![1; 100] } }), "100 targets"),
            (json!({ "seconds": 5, "target": { "port": [70_000] } }), "unusable"),
            (json!({ "seconds": 5, "target": { "paths": true } }), "unknown field"),
        ] {
            let error = ask("watch_for", arguments.clone()).expect_err("it is unusable");
            assert!(error.contains(told), "{arguments}: {error}");
        }
    }

    #[test]
    fn no_value_is_taken_for_an_option() {
        let target = json!({ "target": { "comm": "--output=/etc/passwd" } });
        let question = ask("listeners", target);
        let target = vec!["--comm=--output=/etc/passwd".into()];
        assert_eq!(question, Ok(Question::Listeners { target }));
        let target = json!({ "target": { "unit": ["nginx"], "pod": ["shop/cart-0"] } });
        let question = ask("listeners", target);
        let target = vec!["--pod=shop/cart-0".into(), "--unit=nginx".into()];
        assert_eq!(question, Ok(Question::Listeners { target }));
        assert_eq!(ask("listeners", json!({})), Ok(Question::Listeners { target: Vec::new() }));
        assert!(ask("explain", json!({ "recording": "" })).is_err());
        assert!(ask("explain", json!({ "recording": "a\0b" })).is_err());
    }

    #[test]
    fn every_tool_that_is_described_can_be_called_and_no_other() {
        for tool in all() {
            assert!(Question::of(&tool.name, None).is_ok(), "{}", tool.name);
            assert!(tool.annotations.is_some_and(|is| is.read_only_hint == Some(true)));
        }
        assert!(Question::of("exec", None).is_err());
    }
}
