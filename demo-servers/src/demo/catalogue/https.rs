//! The ways to HTTPS: how many round trips come before the first byte of an answer.

use super::threads;
use crate::demo::Demo;

pub(super) static DEMOS: &[Demo] = &[
    Demo {
        name: "https-tls12",
        title: "HTTPS over TCP and TLS 1.2: four round trips",
        lectures: &[29, 30],
        about: "SYN and SYN-ACK come first, then the hellos and the certificate, then keys and \
                Finished, and only then the request: four round trips before the first byte of an \
                answer.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https", "--tls=1.2"],
        client: &["https", "--tls=1.2"],
        variations: &[
            ("--resume", "three round trips"),
            ("--requests 5", "later requests on a connection take one"),
        ],
    },
    Demo {
        name: "https-tls12-resumed",
        title: "HTTPS over TCP and TLS 1.2, resumed: three round trips",
        lectures: &[30],
        about: "The server remembers the session that the client names. There is no key exchange, \
                and the server's Finished comes in its first flight: one round trip less, and no \
                certificate.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https", "--tls=1.2", "--resume"],
        client: &["https", "--tls=1.2", "--resume"],
        variations: &[("--fast-open", "two round trips")],
    },
    Demo {
        name: "https-tls13",
        title: "HTTPS over TCP and TLS 1.3: three round trips",
        lectures: &[31],
        about: "The client guesses the key exchange and sends its part at once, so the server's \
                first flight has everything: key, certificate, Finished. The request goes with the \
                client's Finished.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https"],
        client: &["https"],
        variations: &[
            ("--tls 1.2", "four round trips"),
            ("--resume", "still three, without a certificate"),
            ("--group secp256r1", "four: the server does not take what the client guessed"),
        ],
    },
    Demo {
        name: "https-quic",
        title: "HTTPS over QUIC (HTTP/3): two round trips",
        lectures: &[32],
        about: "QUIC's handshake is that of TLS 1.3, and there is none before it: UDP has no \
                connections. One round trip is for keys and certificate, one for the request.",
        expect: None,
        server: &["quic"],
        client: &["quic"],
        variations: &[("--early-data", "one round trip")],
    },
    Demo {
        name: "https-tfo-tls13",
        title: "HTTPS over TCP Fast Open and TLS 1.3: two round trips",
        lectures: &[33],
        about: "With a cookie from an earlier connection, the ClientHello goes in the SYN, and the \
                server answers before the TCP handshake has ended.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https", "--fast-open"],
        client: &["https", "--fast-open"],
        variations: &[("--tls 1.2", "three round trips"), ("--early-data", "one round trip")],
    },
    Demo {
        name: "https-tfo-0rtt",
        title: "HTTPS over TCP Fast Open and TLS 1.3 with early data: one round trip",
        lectures: &[33, 34],
        about: "SYN, ClientHello and the request go in one segment; SYN-ACK, the server's whole \
                flight and the answer come back. Whoever records the first segment can send it \
                again.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https", "--fast-open", "--early-data"],
        client: &["https", "--fast-open", "--early-data"],
        variations: &[("--no-half-rtt", "two round trips")],
    },
    Demo {
        name: "https-tls13-0rtt",
        title: "HTTPS over TCP and TLS 1.3 with early data (0-RTT): two round trips",
        lectures: &[34],
        about: "The ticket of an earlier session has a key for data in the client's first flight. \
                The server answers that data together with its own Finished, before it has the \
                client's (half-RTT data). Early data could be replayed: this server takes each \
                ticket once.",
        expect: threads("thread-per-connection", "blocking"),
        server: &["https", "--early-data"],
        client: &["https", "--early-data"],
        variations: &[
            ("--no-half-rtt", "three round trips: the server waits for the client's Finished"),
            ("--tickets none", "three round trips: there is nothing to resume"),
        ],
    },
    Demo {
        name: "https-quic-0rtt",
        title: "HTTPS over QUIC with early data (0-RTT): one round trip",
        lectures: &[35],
        about: "The first datagrams carry the ClientHello and, encrypted with the key of an \
                earlier session, the request. The answer comes back at once.",
        expect: None,
        server: &["quic", "--early-data"],
        client: &["quic", "--early-data"],
        variations: &[("--streams 8", "all eight requests are in the first flight")],
    },
];
