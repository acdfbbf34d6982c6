//! Offsets and settings that the agent gives the probes before they are loaded, through frozen
//! `.rodata`.

/// The offset of a member that this kernel does not have.
pub const ABSENT: u16 = u16::MAX;

macro_rules! layout {
    ($($(#[$doc:meta])* $field:ident = $strukt:literal . $member:literal $(| $other:literal)?),*
        $(,)?) => {
        /// Byte offsets of the kernel's struct members, resolved from the running kernel's BTF;
        /// [`ABSENT`] where there is none. Being constants in frozen `.rodata`, they let the
        /// verifier fold every use and drop dead branches.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout { $($(#[$doc])* pub $field: u16),* }

        impl Layout {
            /// No member known.
            pub const EMPTY: Self = Self { $($field: ABSENT),* };
            /// Field name, kernel struct and member path of each offset, in order of declaration.
            /// Of several paths a kernel has one: x86-64 the first, arm64 the second.
            pub const MEMBERS: &'static [(&'static str, &'static str, &'static [&'static str])] =
                &[$((stringify!($field), $strukt, &[$member $(, $other)?])),*];

            /// Every offset, in the order of [`Layout::MEMBERS`].
            pub fn offsets_mut(&mut self) -> [&mut u16; Self::MEMBERS.len()] {
                [$(&mut self.$field),*]
            }
        }
    };
}

// First come those that each segment, call and connection needs: between two runs of a probe little
// of this stays in the nearest cache.
layout! {
    /// BPF storage of a socket.
    sk_bpf_storage = "sock"."sk_bpf_storage",
    /// `IPPROTO_TCP` and so on.
    sk_protocol = "sock"."sk_protocol",
    /// TCP state.
    skc_state = "sock_common"."skc_state",
    /// Error that the next call will return.
    sk_err = "sock"."sk_err",
    /// Whether it is a subflow of Multipath TCP; not so of a child that fell back to TCP.
    is_mptcp = "tcp_sock"."is_mptcp",
    /// Bytes received in order.
    rcv_nxt = "tcp_sock"."rcv_nxt",
    /// Bytes that the application has read.
    copied_seq = "tcp_sock"."copied_seq",
    /// Bytes that the peer has acknowledged.
    snd_una = "tcp_sock"."snd_una",
    /// Bytes that were sent.
    snd_nxt = "tcp_sock"."snd_nxt",
    /// Bytes that the application has written.
    write_seq = "tcp_sock"."write_seq",
    /// Time at which the socket last read the clock, ns of `CLOCK_MONOTONIC`: at each segment
    /// received or sent.
    tcp_clock_cache = "tcp_sock"."tcp_clock_cache",
    /// Departure time of the newest segment, ns.
    tcp_wstamp_ns = "tcp_sock"."tcp_wstamp_ns",
    /// Time at which the newest ACK delivered something, µs; or that of the first sending after
    /// it with nothing in flight.
    delivered_mstamp = "tcp_sock"."delivered_mstamp",
    /// Time at which the segment that was delivered last had been sent, µs.
    first_tx_mstamp = "tcp_sock"."first_tx_mstamp",
    /// Windowed minimum of the round-trip time: three pairs of time and value.
    rtt_min = "tcp_sock"."rtt_min",
    /// Jiffies that sending was busy, limited by the peer's window, by the send buffer.
    chrono_stat = "tcp_sock"."chrono_stat",
    /// Since when it is the last of these, jiffies.
    chrono_start = "tcp_sock"."chrono_start",
    /// Which of them it is.
    chrono_type = "tcp_sock"."chrono_type",
    /// Thread.
    task_pid = "task_struct"."pid",
    /// Thread group.
    task_tgid = "task_struct"."tgid",
    /// Time that a thread was runnable without a CPU, ns.
    task_run_delay = "task_struct"."sched_info.run_delay",
    /// Time that a thread was on a CPU, ns.
    task_cpu = "task_struct"."se.sum_exec_runtime",
    /// Data of an upper-layer protocol on a TCP socket; of a subflow, or a clone of one, its
    /// context.
    icsk_ulp_data = "inet_connection_sock"."icsk_ulp_data",
    /// Socket cookie, 0 until somebody asked for it.
    skc_cookie = "sock_common"."skc_cookie",
    /// Connections waiting in the accept queue.
    sk_ack_backlog = "sock"."sk_ack_backlog",
    /// Limit of the accept queue.
    sk_max_ack_backlog = "sock"."sk_max_ack_backlog",
    /// Requests in the SYN queue.
    syn_qlen = "inet_connection_sock"."icsk_accept_queue.qlen",
    /// `struct socket` of a `struct sock`, which an application has; of a connection in an accept
    /// queue none.
    sk_socket = "sock"."sk_socket",
    /// `struct sock` of a `struct socket`.
    socket_sk = "socket"."sk",
    /// File of a `struct socket`.
    socket_file = "socket"."file",
    /// Private data of a file: for a socket its `struct socket`.
    file_private_data = "file"."private_data",
    /// Open files.
    task_files = "task_struct"."files",
    /// Descriptor table.
    files_fdt = "files_struct"."fdt",
    /// Array of open files.
    fdt_fd = "fdtable"."fd",
    /// Of the registers with which a thread entered the kernel: number of the system call, in the
    /// low 32 bits.
    regs_call = "pt_regs"."orig_ax" | "syscallno",
    /// Of these registers: the call's first argument. On arm64 the result takes the place of
    /// `regs[0]`.
    regs_first = "pt_regs"."di" | "orig_x0",
    /// Of these registers: the call's second argument.
    regs_second = "pt_regs"."si" | "regs[1]",
    /// Of these registers: the call's fifth argument.
    regs_fifth = "pt_regs"."r8" | "regs[4]",
    /// Segments that were sent and are not acknowledged, in the order in which they were sent: the
    /// head of a list.
    tsorted_sent_queue = "tcp_sock"."tsorted_sent_queue",
    /// Smoothed round-trip time, 1/8 µs.
    srtt_us = "tcp_sock"."srtt_us",
    /// Remote IPv4 address.
    skc_daddr = "sock_common"."skc_daddr",
    /// Local IPv4 address.
    skc_rcv_saddr = "sock_common"."skc_rcv_saddr",
    /// Remote port, network order.
    skc_dport = "sock_common"."skc_dport",
    /// Local port, host order.
    skc_num = "sock_common"."skc_num",
    /// Address family.
    skc_family = "sock_common"."skc_family",
    /// Local port, network order: it stays when `skc_num` goes.
    inet_sport = "inet_sock"."inet_sport",
    /// Remote IPv6 address.
    skc_v6_daddr = "sock_common"."skc_v6_daddr",
    /// Local IPv6 address.
    skc_v6_rcv_saddr = "sock_common"."skc_v6_rcv_saddr",
    /// Network namespace.
    skc_net = "sock_common"."skc_net",
    /// Of a request socket: the listener it belongs to.
    skc_listener = "sock_common"."skc_listener",
    /// Inode number of a network namespace.
    net_inum = "net"."ns.inum",
    /// `net.core.somaxconn`.
    net_somaxconn = "net"."core.sysctl_somaxconn",
    /// Cookie of a network namespace.
    net_cookie = "net"."net_cookie",
    /// `net.ipv4.tcp_syncookies`.
    net_syncookies = "net"."ipv4.sysctl_tcp_syncookies",
    /// `net.ipv4.tcp_max_syn_backlog`.
    net_max_syn_backlog = "net"."ipv4.sysctl_max_syn_backlog",
    /// `net.ipv4.tcp_syn_retries`; its low byte, where it is an integer.
    net_syn_retries = "net"."ipv4.sysctl_tcp_syn_retries",
    /// `net.ipv4.tcp_syn_linear_timeouts` (6.5 on).
    net_syn_linear_timeouts = "net"."ipv4.sysctl_tcp_syn_linear_timeouts",
    /// `net.ipv4.tcp_abort_on_overflow`.
    net_abort_on_overflow = "net"."ipv4.sysctl_tcp_abort_on_overflow",
    /// Drops at this socket.
    sk_drops = "sock"."sk_drops",
    /// Drops at a UDP socket, where they have counters of their own (6.18 on).
    sk_drop_counters = "sock"."sk_drop_counters",
    /// First of these counters.
    drops0 = "numa_drop_counters"."drops0",
    /// Second of these counters.
    drops1 = "numa_drop_counters"."drops1",
    /// Time at which its SYN-ACK was first sent, µs of `CLOCK_MONOTONIC`; 0 for a syncookie.
    snt_synack = "tcp_request_sock"."snt_synack",
    /// Whether the final ACK came and was ignored: the byte that has the bit.
    req_acked = "inet_request_sock"."acked",
    /// For how many timeouts of a SYN-ACK a listener waits for the client's first data
    /// (TCP_DEFER_ACCEPT), which ignores final ACKs, too.
    defer_accept = "inet_connection_sock"."icsk_accept_queue.rskq_defer_accept",
    /// SYN-ACK retransmissions so far.
    req_num_retrans = "request_sock"."num_retrans",
    /// Jiffies when data was last sent, or when the socket was created.
    lsndtime = "tcp_sock"."lsndtime",
    /// Time at which the application last read, or at first at which the connection was
    /// established, µs.
    rcvq_time = "tcp_sock"."rcvq_space.time",
    /// `rcv_nxt` in the newest ACK that was sent.
    rcv_wup = "tcp_sock"."rcv_wup",
    /// Receive window that was announced.
    rcv_wnd = "tcp_sock"."rcv_wnd",
    /// The peer's receive window.
    snd_wnd = "tcp_sock"."snd_wnd",
    /// Congestion window, segments.
    snd_cwnd = "tcp_sock"."snd_cwnd",
    /// End of the newest small segment that was sent.
    snd_sml = "tcp_sock"."snd_sml",
    /// Segments in flight.
    packets_out = "tcp_sock"."packets_out",
    /// Segments in flight that were acknowledged out of order.
    sacked_out = "tcp_sock"."sacked_out",
    /// Segments in flight that are taken for lost.
    lost_out = "tcp_sock"."lost_out",
    /// Segments in flight that were sent again.
    retrans_out = "tcp_sock"."retrans_out",
    /// Segments sent again since the connection began.
    total_retrans = "tcp_sock"."total_retrans",
    /// Segment size.
    mss_cache = "tcp_sock"."mss_cache",
    /// TCP_NODELAY and TCP_CORK, four bits.
    nonagle = "tcp_sock"."nonagle",
    /// Whether the data of the SYN was taken (TCP Fast Open): the byte that has the bit.
    syn_data_acked = "tcp_sock"."syn_data_acked",
    /// State of the delayed ACK, `ICSK_ACK_*`.
    ack_pending = "inet_connection_sock"."icsk_ack.pending",
    /// Error that the network reported of a connection that goes on.
    sk_err_soft = "sock"."sk_err_soft",
    /// Jiffies when data came last, or when the connection was made.
    lrcvtime = "inet_connection_sock"."icsk_ack.lrcvtime",
    /// Jiffies when the newest segment with an acknowledgement came.
    rcv_tstamp = "tcp_sock"."rcv_tstamp",
    /// `net.ipv4.ip_local_port_range`: two numbers, or from 6.8 on one that has both.
    net_local_ports = "net"."ipv4.ip_local_ports.range",
    /// Pacing: none, asked for, by the queueing discipline.
    sk_pacing_status = "sock"."sk_pacing_status",
    /// Rate at which what is written is sent, bytes a second.
    sk_pacing_rate = "sock"."sk_pacing_rate",
    /// Limit of it that was set; all bits where none was.
    sk_max_pacing_rate = "sock"."sk_max_pacing_rate",
    /// Size of the send buffer.
    sk_sndbuf = "sock"."sk_sndbuf",
    /// Bytes in it, with the kernel's overhead.
    sk_wmem_queued = "sock"."sk_wmem_queued",
    /// Size of the receive buffer.
    sk_rcvbuf = "sock"."sk_rcvbuf",
    /// Bytes in it.
    sk_rmem_alloc = "sock"."sk_backlog.rmem_alloc",
    /// Packets in the receive queue; of a listening Unix-domain socket, connections in the accept
    /// queue.
    sk_receive_qlen = "sock"."sk_receive_queue.qlen",
    /// Datagrams that the readers of a UDP socket have taken over from there.
    udp_reader_qlen = "udp_sock"."reader_queue.qlen",
    /// Directions that were shut down.
    sk_shutdown = "sock"."sk_shutdown",
    /// Time at which the first data came, µs, until as many have come as the first window allows
    /// (`tcp_rcv_rtt_measure`).
    first_data_time = "tcp_sock"."rcv_rtt_est.time",
    /// Segments sent, of any kind.
    segs_out = "tcp_sock"."segs_out",
    /// `SOCK_DONE` and so on.
    skc_flags = "sock_common"."skc_flags",
    /// Time at which the delayed ACK is due, jiffies; its timer may fire earlier and be set anew
    /// (up to 6.17).
    ack_timeout = "inet_connection_sock"."icsk_ack.timeout",
    /// Further ACKs that will not be delayed.
    ack_quick = "inet_connection_sock"."icsk_ack.quick",
    /// Degree to which the connection is taken for interactive, so that ACKs wait for data.
    ack_pingpong = "inet_connection_sock"."icsk_ack.pingpong",
    /// State of congestion control (`TCP_CA_Open` and so on), in the low five bits.
    ca_state = "inet_connection_sock"."icsk_ca_state",
    /// Congestion control.
    icsk_ca_ops = "inet_connection_sock"."icsk_ca_ops",
    /// Function by which it sets its window alone (BBR), if it does.
    ca_cong_control = "tcp_congestion_ops"."cong_control",
    /// `net.ipv4.tcp_slow_start_after_idle`.
    net_restart = "net"."ipv4.sysctl_tcp_slow_start_after_idle",
    /// Segments that the peer told to have had already (duplicate SACK).
    dsack_dups = "tcp_sock"."dsack_dups",
    /// Retransmission timeout, jiffies.
    rto = "inet_connection_sock"."icsk_rto",
    /// Scale of the peer's window, in the low four bits.
    snd_wscale = "tcp_sock"."rx_opt.snd_wscale",
    /// Route.
    sk_dst_cache = "sock"."sk_dst_cache",
    /// Device of a route.
    dst_dev = "dst_entry"."dev",
    /// Name of a Unix-domain socket.
    unix_addr = "unix_sock"."addr",
    /// Its length, the family included.
    unix_addr_len = "unix_address"."len",
    /// The name, a `struct sockaddr_un`.
    unix_addr_name = "unix_address"."name",
    /// Operation of an io_uring request.
    uring_opcode = "io_kiocb"."opcode",
    /// File of an io_uring request.
    uring_file = "io_kiocb"."file",
    /// The first subflow of a Multipath TCP socket.
    mptcp_first = "mptcp_sock"."first",
    /// The subflow that a context belongs to.
    subflow_tcp_sock = "mptcp_subflow_context"."tcp_sock",
    /// Its Multipath TCP socket.
    subflow_conn = "mptcp_subflow_context"."conn",
    /// Inode of a file.
    file_inode = "file"."f_inode",
    /// Type and permissions of an inode.
    inode_mode = "inode"."i_mode",
    /// Command name.
    task_comm = "task_struct"."comm",
    /// Data that the threads of a process share.
    task_signal = "task_struct"."signal",
    /// Threads of a process that have not begun to exit.
    signal_live = "signal_struct"."live",
    /// State of the process: that it exits as a whole, among others.
    signal_flags = "signal_struct"."flags",
    /// Wait status of a process that exits as a whole.
    signal_group_exit_code = "signal_struct"."group_exit_code",
    /// First thread of the process.
    task_group_leader = "task_struct"."group_leader",
    /// Wait status of a thread that has ended.
    task_exit_code = "task_struct"."exit_code",
    /// Kernel stack of a thread.
    task_stack = "task_struct"."stack",
    /// Start of a packet's buffer.
    skb_head = "sk_buff"."head",
    /// Offset of the end of the buffer, where `skb_shared_info` lies.
    skb_end = "sk_buff"."end",
    /// Segments that were merged into a packet; 0 of a single one.
    shinfo_gso_segs = "skb_shared_info"."gso_segs",
    /// Offset of the IP header.
    skb_network_header = "sk_buff"."network_header",
    /// Offset of the TCP header.
    skb_transport_header = "sk_buff"."transport_header",
    /// Length of a packet.
    skb_len = "sk_buff"."len",
    /// Ethertype, network order.
    skb_protocol = "sk_buff"."protocol",
    /// Socket a packet belongs to.
    skb_sk = "sk_buff"."sk",
    /// Device that a packet goes through.
    skb_dev = "sk_buff"."dev",
    /// Start of what a packet has at present.
    skb_data = "sk_buff"."data",
    /// Control block of a TCP segment.
    skb_cb = "sk_buff"."cb",
    /// In the control block: number of the segment's first byte.
    cb_seq = "tcp_skb_cb"."seq",
    /// In the control block: number behind its last byte; SYN and FIN count as one.
    cb_end_seq = "tcp_skb_cb"."end_seq",
    /// In the control block: flags, in the low byte.
    cb_tcp_flags = "tcp_skb_cb"."tcp_flags",
    /// In the control block: the number that it acknowledges.
    cb_ack_seq = "tcp_skb_cb"."ack_seq",
}

/// Settings of the probes for one run. Those that are read most often lie last, next to the members
/// of [`Layout`] that are.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The command name that makes a target, NUL-padded.
    pub comm: [u8; 16],
    /// The agent's own process, never a target by `all` or `by_comm`.
    pub agent: u32,
    /// `SKB_DROP_REASON_TCP_LISTEN_OVERFLOW` of this kernel; 0 where there is none.
    pub drop_listen_overflow: u32,
    /// `SKB_DROP_REASON_NO_SOCKET`, as above.
    pub drop_no_socket: u32,
    /// `SKB_DROP_REASON_NOT_SPECIFIED`, as above.
    pub drop_not_specified: u32,
    /// Length of a jiffy, ns.
    pub tick_ns: u32,
    /// Size of the ring buffer.
    pub ring_bytes: u32,
    /// Not 0: dropped SYNs are not seen, so that listeners' drop counters are watched instead.
    pub counts_drops: u32,
    /// Not 0: every listener of the machine is a target.
    pub all: u8,
    /// Not 0: children of targets become targets.
    pub follow: u8,
    /// Not 0: a new process image whose `comm` is [`Config::comm`] becomes a target.
    pub by_comm: u8,
    /// Not 0: `PORTS` holds targets.
    pub by_port: u8,
    /// Not 0: the payload prefix of connections is captured.
    pub payload_prefix: u8,
    /// The bit of `syn_data_acked` in its byte; 0 if this kernel has none.
    pub syn_data_bit: u8,
    /// The bit of `req_acked` in its byte; 0 if this kernel has none.
    pub acked_bit: u8,
    /// Not 0: `bpf_task_pt_regs` exists (5.15 on).
    pub task_regs: u8,
    /// Not 0: every single event gets a record, those of listeners and those of connections.
    pub events: u8,
    /// Not 0: tracing programs may use socket storage (5.11 on).
    pub socket_storage: u8,
    /// Not 0: tracing programs may ask for socket cookies (5.12 on).
    pub socket_cookie: u8,
    /// Not 0: `bpf_sock_from_file` and `bpf_get_current_task_btf` exist (5.11 on).
    pub sock_from_file: u8,
    /// Not 0: the verifier knows the socket that a file leads to. Not before 5.11; and not where it
    /// trusts no pointer that was read through another one.
    pub typed_files: u8,
    /// Not 0: the queued stamp comes from the child's state change (tracepoint tier).
    pub queued_by_state: u8,
    /// Not 0: exchanges are watched, not only queues.
    pub exchanges: u8,
    /// Not 0: the timer of delayed ACKs is hooked, so that none need be told from the socket's
    /// stamps.
    pub delayed_ack_timer: u8,
    /// Not 0: less is kept of a connection while nothing happens on it.
    pub compacts_idle: u8,
    /// Not 0: there are eras in which exchanges are not watched (`ERA`).
    pub has_pauses: u8,
    /// Not 0: the machine is arm64, so that system calls have its numbers.
    pub arm64: u8,
    /// Fills the place up to the next field.
    pub _pad: u8,
    /// Distance of the registers with which a thread entered the kernel from the start of its
    /// stack. Only used where [`Config::task_regs`] is 0.
    pub stack_regs: u16,
    /// Size of `struct tcp_sock`. Only used where [`Config::typed_files`] is 0.
    pub tcp_sock_bytes: u16,
}

impl Config {
    /// Nothing asked for.
    pub const EMPTY: Self = Self {
        all: 0,
        follow: 0,
        events: 0,
        socket_storage: 0,
        socket_cookie: 0,
        sock_from_file: 0,
        typed_files: 0,
        tcp_sock_bytes: 0,
        _pad: 0,
        by_comm: 0,
        by_port: 0,
        queued_by_state: 0,
        exchanges: 0,
        delayed_ack_timer: 0,
        task_regs: 0,
        payload_prefix: 0,
        syn_data_bit: 0,
        compacts_idle: 0,
        has_pauses: 0,
        acked_bit: 0,
        tick_ns: 4_000_000,
        ring_bytes: 0,
        drop_listen_overflow: 0,
        drop_no_socket: 0,
        drop_not_specified: 0,
        counts_drops: 0,
        arm64: 0,
        stack_regs: 0,
        agent: 0,
        comm: [0; 16],
    };
}
