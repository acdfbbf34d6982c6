//! The signals and their names.

use std::fmt;

/// Something that the model wants to know, and that a hook may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Listeners that exist already.
    OpenListeners,
    /// Forks, execs and exits of watched processes.
    Process,
    /// Listeners that begin and end.
    Listen,
    /// The backlog asked for.
    Backlog,
    /// Connections that enter the accept queue.
    Queued,
    /// Connections that leave the queue unaccepted.
    LeftQueue,
    /// Accepts.
    Accept,
    /// Accepts through io_uring.
    AcceptIoUring,
    /// Calls of accept that fail.
    AcceptFails,
    /// Accepts through io_uring that fail.
    AcceptFailsIoUring,
    /// SYNs, one by one.
    Syn,
    /// Syncookies.
    Syncookie,
    /// Overflows at the final ACK.
    OverflowAck,
    /// SYN-ACKs that are sent again.
    SynackRetransmit,
    /// Accepts while the system call tracepoints are not attached.
    AcceptAtRest,
    /// Connections that exist already, and exchanges that are not over.
    OpenConnections,
    /// UDP sockets that exist already.
    OpenDatagrams,
    /// State changes of connections.
    ConnectionState,
    /// The end of connections.
    ConnectionEnd,
    /// Connects that fail before a SYN is sent.
    ConnectUnsent,
    /// Data that come when this host has closed.
    LateData,
    /// Connections that end by an error while no state change is seen.
    EndsAtRest,
    /// Data that arrive.
    DataIn,
    /// Reads.
    Read,
    /// The end of UDP sockets.
    DatagramEnd,
    /// Sizes of datagrams as they arrive.
    DatagramSize,
    /// Reads by splice.
    ReadSplice,
    /// Writes.
    Write,
    /// Writes that wait for room.
    WriteBlocked,
    /// Segments that are sent again.
    Retransmit,
    /// ACKs that this host delays.
    DelayedAck,
    /// Segments, one by one.
    Segment,
    /// Acknowledgements, one by one.
    Ack,
    /// Reads that wait for data.
    ReadBlocked,
    /// RSTs, one by one.
    Reset,
    /// Sockets that go to TIME_WAIT.
    TimeWait,
}

impl Signal {
    /// True of those that concern UDP sockets alone.
    pub(in crate::sensor) fn is_of_datagrams(self) -> bool {
        matches!(self, Self::OpenDatagrams | Self::DatagramEnd | Self::DatagramSize)
    }

    /// The name in JSON and in the output of `doctor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenListeners => "open_listeners",
            Self::Process => "process",
            Self::Listen => "listen",
            Self::Backlog => "backlog",
            Self::Queued => "queued",
            Self::LeftQueue => "left_queue",
            Self::Accept => "accept",
            Self::AcceptIoUring => "accept_io_uring",
            Self::AcceptFails => "accept_fails",
            Self::AcceptFailsIoUring => "accept_fails_io_uring",
            Self::Syn => "syn",
            Self::Syncookie => "syncookie",
            Self::OverflowAck => "overflow_ack",
            Self::SynackRetransmit => "synack_retransmit",
            Self::AcceptAtRest => "accept_at_rest",
            Self::OpenConnections => "open_connections",
            Self::OpenDatagrams => "open_datagrams",
            Self::ConnectionState => "connection_state",
            Self::ConnectionEnd => "connection_end",
            Self::ConnectUnsent => "connect_unsent",
            Self::LateData => "late_data",
            Self::EndsAtRest => "ends_at_rest",
            Self::DataIn => "data_in",
            Self::Read => "read",
            Self::DatagramEnd => "datagram_end",
            Self::DatagramSize => "datagram_size",
            Self::ReadSplice => "read_splice",
            Self::Write => "write",
            Self::WriteBlocked => "write_blocked",
            Self::Retransmit => "retransmit",
            Self::DelayedAck => "delayed_ack",
            Self::Segment => "segment",
            Self::Ack => "ack",
            Self::ReadBlocked => "read_blocked",
            Self::Reset => "reset",
            Self::TimeWait => "time_wait",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
