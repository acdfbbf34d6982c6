//! Execution patterns: who accepts, who reads, who answers.

use super::{processes, threads};
use crate::demo::{Demo, Expect};

const THREAD_PER_CONNECTION: Option<Expect> = threads("thread-per-connection", "blocking");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "thread-per-connection",
        title: "A thread for each connection",
        lectures: &[37],
        about: "One thread accepts and starts a thread for each connection. Simple code, and \
                nothing shared by accident; a thousand idle connections are a thousand threads.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection"],
        client: &["requests"],
        variations: &[
            ("--clients 200", "as many threads"),
            ("--work 2ms", "threads that compete for the processors"),
        ],
    },
    Demo {
        name: "process-per-connection",
        title: "A process for each connection, forked after the accept",
        lectures: &[37],
        about: "The oldest pattern, still PostgreSQL's: a crash takes one connection with it, and \
                each connection costs a fork.",
        expect: processes("process-per-connection", "blocking"),
        server: &["process-per-connection"],
        client: &["requests"],
        variations: &[("--requests 1", "a fork for each request")],
    },
    Demo {
        name: "prefork",
        title: "Processes forked in advance, all blocked in accept on one socket",
        lectures: &[37, 44],
        about: "Apache's first pattern. The kernel wakes one process for a connection, which \
                serves it to its end. As many connections are served at once as there are \
                processes; the next waits in the accept queue.",
        expect: processes("multiple-acceptors", "blocking"),
        server: &["acceptors", "--processes"],
        client: &["requests"],
        variations: &[
            ("--workers 2", "longer waits in the accept queue"),
            ("--workers 8", "no waits"),
        ],
    },
    Demo {
        name: "cpu-competition",
        title: "More busy processes than processors",
        lectures: &[37],
        about: "Four workers for each processor, and each answer takes 5 ms of computing. Requests \
                that were read wait for a CPU: more workers make nothing faster once the \
                processors are busy.",
        expect: processes("multiple-acceptors", "blocking"),
        server: &["acceptors", "--processes", "--workers=4x", "--work=5ms"],
        client: &["requests", "--clients=4x", "--pause=0ms"],
        variations: &[
            ("--workers 1x", "the same throughput"),
            ("--sleep 5ms --work 0ms", "waiting is not competing"),
        ],
    },
    Demo {
        name: "slow-acceptor",
        title: "An acceptor that is late",
        lectures: &[38],
        about: "The kernel finishes the handshakes by itself: clients are connected and wait in \
                the accept queue until the application calls accept, here after 100 ms each time.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--accept-delay=100ms"],
        client: &["requests", "--requests=5"],
        variations: &[
            ("--accept-delay 0ms", "nobody waits"),
            ("--backlog 2", "the queue is full, SYNs are dropped"),
        ],
    },
    Demo {
        name: "tiny-backlog",
        title: "A backlog that is too small",
        lectures: &[38],
        about: "listen(fd, 2) makes room for three connections. While the acceptor is away for 50 \
                ms the kernel drops the SYNs of the others; clients try again after a second.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--backlog=2", "--accept-delay=50ms"],
        client: &["requests", "--clients=16", "--requests=2"],
        variations: &[("--backlog 128", "room for all")],
    },
    Demo {
        name: "never-accepts",
        title: "A server that listens and never accepts",
        lectures: &[38],
        about: "Connecting is the kernel's work: with a backlog of 2, three clients believe that \
                they are connected to a server that never runs a line for them, and may even send.",
        expect: None,
        server: &["never-accept", "--backlog=2"],
        client: &["requests", "--clients=10", "--timeout=2s"],
        variations: &[("--backlog 5", "six are connected")],
    },
    Demo {
        name: "slow-reader",
        title: "A server that reads late",
        lectures: &[39],
        about: "Requests lie in the receive queue for 50 ms before the application reads them. The \
                kernel has received and acknowledged them long ago.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--sleep-before-read=50ms"],
        client: &["requests", "--request-size=20000"],
        variations: &[("--request-size 500000", "the window closes, the sender has to stop")],
    },
    Demo {
        name: "small-reads",
        title: "A server that reads 16 bytes at a time",
        lectures: &[39],
        about: "One request of 4000 bytes arrives at once and takes 250 reads, each a system call.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--read-size=16"],
        client: &["requests", "--request-size=4000"],
        variations: &[("--read-size 4096", "one read")],
    },
    Demo {
        name: "blocked-writer",
        title: "A write that blocks since the client does not read",
        lectures: &[39],
        about: "Answers of 8 MB to clients that begin to read after 200 ms: the client's receive \
                buffer fills, its window closes, the server's send buffer fills, and write blocks.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--response=8000000"],
        client: &["requests", "--clients=2", "--slow-read=200ms"],
        variations: &[("--response 20000", "the buffers take it all, write returns at once")],
    },
    Demo {
        name: "listener-acceptor-reader",
        title: "One process listens, a thread of another accepts, others read",
        lectures: &[40],
        about: "Listening, accepting and reading are three roles, and need not be one thread's, \
                nor one process's: a socket belongs to whoever holds its descriptor.",
        expect: threads("acceptor-plus-readers", "event-loop"),
        server: &["acceptor-plus-readers", "--apart", "--workers=2"],
        client: &["requests"],
        variations: &[],
    },
    Demo {
        name: "single-thread",
        title: "One thread for all: accepts, reads and answers",
        lectures: &[41],
        about: "One event loop for the listener and all connections, as in Node.js and Redis. \
                Nothing to lock; whatever takes long holds up everybody.",
        expect: threads("single-thread", "event-loop"),
        server: &["single-thread"],
        client: &["requests"],
        variations: &[
            ("--work 5ms", "each request waits for all before it"),
            ("--sleep 5ms", "likewise"),
        ],
    },
    Demo {
        name: "single-thread-blocking",
        title: "One thread for all, one connection after another",
        lectures: &[41],
        about: "Without an event loop the thread serves one connection to its end; meanwhile the \
                others wait in the accept queue.",
        expect: threads("single-thread", "blocking"),
        server: &["single-thread", "--blocking"],
        client: &["requests", "--clients=4"],
        variations: &[("--requests 100", "a client that stays keeps all others out")],
    },
    Demo {
        name: "acceptor-plus-readers",
        title: "One thread accepts, others read and answer",
        lectures: &[42],
        about: "The acceptor hands each connection to one of four reader threads, each an event \
                loop (memcached). Connections are shared out evenly, which need not be even work.",
        expect: threads("acceptor-plus-readers", "event-loop"),
        server: &["acceptor-plus-readers"],
        client: &["requests"],
        variations: &[
            ("--uneven", "nine connections of ten to the first reader"),
            ("--work 2ms", "busy readers"),
        ],
    },
    Demo {
        name: "message-load-balancing",
        title: "One thread accepts and reads, workers answer",
        lectures: &[43],
        about: "The reader takes messages from all connections and hands each to whichever worker \
                is free: work is even even if connections are not. All bytes go through one \
                thread.",
        expect: threads("message-load-balancing", "event-loop"),
        server: &["message-load-balancing"],
        client: &["requests"],
        variations: &[
            ("--clients 1", "one connection, all workers"),
            ("--sleep 5ms", "workers that wait"),
        ],
    },
    Demo {
        name: "multiple-acceptors",
        title: "Threads that all accept on one socket",
        lectures: &[44],
        about: "Four threads blocked in accept; each serves what it took. The kernel wakes one at \
                a time, in turn.",
        expect: threads("multiple-acceptors", "blocking"),
        server: &["acceptors"],
        client: &["requests"],
        variations: &[("--mode epoll", "event loops: all wake for each connection")],
    },
    Demo {
        name: "thundering-herd",
        title: "All wake for each connection, one gets it",
        lectures: &[44],
        about: "Eight processes wait for one socket, each with an epoll of its own. The kernel \
                wakes them all for a connection; those that are late find nothing to accept \
                (EAGAIN).",
        expect: processes("multiple-acceptors", "event-loop"),
        server: &["acceptors", "--mode=epoll", "--processes", "--workers=8"],
        client: &["requests", "--requests=1"],
        variations: &[
            ("--mode exclusive", "EPOLLEXCLUSIVE wakes one"),
            ("--mode blocking", "so does accept itself"),
        ],
    },
    Demo {
        name: "epoll-exclusive",
        title: "EPOLLEXCLUSIVE wakes one, and often the same one",
        lectures: &[44],
        about: "No herd, but the kernel takes the first waiter that is free: the last to wait get \
                few connections, or none.",
        expect: processes("multiple-acceptors", "event-loop"),
        server: &["acceptors", "--mode=exclusive", "--processes"],
        client: &["requests"],
        variations: &[
            ("--work 2ms", "busy workers leave some to the others"),
            ("--mode reuseport", "even"),
        ],
    },
    Demo {
        name: "socket-sharding",
        title: "A socket for each event loop (SO_REUSEPORT)",
        lectures: &[45],
        about: "Four threads, each with a listening socket of its own on the same port and an \
                event loop. The kernel chooses the socket by a hash of the addresses: no shared \
                queue, no herd; nobody helps a slow one.",
        expect: threads("socket-sharding", "event-loop"),
        server: &["acceptors", "--mode=reuseport"],
        client: &["requests", "--clients=16"],
        variations: &[
            ("--processes", "as nginx does with `reuseport`"),
            ("--workers 1x", "an event loop for each processor"),
            ("--uneven", "the queue of a slow one grows, the others do not see it"),
        ],
    },
    Demo {
        name: "idempotency",
        title: "A request that is sent twice and must be done once",
        lectures: &[46],
        about: "Each fifth answer comes later than the client waits, so it sends the order again. \
                The kernel delivers both, as they are different bytes of different connections. A \
                key in the order tells the server.",
        expect: THREAD_PER_CONNECTION,
        server: &["payments"],
        client: &["orders"],
        variations: &[("--no-key", "paid twice"), ("--late-every 0", "no retry, no difference")],
    },
    Demo {
        name: "nagle",
        title: "Nagle's algorithm meets a delayed ACK",
        lectures: &[47],
        about: "Answers are written in two pieces. The second is not sent while the first is \
                unacknowledged (Nagle), and the client has nothing to send, so its kernel delays \
                the ACK: 40 ms for nothing.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--writes=4,200"],
        client: &["requests", "--clients=5", "--requests=0", "--pause=5ms"],
        variations: &[
            ("--nodelay", "TCP_NODELAY: no Nagle"),
            ("--out writev", "both pieces in one call"),
            ("--cork lift", "TCP_CORK around both"),
            ("--out sendmsg", "one call, too"),
            ("--out send --more", "MSG_MORE with the first piece"),
            ("--quickack", "the client acknowledges at once"),
        ],
    },
];
