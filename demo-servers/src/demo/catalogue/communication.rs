//! Communication patterns: who speaks when.

use super::threads;
use crate::demo::{Demo, Expect};

const EVENT_LOOP: Option<Expect> = threads("single-thread", "event-loop");

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "who-speaks-first",
        title: "Every pattern, one after another: who speaks first, and who speaks unasked",
        lectures: &[5],
        about: "The client uses each pattern over a connection of its own: request and response, \
                short polling, long polling, server-sent events, push, publish and subscribe. \
                Something happens every 100 ms. TCP lets either side begin; the pattern decides \
                who does.",
        expect: EVENT_LOOP,
        server: &["opening"],
        client: &["patterns"],
        variations: &[
            ("--every 300ms", "rarer events: only short polling asks more often for each"),
            ("--pause 5ms", "short polling asks all the time"),
        ],
    },
    Demo {
        name: "request-response",
        title: "The client asks, the server answers",
        lectures: &[6],
        about: "Most other patterns are built on this one: nothing moves unless the client asks. \
                The server takes 5 ms for each answer, and both sides wait meanwhile.",
        expect: EVENT_LOOP,
        server: &["http", "--sleep=5ms"],
        client: &["http"],
        variations: &[
            ("--sleep 100ms", "slow for the client, idle on the server"),
            ("--sleep 0ms --work 5ms", "busy: requests wait for one another"),
            ("--response 1000000", "most of the time is transfer"),
            ("--requests 1", "a connection for each request"),
        ],
    },
    Demo {
        name: "synchronous-asynchronous",
        title: "Slow work: wait for it, or be told where the result will be",
        lectures: &[7],
        about: "Each job takes 300 ms. The server answers when the job is done: to the client, and \
                to an observer, it is slow all that time. Asynchronously it answers at once (202 \
                Accepted), and the client asks again for the result.",
        expect: EVENT_LOOP,
        server: &["jobs"],
        client: &["jobs"],
        variations: &[
            ("--asynchronous", "short answers, more of them, and the same wait for the result"),
            ("--job-time 4s", "longer than the client waits: it gives up and asks again"),
            ("--job-time 4s --asynchronous", "no answer takes long, whatever the job does"),
            (
                "--asynchronous --poll 10ms",
                "the result a little sooner, for ten times the requests",
            ),
        ],
    },
    Demo {
        name: "blocking",
        title: "One thread that waits: for one connection, or for all",
        lectures: &[7],
        about: "One thread serves four clients that think for 20 ms between their requests. In a \
                read that blocks, it waits for one of them while the others wait for it. With \
                epoll or io_uring it waits for all at once.",
        expect: EVENT_LOOP,
        server: &["waiting"],
        client: &["requests", "--clients=4", "--pause=20ms"],
        variations: &[
            ("--how blocking", "each client waits for those before it to leave"),
            ("--how io_uring", "as epoll, with a third of the system calls"),
        ],
    },
    Demo {
        name: "durable-writes",
        title: "When a write is acknowledged: written, on the disk, or on a replica",
        lectures: &[7],
        about: "Each request is a record, and is acknowledged when it is on the disk (fdatasync). \
                Records that come during a sync share the next one. Acknowledged earlier, an \
                answer is quick, and promises less.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["store"],
        client: &["requests", "--clients=4"],
        variations: &[
            ("--ack written", "quick: the page cache has it, a power failure loses it"),
            ("--sync-time 20ms", "a slow disk: fewer syncs than records"),
            ("--ack replica", "no answer before the replica has it"),
            ("--ack replica-later", "quick: the replica is behind what was acknowledged"),
        ],
    },
    Demo {
        name: "push",
        title: "The server writes when something happens",
        lectures: &[8],
        about: "The client connects and asks nothing. Every 200 ms something happens, and the \
                server writes it to all connections at once. Silence between two writes is \
                intended: nobody is slow.",
        expect: EVENT_LOOP,
        server: &["news", "--push"],
        client: &["news", "--by=push"],
        variations: &[
            ("--clients 100", "each of them holds a connection and hears everything"),
            (
                "--every 5ms --line 100000 --stall 2s",
                "a client that does not read: the kernel keeps what it can, then the write waits",
            ),
        ],
    },
    Demo {
        name: "short-polling",
        title: "The client asks again and again whether anything has happened",
        lectures: &[9],
        about: "Something happens every 200 ms, and the client asks every 50 ms. Three answers out \
                of four are empty, and news is up to 50 ms old when it arrives.",
        expect: EVENT_LOOP,
        server: &["news"],
        client: &["news", "--by=short-polling"],
        variations: &[
            ("--interval 5ms", "fresher news, ten times the requests"),
            ("--interval 1s", "few requests, old news"),
            ("--every 5s", "nearly all requests are in vain"),
        ],
    },
    Demo {
        name: "long-polling",
        title: "The client asks, and the server waits until there is an answer",
        lectures: &[10],
        about: "The server holds a request (`Prefer: wait=10`) until something happens. No answer \
                is empty, news arrives at once, and each event costs one request. The exchange is \
                long by design.",
        expect: EVENT_LOOP,
        server: &["news"],
        client: &["news", "--by=long-polling"],
        variations: &[
            ("--every 3s --wait 1", "an empty answer when the time is over"),
            ("--every 1ms", "so many events that each answer has several"),
        ],
    },
    Demo {
        name: "server-sent-events",
        title: "One request, and an answer that goes on",
        lectures: &[11],
        about: "The client asks once for `text/event-stream`. The answer never ends, and each \
                event is a chunk of it. It is plain HTTP/1.1, in one direction. A client that \
                reconnects says which event it had last.",
        expect: EVENT_LOOP,
        server: &["news"],
        client: &["news", "--by=events"],
        variations: &[
            ("--end-after 5", "the stream breaks, and with Last-Event-ID nothing is missed"),
            (
                "--end-after 5 --retry 1s --forget",
                "it breaks, and what happens meanwhile is missed",
            ),
            ("--by long-polling", "a request for each event"),
            ("--clients 100", "a hundred connections that stay open"),
        ],
    },
    Demo {
        name: "publish-subscribe",
        title: "A broker between publishers and subscribers",
        lectures: &[12],
        about: "One publisher and four subscribers: each message comes to the broker once and \
                leaves it four times. The publisher waits for no subscriber. For one that does not \
                keep up, the broker keeps 1000 messages, then drops the oldest.",
        expect: EVENT_LOOP,
        server: &["broker"],
        client: &["publish-subscribe"],
        variations: &[
            ("--subscribers 50", "one in, fifty out"),
            ("--topics 2 --publishers 2", "each message reaches half of the subscribers"),
            (
                "--slow-subscriber 50ms --message-size 100000 --pause 2ms --queue 10",
                "the slow subscriber loses messages, the others do not",
            ),
        ],
    },
    Demo {
        name: "multiplexing",
        title: "Many clients share one connection to the server, or a pool",
        lectures: &[13],
        about: "A proxy has 16 clients with HTTP/1.1, and one HTTP/2 connection to the server: the \
                requests are streams on it. With HTTP/1.1 to the server, it needs a connection for \
                each concurrent request: a pool.",
        expect: EVENT_LOOP,
        server: &["layer7", "--backends=1", "--backend-sleep=10ms", "--upstream-protocol=http2"],
        client: &["http", "--clients=16"],
        variations: &[
            ("--upstream-protocol http1", "a pool: as many connections as concurrent requests"),
            ("--upstream-protocol http1 --pool 2", "a pool that keeps only two"),
        ],
    },
    Demo {
        name: "stateful-stateless",
        title: "Who remembers the session: a worker, all workers, or the request",
        lectures: &[14],
        about: "There are two workers, connections go to each in turn, and a session lives in the \
                memory of the worker that began it. Each request has its own connection, so half \
                of them come to the worker that has never heard of the session.",
        expect: threads("acceptor-plus-readers", "event-loop"),
        server: &["sessions", "--workers=2"],
        client: &["sessions", "--clients=3"],
        variations: &[
            ("--state shared", "any worker finds it, if that place is there"),
            ("--state request", "stateless: the request carries everything that is needed"),
            ("--keep-alive", "the session stays with the connection, and with its worker"),
            ("--workers 1", "one worker that knows every session"),
            ("--workers 1 --restart-after 20", "until the program begins anew: all is forgotten"),
        ],
    },
    Demo {
        name: "sidecar",
        title: "A process beside the application speaks the network's protocol for it",
        lectures: &[15],
        about: "The client speaks plain HTTP/1.1 to a sidecar on its own machine. That sidecar \
                speaks HTTP/2 with the server's sidecar, which speaks HTTP/1.1 with the server. \
                Neither end knows; each request passes through two more processes.",
        expect: EVENT_LOOP,
        server: &["layer7", "--sidecar", "--name=sidecar-1"],
        client: &["http"],
        variations: &[
            ("--backend-sleep 20ms", "the time is spent by the server at the far end"),
            ("--work 2ms", "the time is spent by the sidecar"),
        ],
    },
];
