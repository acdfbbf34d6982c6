//! The side that offers.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::{Candidate, Event, Rtc};

use super::peer::{Datagrams, Peer, receive};
use super::{ClientOptions, crypto};
use crate::demo::{RETRY, Report, Stop, connect};
use crate::https::message;

/// Interval at which a waiting client checks whether to stop.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn converse(options: &ClientOptions, server: SocketAddr, stop: &Stop) -> Report {
    crypto::install();
    let mut report = Report::default();
    let mut open_us =
        Histogram::<u64>::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
    let mut datagrams = Datagrams::default();
    let mut begun = 0;
    while !stop.is_stopped() && options.connections.is_none_or(|most| begun < most) {
        begun += 1;
        let outcome = Client::offer(options, server).and_then(|mut client| {
            let outcome = client.talk(stop, &mut report);
            datagrams.add(client.peer.datagrams);
            // Fails only for a histogram that may not grow.
            client.opened.map(|opened| open_us.record(opened.as_micros() as u64).ok());
            outcome
        });
        stop.sleep(if outcome.is_ok() { options.pause } else { RETRY });
        if let Err(error) = outcome
            && stop.is_failure()
        {
            report.error(format!("{error:#}"));
        }
    }
    let open_us = open_us.value_at_quantile(0.5);
    let facts = [
        ("channels", report.connections),
        ("open_us", open_us),
        ("stun", datagrams.stun),
        ("checks", datagrams.checks),
        ("check_answers", datagrams.check_answers),
        ("dtls", datagrams.dtls),
        ("handshake", datagrams.handshake),
        ("data", datagrams.data),
    ];
    report.facts.extend(facts);
    report
}

struct Client<'a> {
    options: &'a ClientOptions,
    socket: UdpSocket,
    peer: Peer,
    begun: Instant,
    /// Time that it took to open the channel.
    opened: Option<Duration>,
}

/// An event of a peer.
enum News {
    Open(ChannelId),
    Message(Vec<u8>),
}

impl<'a> Client<'a> {
    /// Offers a channel, and takes the answer.
    fn offer(options: &'a ClientOptions, server: SocketAddr) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let socket = UdpSocket::bind(local_address(server)?)?;
        let local = socket.local_addr()?;
        let mut rtc = Rtc::builder().build(Instant::now());
        let mut change = rtc.sdp_api();
        change.add_channel("demo".to_owned());
        let (offer, pending) = change.apply().context("nothing to offer")?;
        let answer = exchange(server, &offer.to_sdp_string(), options.timeout)
            .context("sending an offer")?;
        accept(&mut rtc, pending, &answer)?;
        // After the offer, which does not name it: over a link the server would find a way round it.
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        rtc.add_remote_candidate(Candidate::host(server, "udp")?);
        let peer = Peer { rtc, local, datagrams: Datagrams::default() };
        Ok(Self { options, socket, peer, begun, opened: None })
    }

    /// Sends one message after another, each when the one before was answered.
    fn talk(&mut self, stop: &Stop, report: &mut Report) -> anyhow::Result<()> {
        let (mut channel, mut left, mut asked) = (None, self.options.requests, self.begun);
        while left > 0 && !stop.is_stopped() {
            for news in self.advance()? {
                match news {
                    News::Open(id) => {
                        self.opened = Some(self.begun.elapsed());
                        report.connections += 1;
                        channel = Some(id);
                    }
                    News::Message(message) => {
                        report.answer(message::name_in(&message).as_deref(), asked.elapsed());
                        left -= 1;
                    }
                }
                if left > 0 {
                    asked = Instant::now();
                    report.asked += 1;
                    self.send(channel)?;
                }
            }
            ensure!(self.begun.elapsed() < self.options.timeout, "the channel timed out");
        }
        self.peer.rtc.disconnect();
        Ok(())
    }

    fn send(&mut self, channel: Option<ChannelId>) -> anyhow::Result<()> {
        let message = vec![b'x'; self.options.request_size as usize];
        let mut channel =
            channel.and_then(|id| self.peer.rtc.channel(id)).context("there is no channel")?;
        channel.write(false, &message)?;
        Ok(())
    }

    /// Sends pending data and waits shortly for a datagram. Returns the events since the last call.
    fn advance(&mut self) -> anyhow::Result<Vec<News>> {
        let mut news = Vec::new();
        let until = self.peer.advance(&self.socket, |_, event| {
            match event {
                Event::ChannelOpen(id, _) => news.push(News::Open(id)),
                Event::ChannelData(data) => news.push(News::Message(data.data)),
                _ => {}
            }
            Ok(())
        })?;
        if !news.is_empty() {
            return Ok(news);
        }
        let mut buffer = [0; 2048];
        match receive(&self.socket, until.min(Instant::now() + LOOK), &mut buffer)? {
            Some((length, source)) => self.peer.receive(source, &buffer[..length])?,
            None => self.peer.tick()?,
        }
        if !self.peer.rtc.is_alive() {
            bail!("the connection ended");
        }
        Ok(news)
    }
}

/// The address that this machine reaches the server from, with port 0.
fn local_address(server: SocketAddr) -> anyhow::Result<SocketAddr> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let probe = UdpSocket::bind(any)?;
    probe.connect(server)?;
    Ok(SocketAddr::new(probe.local_addr()?.ip(), 0))
}

/// Sends an offer; returns the answer.
fn exchange(server: SocketAddr, offer: &str, timeout: Duration) -> anyhow::Result<String> {
    let mut stream = connect(server, None, timeout).map_err(anyhow::Error::msg)?;
    let head = format!(
        "POST /offer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        offer.len()
    );
    stream.write_all(&[head.as_bytes(), offer.as_bytes()].concat())?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    message::take_head(&mut received).context("no answer")?;
    Ok(String::from_utf8(received)?)
}

/// Takes an answer without the server's candidates: the server is reached at the address of the
/// offer.
fn accept(rtc: &mut Rtc, pending: SdpPendingOffer, answer: &str) -> anyhow::Result<()> {
    let lines = answer.lines().filter(|line| {
        !line.starts_with("a=candidate") && !line.starts_with("a=end-of-candidates")
    });
    let answer: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
    Ok(())
}
