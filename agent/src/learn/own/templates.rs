//! The questions there are, and the facts that answer them.

use crate::{
    learn::fact::{LessonFacts, Spec},
    model::snapshot::Owner,
};

/// Facts of a server.
pub(super) const SPECS: &[Spec] = &[
    Spec::count("requests", "requests that it answered"),
    Spec::word("holder", "who held most of its requests' time"),
    Spec::time("held", "time that this one held of it"),
    Spec::time("whole", "time of all requests together"),
    Spec::time("took", "median time of a request"),
    Spec::time("longest", "time of the longest request"),
    Spec::time("app", "median time that the app held a request"),
    Spec::count("reads", "reads of a request, on average"),
    Spec::count("writes", "writes of an answer, on average"),
    Spec::count("connections", "connections that carried requests"),
    Spec::count("per_connection", "requests of a connection, on average"),
    Spec::count("hands", "threads that wrote answers"),
    Spec::count("threads", "threads that it has"),
    Spec::count("limit", "connections that the accept queue has room for"),
    Spec::count("somaxconn", "net.core.somaxconn"),
    Spec::count("depth", "most connections in the accept queue at once"),
    Spec::count("refused", "SYNs and ACKs that found the accept queue full"),
    Spec::count("accepted", "connections that it accepted"),
    Spec::time("queued", "median time in the accept queue"),
    Spec::time("queued_most", "longest time in the accept queue"),
    Spec::word("listener", "the address that it listens on"),
];

/// A question, with what has to be known to ask it.
pub(super) struct Template {
    /// The fact that answers it.
    pub(super) answer: &'static str,
    /// The answers offered, if they are words.
    pub(super) words: &'static [&'static str],
    /// The least that an answer can be.
    pub(super) least: f64,
    /// The fact that no answer can exceed.
    most: Option<&'static str>,
    /// The question.
    pub(super) question: &'static str,
    /// What was measured, and whose doing it is.
    pub(super) reveal: &'static [(Owner, &'static str)],
}

impl Template {
    const fn new(
        answer: &'static str,
        question: &'static str,
        reveal: &'static [(Owner, &'static str)],
    ) -> Self {
        Self { answer, words: &[], least: 0.0, most: None, question, reveal }
    }

    /// The largest answer that makes sense.
    pub(super) fn most(&self, facts: &LessonFacts) -> Option<f64> {
        facts.figure(self.most?)
    }
}

/// The questions, in the order in which they are asked.
pub(super) const TEMPLATES: &[Template] = &[
    Template::new(
        "limit",
        "How many connections does the accept queue of {listener} have room for?",
        &[
            (
                Owner::Kernel,
                "{limit}: the smaller of the backlog that listen() asked for and \
                 net.core.somaxconn, which is {somaxconn} here. One more than that gets in.",
            ),
            (Owner::App, "The backlog is the app's choice. Many frameworks have it as an option."),
        ],
    ),
    Template {
        most: Some("limit"),
        ..Template::new(
            "depth",
            "How many connections waited in that accept queue at once, at most?",
            &[
                (
                    Owner::App,
                    "{depth}, while {accepted} were accepted. What waits there has a finished \
                     handshake, and no line of the app has seen it.",
                ),
                (Owner::Kernel, "{refused} times the queue was full and the kernel dropped one."),
            ],
        )
    },
    Template::new(
        "queued",
        "How long did a connection wait there until accept(), in the middle (median)?",
        &[(
            Owner::App,
            "{queued}, and {queued_most} at most. How soon accept() is called is the app's doing, \
             as long as it gets a processor. Its own log begins after that.",
        )],
    ),
    Template {
        least: 1.0,
        ..Template::new(
            "per_connection",
            "How many requests does one connection carry, on average?",
            &[(
                Owner::Peer,
                "{per_connection}: {requests} requests came on {connections} connections. Whether a \
             connection is used again is for the client to decide, as long as the server lets it.",
            )],
        )
    },
    Template {
        least: 1.0,
        ..Template::new(
            "reads",
            "How many reads does the server need for one request, on average?",
            &[
                (Owner::App, "{reads}, and {writes} writes for the answer."),
                (
                    Owner::Kernel,
                    "Where a request ends is nothing that TCP knows. The app reads until it has all \
                 of it.",
                ),
            ],
        )
    },
    Template {
        least: 1.0,
        most: Some("threads"),
        ..Template::new(
            "hands",
            "How many of its threads wrote answers?",
            &[(Owner::App, "{hands} of the {threads} that it has.")],
        )
    },
    Template::new(
        "took",
        "How long does a request take in the middle (median), as the kernel sees it?",
        &[(
            Owner::App,
            "{took}. The app had a request for {app} in the middle: from its last read to its first \
             write. The longest request took {longest}.",
        )],
    ),
    Template {
        words: &["kernel", "app", "network", "peer"],
        ..Template::new(
            "holder",
            "Whose was most of the time of all these requests: the kernel's, the app's, the \
             network's or the peer's?",
            &[(
                Owner::Kernel,
                "Most of it was held by: {holder}, for {held} of {whole}. Every slice of it is in \
                 `backscope watch`.",
            )],
        )
    },
];
