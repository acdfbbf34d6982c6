//! The servers' protocols: the bytes of a request, and the end of an answer.

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

/// A request to a server. Not every server can do everything.
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
    /// One for which it asks an upstream where nothing listens.
    Refused,
    /// One for which it asks an upstream that accepts and never answers; it gives up after half a
    /// second.
    Silent,
    /// One for which it asks an upstream whose accept queue is full, so that connecting hangs; it
    /// gives up after half a second.
    Hanging,
    /// An answer of so many bytes.
    Big(usize),
    /// A first piece at once, then so many more, each after a pause of so many ms.
    Stream(u64, u64),
    /// A head and a body, each written on its own with Nagle's algorithm on.
    Split,
    /// An answer under a cork that is never taken off.
    Cork,
    /// 100 kB at once, and then the end of the connection, though a body of the request is still on
    /// its way.
    Unread,
}

impl Ask {
    /// Returns the HTTP path that asks for it, and the query.
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

/// The end of an answer, and the server's own time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its bytes.
    pub(crate) length: usize,
    /// Time from the request to the answer by the server's clock, µs; `None` if the answer does not
    /// say.
    pub(crate) took_us: Option<u64>,
    /// Whether the server announces that it closes afterwards.
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
    /// Returns the first bytes of a connection, which are answered; empty where the protocol needs
    /// none.
    pub(crate) fn greeting(self) -> &'static [u8] {
        match self {
            Self::Postgresql => postgresql::STARTUP,
            _ => b"",
        }
    }

    /// Returns the request that stores what [`Ask::Big`] asks for; empty where nothing is to be
    /// stored.
    pub(crate) fn prime(self, bytes: usize) -> Vec<u8> {
        match self {
            Self::Memcached => memcached::store(bytes),
            Self::Redis => redis::store(bytes),
            _ => Vec::new(),
        }
    }

    /// Returns whether [`Ask::Compute`] asks for a time by the server's own clock, rather than for
    /// an amount of work.
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

    /// Parses the answer at the beginning of the received bytes; `None` if it is incomplete.
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

/// Returns the first place of these bytes after `from`.
fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// The value of `X-Took` in a head.
fn took_us(head: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    text.lines().find_map(|line| line.trim().strip_prefix("x-took:")?.trim().parse().ok())
}
