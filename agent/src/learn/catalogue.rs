//! The lessons there are.

use super::{
    check::Check,
    checks::{
        accept_queue, acceptors, broker, congestion, cpu, datagrams, durability, echo, handshake,
        https, idempotency, layers, map, nagle, opening, patterns, polling, pool, processes,
        protocol, proxy, pushing, reading, routes, sessions, sidecar, syn_queue, talk, waiting,
    },
    lesson::{Lesson, LessonError},
    recording::Recording,
};

/// A lesson in this program: its text, its code, and a recording for each round.
#[derive(Debug)]
pub struct CatalogueEntry {
    /// Its name on the command line.
    pub slug: &'static str,
    /// Its Markdown.
    pub text: &'static str,
    /// Code that runs it and measures.
    pub check: &'static Check,
    /// A recording of each round.
    pub recordings: &'static [Recording],
}

impl CatalogueEntry {
    /// Reads the lesson.
    ///
    /// # Errors
    /// There is none: a test reads every lesson.
    pub fn lesson(&self) -> Result<Lesson, LessonError> {
        Lesson::parse(self.slug, self.text, self.check)
    }
}

/// The recording of a round.
macro_rules! recording {
    ($slug:literal, $round:literal) => {
        Recording(include_bytes!(concat!(env!("OUT_DIR"), "/", $slug, "-", $round, ".bsrec")))
    };
}

/// A lesson by its name; the numbers are those of the rounds with a recording.
macro_rules! lesson {
    ($slug:literal, $check:expr, [$($round:literal),*]) => {
        CatalogueEntry {
            slug: $slug,
            text: include_str!(concat!("../../lessons/", $slug, ".md")),
            check: &$check,
            recordings: &[$(recording!($slug, $round)),*],
        }
    };
}

/// Every lesson, in the order of the lectures.
static LESSONS: &[CatalogueEntry] = &[
    lesson!("who-speaks-first", opening::CHECK, [1, 2]),
    lesson!("request-response", talk::REQUESTS, [1, 2, 3]),
    lesson!("async", talk::JOBS, [1, 2, 3]),
    lesson!("blocking", waiting::CHECK, [1, 2, 3]),
    lesson!("durability", durability::CHECK, [1, 2, 3, 4]),
    lesson!("push", pushing::CHECK, [1, 2, 3]),
    lesson!("short-polling", polling::CHECK, [1, 2, 3]),
    lesson!("long-polling", polling::CHECK, [1, 2]),
    lesson!("sse", polling::CHECK, [1, 2, 3]),
    lesson!("pub-sub", broker::CHECK, [1, 2]),
    lesson!("multiplexing", pool::CHECK, [1, 2, 3, 4, 5]),
    lesson!("state", sessions::CHECK, [1, 2, 3, 4]),
    lesson!("sidecar", sidecar::CHECK, [1, 2, 3]),
    lesson!("promises", echo::PROMISES, [1, 2, 3]),
    lesson!("properties", echo::COSTS, [1, 2, 3, 4, 5]),
    lesson!("layers", layers::CHECK, [1, 2, 3, 4]),
    lesson!("routes", routes::CHECK, [1, 2, 3, 4]),
    lesson!("udp", datagrams::UDP, [1, 2, 3, 4]),
    lesson!("tcp", protocol::CHECK, [1, 2, 3]),
    lesson!("congestion", congestion::CHECK, [1, 2, 3, 4]),
    lesson!("tls", handshake::CHECK, [1, 2, 3]),
    lesson!("http1", protocol::CHECK, [1, 2, 3]),
    lesson!("websocket", protocol::CHECK, [1, 2, 3]),
    lesson!("http2", protocol::CHECK, [1, 2]),
    lesson!("http3", datagrams::HTTP3, [1, 2, 3, 4]),
    lesson!("grpc", protocol::CHECK, [1, 2, 3]),
    lesson!("webrtc", datagrams::WEBRTC, [1, 2, 3]),
    lesson!("https", https::CHECK, [1, 2, 3, 4]),
    lesson!("tls12", https::CHECK, [1, 2, 3]),
    lesson!("tls13", https::CHECK, [1, 2, 3]),
    lesson!("quic", https::CHECK, [1, 2]),
    lesson!("fast-open", https::CHECK, [1, 2]),
    lesson!("early-data", https::CHECK, [1, 2, 3]),
    lesson!("quic-0rtt", https::CHECK, [1, 2]),
    lesson!("execution", map::CHECK, [1, 2]),
    lesson!("cpu", cpu::CHECK, [1, 2, 3, 4]),
    lesson!("processes", processes::CHECK, [1, 2, 3]),
    lesson!("accept-queue", accept_queue::CHECK, [1, 2]),
    lesson!("syn-queue", syn_queue::CHECK, [1, 2, 3]),
    lesson!("socket-data", reading::CHECK, [1, 2]),
    lesson!("three-roles", patterns::HANDS, [1, 2, 3, 4]),
    lesson!("one-thread", patterns::CROWD, [1, 2, 3]),
    lesson!("readers", patterns::CROWD, [1, 2]),
    lesson!("messages", patterns::CROWD, [1, 2, 3, 4]),
    lesson!("acceptors", acceptors::CHECK, [1, 2, 3]),
    lesson!("sharding", acceptors::CHECK, [1, 2]),
    lesson!("idempotency", idempotency::CHECK, [1, 2]),
    lesson!("nagle", nagle::CHECK, [1, 2, 3, 4]),
    lesson!("proxies", proxy::PROXY, [1, 2, 3]),
    lesson!("balancers", proxy::BALANCER, [1, 2, 3]),
];

/// Every lesson, in the order of the lectures.
pub fn all() -> &'static [CatalogueEntry] {
    LESSONS
}

/// The lesson of that name, or of that lecture.
pub fn find(name: &str) -> Option<&'static CatalogueEntry> {
    let lecture = name.parse::<u8>().ok();
    LESSONS.iter().find(|entry| entry.slug == name || goes_with(entry, lecture))
}

fn goes_with(entry: &CatalogueEntry, lecture: Option<u8>) -> bool {
    let Some(lecture) = lecture else { return false };
    matches!(entry.lesson(), Ok(lesson) if lesson.lectures.contains(&lecture))
}
