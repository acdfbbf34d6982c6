//! A live exercise: server and customers in a network of their own, watched by a sensor of our own.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use demo_servers::own_network;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{
    exercise::{Change, Exercise},
    place::{Place, Session},
    quota::Group,
    second::{Second, Tick},
    watcher::{self, State},
};
use crate::{
    learn::live::PROCESS_VERB,
    sensor::targets::{network_of, own_network},
    text::Untrusted,
};

/// Name of the hidden verb that becomes the script of an exercise.
pub const SERVER_VERB: &str = "exercise-server";
/// Port of the server.
pub const PORT: u16 = 8080;
/// Time that a server has to end, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// Time that the server has to listen before the customers come.
const OPENS_WITHIN: Duration = Duration::from_secs(5);
/// Time within which the sensor must have seen an exchange end.
const SEEN_WITHIN: Duration = Duration::from_secs(3);
/// Longest time without a look at what has happened.
const LOOK: Duration = Duration::from_millis(100);

/// A request to a running exercise.
#[derive(Clone, Debug)]
pub enum Order {
    /// End the server and start it by its script.
    Restart,
    /// Make a change, and restart.
    Change(Change),
    /// End the server.
    StopServer,
    /// End everything.
    End,
}

/// News of a running exercise.
#[derive(Clone, Debug)]
pub enum News {
    /// A word on what is being done.
    Told(Untrusted),
    /// It has begun: the work folder, and an older script that was put aside.
    Begun {
        /// The folder.
        folder: PathBuf,
        /// The older script.
        kept: Option<PathBuf>,
    },
    /// A second has passed.
    Second(Box<Second>),
    /// A line of the server.
    ServerSaid(Untrusted),
    /// It cannot go on.
    Failed(Untrusted),
}

/// A running exercise. Ends with everything that it has started when this is dropped.
pub struct Live {
    orders: Sender<Incoming>,
    keeper: Option<JoinHandle<()>>,
}

impl Live {
    /// Begins. News come from a thread of their own.
    pub fn begin(
        exercise: &Exercise,
        folder: Option<PathBuf>,
        news: impl Fn(News) + Send + 'static,
    ) -> Self {
        let (orders, incoming) = mpsc::channel();
        let (exercise, sender) = (exercise.clone(), orders.clone());
        // A network namespace is a thread's: the others stay where they are.
        let keeper = thread::spawn(move || {
            if let Err(error) = keep(&exercise, folder, (sender, incoming), &news) {
                news(News::Failed(format!("{error:#}").into()));
            }
        });
        Self { orders, keeper: Some(keeper) }
    }

    /// Sends an order. One that has ended takes none.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(Incoming::Order(order));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(keeper) = self.keeper.take() {
            // It has told of what went wrong.
            let _ = keeper.join();
        }
    }
}

/// Whatever happens to the keeper.
enum Incoming {
    Order(Order),
    Shop(String),
    Customers(String),
}

type Channel = (Sender<Incoming>, Receiver<Incoming>);

/// Makes the network, runs all in it, and takes it apart.
fn keep(
    exercise: &Exercise,
    folder: Option<PathBuf>,
    (sender, incoming): Channel,
    news: &dyn Fn(News),
) -> anyhow::Result<()> {
    own_network::enter().context("cannot make a network namespace for the exercise")?;
    for (name, value) in &exercise.plan.sysctls {
        set(name, value)?;
    }
    let group = if exercise.plan.quota {
        Some(Group::make().context(
            "this exercise limits the server's processor time, which needs a cgroup with the \
             controller `cpu`, and here none can be made; the others of `learn --fix --list` \
             need none",
        )?)
    } else {
        None
    };
    let group_path = group.as_ref().map(Group::path);
    let place = Place::make(exercise, folder.as_deref(), group_path)
        .context("cannot write the work folder")?;
    news(News::Told("loading the probes into the kernel".into()));
    let watch = Watch::begin()?;
    let session = Session {
        name: exercise.name.clone(),
        pid: std::process::id(),
        tid: rustix::thread::gettid().as_raw_nonzero().get(),
        folder: place.folder().to_owned(),
    };
    session.save().context("cannot note the exercise in the state folder")?;
    let kept = place.kept.clone();
    news(News::Begun { folder: place.folder().to_owned(), kept });
    let mut keeper = Keeper { exercise, place, sender, news, watch, server: None, customers: None };
    let outcome = keeper.run(&incoming);
    keeper.end_server();
    session.forget();
    outcome
}

/// The thread that watches.
struct Watch {
    states: Receiver<State>,
    /// Held: the watch ends when it is dropped.
    _end: Sender<()>,
    state: State,
    grew: Instant,
}

impl Watch {
    fn begin() -> anyhow::Result<Self> {
        let (attached, is_attached) = mpsc::channel();
        let (sender, states) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        // It inherits the network.
        let watcher = thread::spawn(move || watcher::watch(PORT, &attached, &sender, &ended));
        if is_attached.recv().is_err() {
            match watcher.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("the watch was cut short"),
            }
        }
        Ok(Self { states, _end: end, state: State::default(), grew: Instant::now() })
    }

    /// Takes the newest state; false once the watch has ended.
    fn look(&mut self) -> bool {
        loop {
            match self.states.try_recv() {
                Ok(state) => {
                    if state.exchanges > self.state.exchanges {
                        self.grew = Instant::now();
                    }
                    self.state = state;
                }
                Err(mpsc::TryRecvError::Empty) => return true,
                Err(mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }
}

/// Runs server and customers, in the exercise's network.
struct Keeper<'a> {
    exercise: &'a Exercise,
    place: Place,
    sender: Sender<Incoming>,
    news: &'a dyn Fn(News),
    watch: Watch,
    server: Option<Process>,
    customers: Option<Process>,
}

impl Keeper<'_> {
    fn run(&mut self, incoming: &Receiver<Incoming>) -> anyhow::Result<()> {
        self.start_server()?;
        let begun = Instant::now();
        loop {
            match incoming.recv_timeout(LOOK) {
                Ok(Incoming::Order(Order::End)) | Err(RecvTimeoutError::Disconnected) => {
                    return Ok(());
                }
                Ok(Incoming::Order(order)) => self.follow(order)?,
                Ok(Incoming::Shop(line)) => {
                    if line.starts_with("listening on ") {
                        self.let_customers_come()?;
                    }
                    (self.news)(News::ServerSaid(line.into()));
                }
                Ok(Incoming::Customers(line)) => self.tick(&line)?,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !self.watch.look() {
                bail!("the watch has ended");
            }
            self.notice_ends()?;
            if begun.elapsed() >= OPENS_WITHIN {
                self.let_customers_come()?;
            }
        }
    }

    fn tell(&self, text: String) {
        (self.news)(News::Told(text.into()));
    }

    fn follow(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Restart => self.restart(),
            Order::StopServer => {
                self.end_server();
                Ok(())
            }
            Order::Change(change) => {
                let path = self.place.start();
                let script = fs::read_to_string(&path)?;
                let edited = change.edited(&script).context("start.sh was changed already")?;
                fs::write(&path, edited)?;
                for (name, value) in &change.sysctls {
                    set(name, value)?;
                }
                self.restart()
            }
            Order::End => Ok(()),
        }
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.end_server();
        self.start_server()
    }

    fn start_server(&mut self) -> anyhow::Result<()> {
        self.tell("starting the shop by start.sh".to_owned());
        let mut command = Command::new("/proc/self/exe");
        command.arg(SERVER_VERB).arg(self.place.start()).current_dir(self.place.folder());
        // Ctrl-C is for us.
        command.process_group(0).stdin(Stdio::null());
        let sender = self.sender.clone();
        self.server = Some(Process::start(command, "the shop", move |line| {
            let _ = sender.send(Incoming::Shop(line));
        })?);
        Ok(())
    }

    /// Ends the server that was started here, and one that the learner has started in this network.
    fn end_server(&mut self) {
        if let Some(server) = self.server.take() {
            server.end();
        }
        let _ = self.watch.look();
        if let Some(pid) = self.watch.state.server.take()
            && network_of(pid).is_some()
            && network_of(pid) == own_network()
            && let Some(pid) = Pid::from_raw(pid as i32)
        {
            // It may be gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn let_customers_come(&mut self) -> anyhow::Result<()> {
        if self.customers.is_some() {
            return Ok(());
        }
        self.tell("the customers are coming".to_owned());
        let mut command = Command::new("/proc/self/exe");
        command.args([PROCESS_VERB, "customers", "--", "customers", "--target"]);
        command.arg(format!("127.0.0.1:{PORT}")).args(self.exercise.plan.load.split_whitespace());
        command.process_group(0).stdin(Stdio::piped());
        let sender = self.sender.clone();
        let mut customers = Process::start(command, "the customers", move |line| {
            let _ = sender.send(Incoming::Customers(line));
        })?;
        if let Some(stdin) = &mut customers.stdin {
            stdin.write_all(b"go\n")?;
        }
        self.customers = Some(customers);
        Ok(())
    }

    fn tick(&mut self, line: &str) -> anyhow::Result<()> {
        let Some(tick) = Tick::parse(line) else {
            bail!("the customers said: {}", Untrusted::from(line).for_terminal());
        };
        let _ = self.watch.look();
        let Watch { state, grew, .. } = &self.watch;
        let seen = grew.elapsed() < SEEN_WITHIN;
        let second = Second { tick, findings: state.findings.clone(), server: state.server, seen };
        (self.news)(News::Second(Box::new(second)));
        Ok(())
    }

    fn notice_ends(&mut self) -> anyhow::Result<()> {
        if let Some(server) = &mut self.server
            && let Some(status) = server.ended()?
        {
            self.server = None;
            self.tell(format!("the shop has ended ({status})"));
        }
        if let Some(customers) = &mut self.customers
            && let Some(status) = customers.ended()?
        {
            bail!("the customers have ended ({status})");
        }
        Ok(())
    }
}

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.end_server();
        if let Some(customers) = self.customers.take() {
            customers.end();
        }
    }
}

/// Sets a sysctl of the calling thread's network namespace.
fn set(name: &str, value: &str) -> anyhow::Result<()> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value).with_context(|| {
        format!(
            "this exercise sets {name} in its own network namespace, and cannot write {path} here"
        )
    })
}

/// A process whose lines are passed on.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    fn start(
        mut command: Command,
        name: &str,
        pass: impl Fn(String) + Clone + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdin = child.stdin.take();
        if let Some(out) = child.stdout.take() {
            forward(out, pass.clone());
        }
        if let Some(errors) = child.stderr.take() {
            forward(errors, pass);
        }
        Ok(Self { child, stdin })
    }

    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends it with its children: first it is asked to.
    fn end(mut self) {
        let group = Pid::from_raw(self.child.id() as i32);
        let begun = Instant::now();
        for signal in [Signal::TERM, Signal::KILL] {
            if let Some(group) = group {
                // It may be gone already.
                let _ = kill_process_group(group, signal);
            }
            while begun.elapsed() < GRACE || signal == Signal::KILL {
                match self.child.try_wait() {
                    Ok(None) => thread::sleep(LOOK / 5),
                    _ => return,
                }
            }
        }
    }
}

fn forward(from: impl io::Read + Send + 'static, pass: impl Fn(String) + Send + 'static) {
    thread::spawn(move || {
        let mut lines = BufReader::new(from).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            pass(String::from_utf8_lossy(&line).into_owned());
        }
    });
}
