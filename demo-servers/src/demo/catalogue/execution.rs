//! Execution patterns: who accepts, who reads, who answers.

use super::{processes, threads};
use crate::demo::{Demo, Expect};

const THREAD_PER_CONNECTION: Option<Expect> = threads("thread-per-connection", "blocking");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "thread-per-connection",
        title: "A thread for each connection",
        lectures: &[37],
        about: "One thread accepts, and starts a thread for each connection. The code is simple, \
                and nothing is shared by accident; a thousand idle connections are a thousand \
                threads.",
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
        about: "The oldest pattern, which PostgreSQL still uses: a crash takes one connection with \
                it, and each connection costs a fork.",
        expect: processes("process-per-connection", "blocking"),
        server: &["process-per-connection"],
        client: &["requests"],
        variations: &[("--requests 1", "a fork for each request")],
    },
    Demo {
        name: "prefork",
        title: "Processes forked in advance, all blocked in accept on one socket",
        lectures: &[37, 44],
        about: "Apache's first pattern. The kernel wakes one process for a connection, and that \
                process serves it to its end. As many connections are served at once as there are \
                processes; the next one waits in the accept queue.",
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
        about: "There are four workers for each processor, and each answer takes 5 ms of \
                computing. Requests that have been read wait for a CPU: more workers make nothing \
                faster once the processors are busy.",
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
        about: "The kernel finishes the handshakes by itself: clients are connected, and wait in \
                the accept queue until the application calls accept. Here it does so after 100 ms \
                each time.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--accept-delay=100ms"],
        client: &["requests", "--requests=5"],
        variations: &[
            ("--accept-delay 0ms", "nobody waits"),
            ("--backlog 2", "the queue is full, and SYNs are dropped"),
        ],
    },
    Demo {
        name: "tiny-backlog",
        title: "A backlog that is too small",
        lectures: &[38],
        about: "listen(fd, 2) makes room for three connections. While the acceptor is away for 50 \
                ms, the kernel drops the SYNs of the others; the clients try again after a second.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--backlog=2", "--accept-delay=50ms"],
        client: &["requests", "--clients=16", "--requests=2"],
        variations: &[("--backlog 128", "room for all")],
    },
    Demo {
        name: "never-accepts",
        title: "A server that listens and never accepts",
        lectures: &[38],
        about: "Connecting is the kernel's work. With a backlog of 2, three clients believe that \
                they are connected, and may even send, although the server never runs a line of \
                code for them.",
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
                kernel received and acknowledged them long before.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--sleep-before-read=50ms"],
        client: &["requests", "--request-size=20000"],
        variations: &[("--request-size 500000", "the window closes, and the sender has to stop")],
    },
    Demo {
        name: "small-reads",
        title: "A server that reads 16 bytes at a time",
        lectures: &[39],
        about: "One request of 4000 bytes arrives at once and takes 250 reads, each of them a \
                system call.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--read-size=16"],
        client: &["requests", "--request-size=4000"],
        variations: &[("--read-size 4096", "one read")],
    },
    Demo {
        name: "blocked-writer",
        title: "A write that blocks because the client does not read",
        lectures: &[39],
        about: "Answers of 8 MB go to clients that begin to read after 200 ms. The client's \
                receive buffer fills, its window closes, the server's send buffer fills, and write \
                blocks.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--response=8000000"],
        client: &["requests", "--clients=2", "--slow-read=200ms"],
        variations: &[("--response 20000", "the buffers take it all, and write returns at once")],
    },
    Demo {
        name: "listener-acceptor-reader",
        title: "One process listens, a thread of another accepts, others read",
        lectures: &[40],
        about: "Listening, accepting and reading are three roles. They need not be those of one \
                thread, nor of one process: a socket belongs to whoever holds its descriptor.",
        expect: threads("acceptor-plus-readers", "event-loop"),
        server: &["acceptor-plus-readers", "--apart", "--workers=2"],
        client: &["requests"],
        variations: &[],
    },
    Demo {
        name: "single-thread",
        title: "One thread for everything: it accepts, reads and answers",
        lectures: &[41],
        about: "There is one event loop for the listener and all connections, as in Node.js and \
                Redis. Nothing has to be locked, but whatever takes long holds up everybody.",
        expect: threads("single-thread", "event-loop"),
        server: &["single-thread"],
        client: &["requests"],
        variations: &[
            ("--work 5ms", "each request waits for all those before it"),
            ("--sleep 5ms", "the same"),
        ],
    },
    Demo {
        name: "single-thread-blocking",
        title: "One thread for everything, one connection after another",
        lectures: &[41],
        about: "Without an event loop, the thread serves one connection to its end. Meanwhile the \
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
                loop (as in memcached). The connections are dealt out evenly, but the work need \
                not be even.",
        expect: threads("acceptor-plus-readers", "event-loop"),
        server: &["acceptor-plus-readers"],
        client: &["requests"],
        variations: &[
            ("--uneven", "nine of ten connections to the first reader"),
            ("--work 2ms", "busy readers"),
        ],
    },
    Demo {
        name: "message-load-balancing",
        title: "One thread accepts and reads, workers answer",
        lectures: &[43],
        about: "The reader takes messages from all connections and hands each to whichever worker \
                is free. So the work is even although the connections are not. All bytes go \
                through one thread.",
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
        about: "Four threads block in accept, and each serves what it took. The kernel wakes one \
                at a time, in turn.",
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
                wakes all of them for a connection; those that are late find nothing to accept \
                (EAGAIN).",
        expect: processes("multiple-acceptors", "event-loop"),
        server: &["acceptors", "--mode=epoll", "--processes", "--workers=8"],
        client: &["requests", "--requests=1"],
        variations: &[
            ("--mode exclusive", "EPOLLEXCLUSIVE wakes one"),
            ("--mode blocking", "accept itself wakes one, too"),
        ],
    },
    Demo {
        name: "epoll-exclusive",
        title: "EPOLLEXCLUSIVE wakes one, and often the same one",
        lectures: &[44],
        about: "There is no herd, but the kernel takes the first waiter that is free: the last in \
                line get few connections, or none.",
        expect: processes("multiple-acceptors", "event-loop"),
        server: &["acceptors", "--mode=exclusive", "--processes"],
        client: &["requests"],
        variations: &[
            ("--work 2ms", "busy workers leave some to the others"),
            ("--mode reuseport", "an even distribution"),
        ],
    },
    Demo {
        name: "socket-sharding",
        title: "A socket for each event loop (SO_REUSEPORT)",
        lectures: &[45],
        about: "Four threads each have a listening socket of their own on the same port, and an \
                event loop. The kernel chooses the socket by a hash of the addresses. There is no \
                shared queue and no herd, but nobody helps a slow thread.",
        expect: threads("socket-sharding", "event-loop"),
        server: &["acceptors", "--mode=reuseport"],
        client: &["requests", "--clients=16"],
        variations: &[
            ("--processes", "as nginx does with `reuseport`"),
            ("--workers 1x", "an event loop for each processor"),
            ("--uneven", "the queue of a slow thread grows, and the others do not see it"),
        ],
    },
    Demo {
        name: "idempotency",
        title: "A request that is sent twice and must be carried out once",
        lectures: &[46],
        about: "Every fifth answer comes later than the client waits, so the client sends the \
                order again. The kernel delivers both, as they are different bytes of different \
                connections. A key in the order tells the server.",
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
                unacknowledged (Nagle). The client has nothing to send, so its kernel delays the \
                ACK: 40 ms for nothing.",
        expect: THREAD_PER_CONNECTION,
        server: &["thread-per-connection", "--writes=4,200"],
        client: &["requests", "--clients=5", "--requests=0", "--pause=5ms"],
        variations: &[
            ("--nodelay", "TCP_NODELAY: no Nagle"),
            ("--out writev", "both pieces in one call"),
            ("--cork lift", "TCP_CORK around both"),
            ("--out sendmsg", "one call as well"),
            ("--out send --more", "MSG_MORE with the first piece"),
            ("--quickack", "the client acknowledges at once"),
        ],
    },
];
