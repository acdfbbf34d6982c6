//! A headless Chromium under control of the case, by the DevTools protocol over a pipe: no port is
//! opened, and no library is needed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::terminate;

/// Time that an answer or a condition may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The browser's messages end by this byte.
const END: u8 = 0;

/// A page of a browser. Dropping it ends the browser.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    next: u64,
    session: String,
    /// What the browser told unasked.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts the browser `program` with an empty page.
    pub fn start(program: &Path) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        // It speaks on descriptors 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1"]);
        command.arg(program).args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // It has children, which end with it.
        command.process_group(0);
        let mut child = command.spawn().context("starting Chromium")?;
        let input = child.stdin.take().context("no pipe to Chromium")?;
        let output = child.stdout.take().context("no pipe from Chromium")?;
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(END).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (session, events) = (String::new(), Vec::new());
        let mut this = Self { child, input, messages, next: 0, session, events, _profile: profile };
        let target = this.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = this.call("Target.attachToTarget", target)?;
        this.session = session["sessionId"].as_str().context("no session")?.to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            this.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(this)
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(END);
        self.input.write_all(&bytes).context("Chromium has gone")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self
                .messages
                .recv_timeout(left)
                .with_context(|| format!("no answer of Chromium to {method}"))?;
            if message["id"] != self.next {
                self.events.push(message);
                continue;
            }
            ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
            return Ok(message["result"].take());
        }
    }

    /// Opens a file, and waits until it is loaded.
    pub fn open(&mut self, file: &Path) -> anyhow::Result<()> {
        self.events.clear();
        let url = format!("file://{}", file.display());
        self.call("Page.navigate", json!({ "url": url }))?;
        self.await_true("the page is loaded", "document.readyState === 'complete'")
    }

    /// Evaluates an expression, a promise too.
    pub fn eval(&mut self, expression: &str) -> anyhow::Result<Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", params)?;
        if !result["exceptionDetails"].is_null() {
            bail!("{expression}: {}", result["exceptionDetails"]);
        }
        Ok(result["result"]["value"].take())
    }

    /// Waits until an expression is true.
    pub fn await_true(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(expression)? != true {
            ensure!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Presses a key, by its name and, if it writes one, its character.
    pub fn press(&mut self, key: &str, text: &str) -> anyhow::Result<()> {
        let code = match key {
            "Enter" => 13,
            " " => 32,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "Tab" => 9,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", params)?;
        }
        Ok(())
    }

    /// Clicks the middle of the first element that a selector finds.
    pub fn click(&mut self, selector: &str) -> anyhow::Result<()> {
        let place = self.middle(selector)?;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params)?;
        }
        Ok(())
    }

    /// Taps the middle of the first element that a selector finds, with a finger.
    pub fn tap(&mut self, selector: &str) -> anyhow::Result<()> {
        let place = self.middle(selector)?;
        let point = json!([{ "x": place[0], "y": place[1] }]);
        for (kind, points) in [("touchStart", point), ("touchEnd", json!([]))] {
            let params = json!({ "type": kind, "touchPoints": points });
            self.call("Input.dispatchTouchEvent", params)?;
        }
        Ok(())
    }

    /// Brings the first element that a selector finds into sight, and returns where its middle is.
    fn middle(&mut self, selector: &str) -> anyhow::Result<Value> {
        self.eval(&format!(
            "(() => {{ const it = document.querySelector({selector:?}); \
             it.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const r = it.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ))
    }

    /// Returns what axe-core, of which this is the script, finds wrong with the page: "[]" if
    /// nothing.
    pub fn violations(&mut self, axe: &str) -> anyhow::Result<String> {
        // The browser's own evaluation is outside the page's policy.
        self.eval(&format!("{axe}; 0"))?;
        let found = self.eval(
            "axe.run({ resultTypes: ['violations'] }).then((found) => JSON.stringify( \
             found.violations.map((it) => [it.id, it.help, it.nodes.slice(0, 3).map((node) => \
             [node.html.slice(0, 200), node.failureSummary])])))",
        )?;
        Ok(found.as_str().context("no answer of axe")?.to_owned())
    }

    /// Makes the window so many pixels wide.
    pub fn width(&mut self, width: u32) -> anyhow::Result<()> {
        let params =
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", params).map(drop)
    }

    /// Emulates a medium (`screen`, `print`) and preferences, by their names.
    pub fn media(&mut self, media: &str, features: &[(&str, &str)]) -> anyhow::Result<()> {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let params = json!({ "media": media, "features": features });
        self.call("Emulation.setEmulatedMedia", params).map(drop)
    }

    /// Returns the addresses that were asked for since the page was opened, and what the console
    /// and the browser complained about.
    pub fn requests_and_complaints(&mut self) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        // What came before this answer has come.
        self.eval("1")?;
        let (mut requests, mut complaints) = (Vec::new(), Vec::new());
        for event in &self.events {
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
                    requests.push(url.to_owned());
                }
                "Log.entryAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => {
                    complaints.push(event["params"].to_string());
                }
                _ => {}
            }
        }
        Ok((requests, complaints))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}
