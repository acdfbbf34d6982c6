//! One side of a WebRTC connection over a UDP socket. str0m says what to send, and how long to
//! wait.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Rtc, RtcError};

/// Numbers of datagrams by their first bytes (RFC 7983).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Datagrams {
    pub(super) stun: u64,
    /// Of these, binding requests (RFC 8489): does this path work?
    pub(super) checks: u64,
    /// Of these, responses to such requests.
    pub(super) check_answers: u64,
    pub(super) dtls: u64,
    /// Of these, those that begin with a record of the handshake.
    pub(super) handshake: u64,
    /// Of these, those that begin with encrypted data: SCTP, and in it the messages.
    pub(super) data: u64,
}

impl Datagrams {
    fn count(&mut self, datagram: &[u8]) {
        match datagram.first() {
            Some(0..=3) => self.stun += 1,
            Some(20..=63) => self.dtls += 1,
            _ => {}
        }
        match datagram {
            [0, 1, ..] => self.checks += 1,
            [1, 1 | 0x11, ..] => self.check_answers += 1,
            // ChangeCipherSpec comes before the encrypted end of the handshake.
            [20 | 22, ..] => self.handshake += 1,
            [23, ..] => self.data += 1,
            _ => {}
        }
    }

    /// Adds those of another connection.
    pub(super) fn add(&mut self, other: Self) {
        let Self { stun, checks, check_answers, dtls, handshake, data } = other;
        self.stun += stun;
        self.checks += checks;
        self.check_answers += check_answers;
        self.dtls += dtls;
        self.handshake += handshake;
        self.data += data;
    }
}

/// One side.
pub(super) struct Peer {
    pub(super) rtc: Rtc,
    /// Its own address.
    pub(super) local: SocketAddr,
    /// Both ways.
    pub(super) datagrams: Datagrams,
}

impl Peer {
    /// Sends pending data and passes events to `on_event`. Returns the time until which to wait.
    pub(super) fn advance(
        &mut self,
        socket: &UdpSocket,
        mut on_event: impl FnMut(&mut Rtc, Event) -> Result<(), RtcError>,
    ) -> Result<Instant, RtcError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(until) => return Ok(until),
                Output::Transmit(datagram) => {
                    self.datagrams.count(&datagram.contents);
                    // A datagram that cannot be sent counts as lost on the way.
                    let _ = socket.send_to(&datagram.contents, datagram.destination);
                }
                Output::Event(event) => on_event(&mut self.rtc, event)?,
            }
        }
    }

    /// Returns whether a datagram is for this peer.
    pub(super) fn accepts(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        self.input(source, datagram).is_some_and(|input| self.rtc.accepts(&input))
    }

    /// Takes a datagram. Ignores one that does not belong to WebRTC.
    pub(super) fn receive(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<(), RtcError> {
        self.datagrams.count(datagram);
        let Some(input) = self.input(source, datagram) else { return Ok(()) };
        self.rtc.handle_input(input)
    }

    /// Lets it know that time has passed.
    pub(super) fn tick(&mut self) -> Result<(), RtcError> {
        self.rtc.handle_input(Input::Timeout(Instant::now()))
    }

    fn input<'a>(&self, source: SocketAddr, datagram: &'a [u8]) -> Option<Input<'a>> {
        let contents = datagram.try_into().ok()?;
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        Some(Input::Receive(Instant::now(), receive))
    }
}

/// Waits for a datagram until this time; `None` if none came.
pub(super) fn receive(
    socket: &UdpSocket,
    until: Instant,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, SocketAddr)>> {
    // A timeout of 0 would wait for ever.
    const LEAST: Duration = Duration::from_millis(1);
    socket.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(LEAST)))?;
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        // An ICMP message that a peer has gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}
