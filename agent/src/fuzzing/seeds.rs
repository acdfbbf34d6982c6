//! Beginnings for each target: bytes of real programs, recordings, and records as the probes write
//! them.

use backscope_abi as abi;

use super::show::START;
use crate::annotate::capture::tests::{packet, pcap, pcapng};
use crate::annotate::capture::{Link, Order};
use crate::model::event::Event;
use crate::model::tests::proxy;
use crate::record::fuzzing as format;
use crate::record::tests::{busy_entries, every_event, recording};
use crate::record::{RecordEntry, Resumption, Writer};

type Seed = (&'static str, String, Vec<u8>);

/// First bytes that programs sent, by the target that they are for.
const SAMPLES: [(&str, &str, &[u8]); 11] = [
    ("http", "curl", include_bytes!("../protocol/samples/curl-http.bin")),
    ("http2", "curl", include_bytes!("../protocol/samples/curl-h2c.bin")),
    ("http2", "grpcio", include_bytes!("../protocol/samples/grpcio.bin")),
    ("http2", "grpcio-second", include_bytes!("../protocol/samples/grpcio-second.bin")),
    ("tls", "curl", include_bytes!("../protocol/samples/curl-tls.bin")),
    ("tls", "curl-1.2", include_bytes!("../protocol/samples/curl-tls12.bin")),
    ("tls", "openssl-1.2", include_bytes!("../protocol/samples/openssl-tls1_2.bin")),
    ("tls", "openssl-1.3", include_bytes!("../protocol/samples/openssl-tls1_3.bin")),
    ("databases", "psql", include_bytes!("../protocol/samples/psql.bin")),
    ("databases", "psql-plain", include_bytes!("../protocol/samples/psql-plain.bin")),
    ("databases", "redis-cli", include_bytes!("../protocol/samples/redis-cli.bin")),
];

/// Returns every seed: its target, its name and its bytes.
pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (target, name, bytes) in SAMPLES {
        seeds.push((target, name.to_owned(), bytes.to_vec()));
        // A client's bytes, then the same from the server of another connection.
        let mut first = part(0, bytes);
        first.extend(part(1 | 4 | 32, bytes));
        seeds.push(("first_bytes", format!("{target}-{name}"), first));
    }
    seeds.extend(written_by_hand());
    seeds.extend(workloads());
    seeds.extend(records());
    seeds.extend(recordings());
    seeds.extend(captures());
    seeds
}

/// Captures of each form, and a recording to turn into other formats.
fn captures() -> Vec<Seed> {
    let (client, server) = ("10.0.0.2:4000", "10.0.0.1:80");
    let packets: Vec<(u64, Vec<u8>)> = [(client, server), (server, client)]
        .iter()
        .map(|(from, to)| (1_700_000_000_000_000_000, packet(Link(1), from, to, 0x18, 5)))
        .collect();
    vec![
        seed("capture", "pcap", pcap(Order::Little, false, Link(1), &packets)),
        seed("capture", "pcap-big", pcap(Order::Big, true, Link(1), &packets)),
        seed("capture", "pcapng", pcapng(Order::Little, &packets)),
        seed("capture", "pcapng-big", pcapng(Order::Big, &packets)),
        seed("converted", "proxy", recording(&proxy::entries())),
    ]
}

fn seed(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    (target, name.to_owned(), bytes.into())
}

/// Cgroups of containers, and the files that tell of them.
fn workloads() -> Vec<Seed> {
    const ID: &str = "b11dedb5336129a814377023a21043ce01f336abdac2692789c883f0eacc1ca2";
    const POD: &str = "kubepods-poddb8524d6_dc30_4916_9e99_cf866ef5312d.slice";
    let docker = format!(
        "1:name=systemd:/docker/{ID}\n0::/\n\0{{\"ID\":\"{ID}\",\"Name\":\"/web\",\"State\":\
         {{\"Pid\":42}},\"Config\":{{\"Labels\":{{\"a\":\"b\"}}}}}}"
    );
    let crio = format!(
        "0::/kubepods.slice/{POD}/crio-{ID}.scope\n\0[{{\"id\":\"{ID}\",\"names\":\
         [\"k8s_app_cart_shop_db8524d6_0\"],\"metadata\":\"{{\\\"pod-name\\\":\\\"k8s_cart_shop_0\
         \\\",\\\"metadata-name\\\":\\\"app\\\"}}\"}}]"
    );
    let containerd = format!(
        "0::/../../{POD}:cri-containerd:{ID}\n\0{{\"annotations\":\
         {{\"io.kubernetes.cri.sandbox-name\":\"cart\",\"io.kubernetes.cri.sandbox-namespace\":\
         \"shop\"}}}}"
    );
    let unit = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/_web@1.service\n\0\
                shop_cart_db8524d6";
    vec![
        seed("workload", "docker", docker),
        seed("workload", "cri-o", crio),
        seed("workload", "containerd", containerd),
        seed("workload", "unit", unit),
    ]
}

fn written_by_hand() -> Vec<Seed> {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let pipelined = "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let frames = [&[0, 18][..], &[0, 0, 9, 1, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let records = [&[1, 11][..], &[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 0]].concat();
    let mut initial = vec![0xb0, 4, 0xc3, 0, 0, 0, 1, 8];
    initial.extend([7; 8]);
    initial.extend([0, 0, 0x44, 0x9e]);
    initial.resize(64, 9);
    let stun = [20, 0, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    vec![
        seed("http", "response", response),
        seed("http", "pipelined", pipelined),
        seed("http2", "frames", frames),
        seed("tls", "records", records),
        seed("databases", "ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        seed("databases", "smtp", "220 mail.example ESMTP\r\n"),
        seed("databases", "mysql", [&[0x4a, 0, 0, 0, 10][..], b"8.0.36\0", &[0; 66]].concat()),
        seed("datagram", "initial", initial),
        seed("datagram", "stun", stun),
        seed("btf", "types", types()),
    ]
}

/// Returns a structure with a member of its own and an anonymous one.
fn types() -> Vec<u8> {
    let strings = b"\0sock_common\0skc_family\0";
    let words = [
        [1 << 24, 2, 16].as_slice(), // int
        &[5 << 24 | 1, 4, 13, 1, 0], // union
        &[4 << 24 | 2, 8, 13, 1, 0, 0, 2, 32],
    ];
    let mut types = Vec::new();
    for (name, words) in [0_u32, 0, 1].into_iter().zip(words) {
        for word in [&[name], words].concat() {
            types.extend(u32::to_ne_bytes(word));
        }
    }
    let mut data = Vec::new();
    let length = types.len() as u32;
    for word in [0x0001_eb9f, 24, 0, length, length, strings.len() as u32] {
        data.extend(u32::to_ne_bytes(word));
    }
    data.extend(types);
    data.extend(strings);
    data
}

/// Returns a record of each kind and an entry of each tag, with plausible times and small numbers.
fn records() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let kinds = [
        abi::ACCEPT,
        abi::OVERFLOW,
        abi::SYN,
        abi::RETRANSMIT,
        abi::PROCESS,
        abi::OPENED,
        abi::EXCHANGE,
        abi::ENDED,
        abi::FAILED,
        abi::LATE,
        abi::EVENT,
    ];
    let mut every = Vec::new();
    for kind in kinds {
        every.extend(part(kind as u8, &words(if kind == abi::EXCHANGE { 55 } else { 16 })));
    }
    seeds.push(seed("ring", "every-kind", every));
    let opened_and_ended = [abi::OPENED, abi::EXCHANGE, abi::ENDED];
    let connection = opened_and_ended.map(|kind| part(kind as u8, &words(40))).concat();
    seeds.push(seed("ring", "connection", connection));
    let mut every = part(0, &words(50));
    for tag in 1..=5 {
        every.extend(part(tag, &words(60)));
    }
    every.extend(part(abi::EXCHANGE as u8, &words(55)));
    seeds.push(seed("scan", "every-tag", every));
    seeds.push(seed("scan", "listener", part(0, &words(50))));
    seeds
}

/// Small numbers and times of the watch in turn, behind the four bytes that a kind leaves of its
/// word.
fn words(count: u64) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    for at in 0..count {
        let word = if at % 2 == 0 { START + at * 1_000_000 } else { at % 5 };
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Returns a part of an input as targets cut it: a kind, a length in words of two bytes, the bytes.
fn part(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let words = (bytes.len() / 2).min(255);
    [&[kind, words as u8][..], &bytes[..2 * words]].concat()
}

fn recordings() -> Vec<Seed> {
    let events: Vec<_> = every_event().into_iter().map(RecordEntry::Event).collect();
    let whole = recording(&events);
    let mut scratched = whole.clone();
    let middle = scratched.len() / 2;
    scratched[middle] ^= 1;
    let cut = whole[..whole.len() * 2 / 3].to_vec();
    let mut contents = vec![0];
    for entry in &busy_entries()[..60] {
        contents.extend(postcard::to_stdvec(entry).unwrap());
    }
    let mut each = vec![0];
    for entry in &events {
        each.extend(postcard::to_stdvec(entry).unwrap());
    }
    let mut resumed = vec![0];
    for event in every_event() {
        if let Event::Sample(base) = &event {
            let resumption = Resumption { attached_ns: START, base: base.clone() };
            let resumed_entry: RecordEntry = RecordEntry::Resumed(Box::new(resumption));
            resumed.extend(postcard::to_stdvec(&resumed_entry).unwrap());
            resumed.extend(postcard::to_stdvec(&RecordEntry::Event(event)).unwrap());
        }
    }
    let empty = Writer::new(Vec::new(), &format::header()).unwrap().end().unwrap();
    vec![
        seed("recording", "every-event", whole),
        seed("recording", "scratched", scratched),
        seed("recording", "cut", cut),
        seed("recording", "empty", empty),
        seed("entries", "busy", contents),
        seed("entries", "every-event", each),
        seed("entries", "resumed", resumed),
        seed("header", "header", postcard::to_stdvec(&format::header()).unwrap()),
    ]
}
