//! What the servers speak: how a request is put, and where an answer ends.

mod fastcgi;
mod http;
mod memcached;
mod postgresql;
mod redis;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Http,
    Redis,
    Postgresql,
    Memcached,
    FastCgi,
}

/// What a client can ask a server for. Not every server can do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An answer at once.
    Quick,
    /// One that takes so many milliseconds of a processor.
    Compute(u64),
    /// One for which the server sleeps so long, ms.
    Sleep(u64),
    /// One for which it asks an upstream that takes so long, ms.
    Call(u64),
    /// The same of an upstream where nothing listens.
    Refused,
    /// The same of one that accepts and never answers; it gives up after half a second.
    Silent,
    /// The same of one whose accept queue is full, so that connecting hangs; it gives up after half
    /// a second.
    Hanging,
    /// So many bytes.
    Big(usize),
    /// A first piece at once, then so many more, each after a pause of so many ms.
    Stream(u64, u64),
    /// A head and a body, each written on its own with Nagle's algorithm on.
    Split,
    /// An answer under a cork that is never taken off.
    Cork,
    /// 100 kB at once and the end of the connection, though a body of the request is on its way.
    Unread,
}

impl Ask {
    /// The path of HTTP that asks for it, and the query.
    pub(crate) fn path(self) -> (&'static str, String) {
        match self {
            Self::Quick => ("/quick", String::new()),
            Self::Compute(ms) => ("/compute", format!("ms={ms}")),
            Self::Sleep(ms) => ("/sleep", format!("ms={ms}")),
            Self::Call(ms) => ("/call", format!("ms={ms}")),
            Self::Refused => ("/refused", String::new()),
            Self::Silent => ("/silent", String::new()),
            Self::Hanging => ("/hang", String::new()),
            Self::Big(bytes) => ("/big", format!("bytes={bytes}")),
            Self::Stream(pieces, ms) => ("/stream", format!("n={pieces}&ms={ms}")),
            Self::Split => ("/split", String::new()),
            Self::Cork => ("/cork", String::new()),
            Self::Unread => ("/unread", String::new()),
        }
    }
}

/// Where an answer ends, and what the server says of its own time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Bytes of it.
    pub(crate) length: usize,
    /// By the server's clock, from the request to the answer, µs; `None` where it does not say.
    pub(crate) took_us: Option<u64>,
    /// The server says that it closes after it.
    pub(crate) closes: bool,
}

impl Answer {
    fn of(length: usize) -> Self {
        Self { length, took_us: None, closes: false }
    }
}

/// Length of the body that goes with [`Ask::Unread`].
pub(crate) const UPLOAD: usize = 2_000_000;

impl Wire {
    /// What a connection begins with, and is answered; empty where the protocol needs none.
    pub(crate) fn greeting(self) -> &'static [u8] {
        match self {
            Self::Postgresql => postgresql::STARTUP,
            _ => b"",
        }
    }

    /// What is to be stored before [`Ask::Big`] can be asked for; empty where nothing is.
    pub(crate) fn prime(self, bytes: usize) -> Vec<u8> {
        match self {
            Self::Memcached => memcached::store(bytes),
            Self::Redis => redis::store(bytes),
            _ => Vec::new(),
        }
    }

    /// Whether [`Ask::Compute`] asks for a time by the server's own clock, and not for some work.
    pub(crate) fn computes_by_clock(self) -> bool {
        !matches!(self, Self::Postgresql | Self::Redis)
    }

    /// The bytes that ask for it.
    pub(crate) fn request(self, ask: Ask) -> Vec<u8> {
        match self {
            Self::Http => http::request(ask),
            Self::Redis => redis::request(ask),
            Self::Postgresql => postgresql::request(ask),
            Self::Memcached => memcached::request(ask),
            Self::FastCgi => fastcgi::request(ask),
        }
    }

    /// The answer at the beginning of what came; `None` while it is not whole.
    pub(crate) fn answer(self, came: &[u8]) -> Option<Answer> {
        match self {
            Self::Http => http::answer(came),
            Self::Redis => redis::value(came, 0).map(Answer::of),
            Self::Postgresql => postgresql::answer(came),
            Self::Memcached => memcached::answer(came),
            Self::FastCgi => fastcgi::answer(came),
        }
    }
}

/// Where the first of these bytes begin, from a place on.
fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// The value of `X-Took` in a head.
fn took_us(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    text.lines().find_map(|line| line.trim().strip_prefix("x-took:")?.trim().parse().ok())
}
