//! Each way to a first answer, as a server sees it over a link with a round trip of 40 ms.

use super::*;
use crate::model::event::{Inbound, Outbound, Progress};
use crate::model::exchange::view;

const RTT_US: u32 = 40_000;
const MS: u64 = 1_000_000;
const HELLO: u64 = 517;
const FLIGHT: u64 = 2_000;

/// One exchange of a server: when its first byte came, bytes of request and reply.
fn exchange(seq: u32, arrived_ms: u64, asked: u64, answered: u64) -> Exchange {
    let first_ns = 1_000 * MS + arrived_ms * MS;
    let (read_ns, write_ns) = (first_ns + MS / 10, first_ns + 2 * MS);
    Exchange {
        ts_ns: write_ns + MS,
        sock: 77,
        seq,
        role: Role::Server,
        preexisting: false,
        progress: Progress::Followed,
        inbound: Some(Inbound {
            first_ns,
            last_ns: first_ns,
            read_first_ns: Some(read_ns),
            read_last_ns: Some(read_ns),
            bytes: asked,
            reads: 1,
            ..Inbound::default()
        }),
        outbound: Some(Outbound {
            first_ns: write_ns,
            last_ns: write_ns,
            sent_ns: Some(write_ns),
            acked_ns: Some(write_ns + MS / 2),
            bytes: answered,
            writes: 1,
            ..Outbound::default()
        }),
        min_rtt_us: Some(RTT_US),
        delayed_acks: None,
        end: None,
        untold: None,
    }
}

struct Way {
    client: ClientHello,
    server: ServerHello,
    records: Vec<TlsRecord>,
    exchanges: Vec<Exchange>,
}

impl Way {
    fn new(version: u16) -> Self {
        let client = ClientHello { version, ..ClientHello::default() };
        let server = ServerHello { version, ..ServerHello::default() };
        Self { client, server, records: Vec::new(), exchanges: Vec::new() }
    }

    fn early(mut self) -> Self {
        (self.client.early_data, self.server.took_session) = (true, true);
        self
    }

    fn client(mut self, kind: u8, length: u16, at: u64) -> Self {
        self.records.push(TlsRecord { from_client: true, kind, length, at });
        self
    }

    fn server(mut self, kind: u8, length: u16, at: u64) -> Self {
        self.records.push(TlsRecord { from_client: false, kind, length, at });
        self
    }

    /// So many ms after the first byte of all.
    fn then(mut self, arrived_ms: u64, asked: u64, answered: u64) -> Self {
        self.exchanges.push(exchange(self.exchanges.len() as u32 + 1, arrived_ms, asked, answered));
        self
    }

    fn answer(&self) -> Option<FirstAnswer> {
        let mut tls_setup = TlsSetup::default();
        self.records.iter().for_each(|record| tls_setup.record(*record));
        for exchange in &self.exchanges {
            tls_setup.exchanged(
                (Some(&self.client), Some(&self.server)),
                exchange,
                &view(exchange, None),
            );
        }
        tls_setup.first_answer()
    }

    /// Which of its exchanges are nothing but handshake.
    fn handshakes(&self) -> Vec<bool> {
        let mut tls_setup = TlsSetup::default();
        self.records.iter().for_each(|record| tls_setup.record(*record));
        let hellos = (Some(&self.client), Some(&self.server));
        self.exchanges
            .iter()
            .map(|exchange| tls_setup.exchanged(hellos, exchange, &view(exchange, None)))
            .collect()
    }

    fn trips(&self) -> Option<u32> {
        self.answer().map(|answer| answer.trips)
    }
}

#[test]
fn a_full_handshake_of_tls_1_2_takes_two_before_the_request() {
    let way = Way::new(0x0303)
        .server(20, 1, FLIGHT)
        .client(20, 1, HELLO + 100)
        .client(23, 64, HELLO + 151)
        .then(0, HELLO, FLIGHT)
        .then(42, 151, 51)
        .then(84, 69, 300);
    let answer = way.answer().unwrap();
    assert_eq!((answer.trips, answer.round_trips(false), answer.steps(false)), (3, 4, [1, 2, 1]));
    assert_eq!(answer.handshake.exchanges, 2, "those before the request's");
    assert!(
        (3_000..5_000).contains(&answer.handshake.app_us),
        "{answer:?}: 2 ms each, less the read"
    );
    assert_eq!(answer.us, 86_000);
    assert_eq!(way.handshakes(), [true, true, false]);
}

#[test]
fn a_resumed_session_of_tls_1_2_takes_one() {
    let way = Way::new(0x0303)
        .server(20, 1, 100)
        .client(20, 1, HELLO)
        .client(23, 64, HELLO + 51)
        .then(0, HELLO, 151);
    let at_once = way.then(42, 51 + 69, 300);
    assert_eq!(at_once.trips(), Some(2));
    // Its Finished was read and acknowledged alone; the request needs no answer to it.
    let way = Way::new(0x0303)
        .server(20, 1, 100)
        .client(20, 1, HELLO)
        .client(23, 64, HELLO + 51)
        .then(0, HELLO, 151);
    assert_eq!(way.then(42, 51, 10).then(85, 69, 300).trips(), Some(2));
}

#[test]
fn tls_1_3_takes_one_before_the_request() {
    for finished in FINISHED {
        let end = HELLO + 6 + 5 + u64::from(finished);
        let way = || {
            Way::new(TLS_1_3)
                .client(20, 1, HELLO)
                .client(23, finished, HELLO + 6)
                .client(23, 80, end)
        };
        let together = way().then(0, HELLO, FLIGHT).then(42, end - HELLO + 85, 300);
        assert_eq!(together.answer().map(|answer| answer.steps(false)), Some([1, 1, 1]));
        assert_eq!(together.handshakes(), [true, false]);
        // The server writes its tickets between the two, and the client's request was on its way by
        // then, or was late.
        for gap_ms in [1, 30, 300] {
            let apart =
                way().then(0, HELLO, FLIGHT).then(42, end - HELLO, 500).then(42 + gap_ms, 85, 300);
            assert_eq!(apart.trips(), Some(2), "{gap_ms} ms later");
            assert_eq!(apart.handshakes(), [true, true, false]);
        }
    }
}

#[test]
fn a_server_that_asks_for_another_hello_costs_one_more() {
    let (second, end) = (HELLO + 6 + HELLO, HELLO + 6 + HELLO + 58);
    let way = Way::new(TLS_1_3).client(20, 1, HELLO).client(23, 53, second).client(23, 80, end);
    let way = way.then(0, HELLO, 99).then(42, second - HELLO, FLIGHT).then(84, 58 + 85, 300);
    assert_eq!(way.answer().map(|answer| answer.steps(false)), Some([1, 2, 1]));
}

#[test]
fn early_data_take_none_if_the_server_answers_them_at_once() {
    let early = || Way::new(TLS_1_3).early().client(20, 1, HELLO).client(23, 80, HELLO + 6);
    // The server's handshake in one record, or in two; then the answer.
    for (records, at) in [(vec![(111, 133)], 249), (vec![(58, 133), (53, 196)], 254)] {
        let with =
            |way: Way| records.iter().fold(way, |way, (length, at)| way.server(23, *length, *at));
        let answered =
            with(early()).server(23, 300, at).then(0, HELLO + 91, at + 305).then(42, 84, 200);
        assert_eq!(
            answered.answer().map(|answer| answer.steps(true)),
            Some([0, 0, 1]),
            "with TCP Fast Open"
        );
        assert!(!answered.handshakes()[0], "the request came along");
        assert_eq!(answered.answer().map(|answer| answer.round_trips(false)), Some(2));
        let waited = with(early()).server(23, 300, at).then(0, HELLO + 91, at).then(42, 84, 500);
        assert_eq!(
            waited.trips(),
            Some(2),
            "the server wanted to hear the client's Finished first"
        );
    }
}

#[test]
fn what_cannot_be_told_is_not() {
    assert_eq!(
        Way::new(TLS_1_3).then(0, HELLO, FLIGHT).then(42, 143, 300).trips(),
        None,
        "no records"
    );
    let no_request =
        Way::new(TLS_1_3).client(23, 53, HELLO).then(0, HELLO, FLIGHT).then(42, 58, 100);
    assert_eq!(no_request.trips(), None);
    let way = Way::new(TLS_1_3).client(23, 53, HELLO).client(23, 80, HELLO + 58);
    assert_eq!(
        way.then(0, HELLO, FLIGHT).trips(),
        None,
        "the exchange with the request is not over"
    );
}
