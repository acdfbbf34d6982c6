//! A container that Podman runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::{name, quick, unseen};
use crate::harness::{Process, World, converse, net, skip};

/// A container that podman runs; it is removed when the guard is dropped.
struct Container {
    name: String,
    storage: &'static [&'static str],
}

impl Container {
    fn podman(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(self.storage).args(args);
        command
    }

    /// Starts a web server of busybox in a container: without an image, in the network of the test.
    /// Returns why that cannot be done here otherwise.
    fn start(root: &Path, port: u16) -> anyhow::Result<Result<Self, String>> {
        let busybox = Path::new("/bin/busybox");
        let dynamic = Command::new("ldd").arg(busybox).output()?;
        if !busybox.exists() || dynamic.status.success() {
            return Ok(Err("there is no static busybox".to_owned()));
        }
        fs::create_dir_all(root.join("bin"))?;
        fs::copy(busybox, root.join("bin/httpd"))?;
        let mut last = "there is no podman".to_owned();
        for storage in [&[][..], &["--storage-driver", "vfs"]] {
            for runtime in ["crun", "runc"] {
                let container = Self { name: name(), storage };
                let run = ["--runtime", runtime, "run", "-d", "--network", "host", "--name"];
                let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
                let server = ["/bin/httpd", "-f", "-p", &format!("127.0.0.1:{port}")];
                let mut command = container.podman(&run);
                command.arg(&container.name).args(limits).arg("--rootfs").arg(root).args(server);
                let output = match command.output() {
                    Ok(output) => output,
                    Err(_) => return Ok(Err(last)),
                };
                if output.status.success() {
                    return Ok(Ok(container));
                }
                last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            }
        }
        Ok(Err(last))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "--force", "--time", "0", &self.name]).output();
    }
}

/// A container as it is in reality.
pub(super) fn podman(world: &World) -> anyhow::Result<()> {
    let root = tempfile::tempdir()?;
    let port = net::free_port()?;
    let container = match Container::start(root.path(), port)? {
        Ok(container) => container,
        Err(reason) => return skip(format!("podman starts no container here: {reason}")),
    };
    net::await_listening(port, world.patience())?;
    let id = container.podman(&["inspect", "--format", "{{.Id}}", &container.name]).output()?;
    let id = String::from_utf8(id.stdout)?.trim().to_owned();
    let outside = quick(world)?;
    for word in [container.name.as_str(), &id, &id[..12]] {
        let mut agent = world.watch_queues().args(["--container", word]).start()?;
        converse(outside.addr)?;
        get(port)?;
        let listener = agent.await_accepted(port, 1)?;
        let told = &listener["container"];
        ensure!(told["name"] == container.name.as_str(), "{word}: {listener}");
        ensure!(told["id"] == id.as_str() && told["runtime"] == "podman", "{word}: {listener}");
        unseen(&agent.stop()?, &outside)?;
    }
    let name = container.name.clone();
    container.podman(&["stop", "--time", "0", &name]).output()?;
    let ended = world.watch_queues().args(["--container", &name]).spawn()?.ended()?;
    ensure!(ended.status.code() == Some(2), "status 2, got {}", ended.status);
    ensure!(ended.stderr.contains("no process of container"), "{}", ended.stderr);
    Ok(())
}

/// Asks a web server for its page.
fn get(port: u16) -> anyhow::Result<()> {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", &format!("http://127.0.0.1:{port}/")]);
    Process::start(curl)?.wait(std::time::Duration::from_secs(10)).map(drop)
}
