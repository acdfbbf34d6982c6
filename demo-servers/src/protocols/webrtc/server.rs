//! The side that answers: offers over HTTP by `acceptor`, all else over one UDP socket by
//! `event-loop`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use str0m::change::SdpOffer;
use str0m::{Candidate, Event, IceConnectionState, Rtc, RtcError};

use super::peer::{Datagrams, Peer, receive};
use super::{ServerOptions, crypto};
use crate::execution::run_or_end;
use crate::https::message;
use crate::naming::{name_thread, with_name};
use crate::sock::announce;

/// Time after which a silent client is given up.
const IDLE: Duration = Duration::from_secs(10);
/// Most bytes of an offer.
const LARGEST_OFFER: usize = 65_536;
/// Page for browsers.
const PAGE: &str = include_str!("page.html");

pub(super) fn serve(options: &ServerOptions) -> anyhow::Result<()> {
    crypto::install();
    let (listener, socket) = bind(options.listen)?;
    let address = socket.local_addr()?;
    let (sender, peers) = mpsc::channel();
    thread::spawn(move || {
        name_thread("event-loop");
        run_or_end("event-loop", || event_loop(&socket, &peers));
    });
    name_thread("acceptor");
    announce(format_args!("listening on {address}"));
    for stream in listener.incoming() {
        // A client that has left, or sends nonsense, is no error.
        let _ = signal(stream?, address, &sender);
    }
    Ok(())
}

/// A TCP and a UDP socket of the same port.
fn bind(mut address: SocketAddr) -> anyhow::Result<(TcpListener, UdpSocket)> {
    let listener = TcpListener::bind(address).with_context(|| format!("bind {address}"))?;
    address.set_port(listener.local_addr()?.port());
    let socket = UdpSocket::bind(address).with_context(|| format!("bind {address} for UDP"))?;
    Ok((listener, socket))
}

/// Answers a request for the page, or an offer.
fn signal(mut stream: TcpStream, address: SocketAddr, peers: &Sender<Peer>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut received = Vec::new();
    let head = loop {
        if let Some(head) = message::take_head(&mut received) {
            break head;
        }
        read(&mut stream, &mut received)?;
    };
    if !head.starts_with("POST ") {
        return Ok(reply(&mut stream, "text/html", PAGE)?);
    }
    while received.len() < message::length(&head) {
        read(&mut stream, &mut received)?;
    }
    let offer = SdpOffer::from_sdp_string(&String::from_utf8_lossy(&received))?;
    let mut rtc = Rtc::builder().build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp")?);
    let answer = rtc.sdp_api().accept_offer(offer)?.to_sdp_string();
    // The event loop has to know the peer before the client knows where to send.
    peers.send(Peer { rtc, local: address, datagrams: Datagrams::default() })?;
    Ok(reply(&mut stream, "application/sdp", &answer)?)
}

fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    if count == 0 || received.len() > LARGEST_OFFER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    received.extend_from_slice(&buffer[..count]);
    Ok(())
}

fn reply(stream: &mut TcpStream, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}

/// Serves all peers. Drops those that break the rules.
fn event_loop(socket: &UdpSocket, news: &Receiver<Peer>) -> io::Result<()> {
    let mut peers: Vec<Peer> = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let mut until = Instant::now() + IDLE;
        peers.retain_mut(|peer| {
            let advanced = peer.advance(socket, answer);
            until = until.min(*advanced.as_ref().unwrap_or(&until));
            advanced.is_ok() && peer.rtc.is_alive()
        });
        let received = receive(socket, until, &mut buffer)?;
        peers.extend(news.try_iter());
        match received {
            Some((length, source)) => {
                let datagram = &buffer[..length];
                if let Some(peer) = peers.iter_mut().find(|peer| peer.accepts(source, datagram)) {
                    let _ = peer.receive(source, datagram);
                }
            }
            None => peers.retain_mut(|peer| peer.tick().is_ok()),
        }
    }
}

/// Answers a message.
fn answer(rtc: &mut Rtc, event: Event) -> Result<(), RtcError> {
    match event {
        Event::ChannelData(data) => {
            let answer = with_name(|name| [name.as_bytes(), b" ", &data.data].concat());
            if let Some(mut channel) = rtc.channel(data.id) {
                channel.write(data.binary, &answer)?;
            }
        }
        Event::IceConnectionStateChange(IceConnectionState::Disconnected) => rtc.disconnect(),
        _ => {}
    }
    Ok(())
}
