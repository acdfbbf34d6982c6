//! A TUN device: the kernel routes packets to it, which are read from a descriptor and written to
//! it.

use std::ffi::{c_int, c_ulong};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

/// Makes a device in the calling thread's network namespace, and brings it up with an address in a
/// /24 network. It is removed when the file is closed.
pub(crate) fn open(name: &str, address: Ipv4Addr) -> io::Result<File> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut make = request(name);
    make.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as _;
    control(&device, libc::TUNSETIFF as _, &mut make)?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    for (command, address) in
        [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0))]
    {
        let mut set = request(name);
        set.ifr_ifru.ifru_addr = sockaddr(address);
        control(&socket, command as _, &mut set)?;
    }
    up(name)?;
    Ok(device)
}

/// Brings a device of the calling thread's network namespace up.
pub(crate) fn up(name: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut up = request(name);
    up.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
    control(&socket, libc::SIOCSIFFLAGS as _, &mut up)
}

/// Routes a network to the loopback device, which has none of its addresses.
pub(crate) fn route_to_lo(network: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
    // SAFETY: rtentry is plain data for which all zeroes is valid.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    (route.rt_dst, route.rt_genmask) = (sockaddr(network), sockaddr(mask));
    route.rt_flags = libc::RTF_UP;
    route.rt_dev = c"lo".as_ptr().cast_mut();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: the command reads a rtentry, and the name in it, which is static.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw mut route) } {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            error => Err(error),
        },
    }
}

/// Sets the longest packet that a device takes, bytes.
pub(crate) fn set_mtu(name: &str, bytes: u32) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut set = request(name);
    set.ifr_ifru.ifru_mtu = bytes as _;
    control(&socket, libc::SIOCSIFMTU as _, &mut set)
}

/// Adds a route in the calling thread's network namespace: to the /24 network of this address by
/// way of that one.
pub(crate) fn route(to: Ipv4Addr, by: Ipv4Addr) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let [a, b, c, _] = to.octets();
    // SAFETY: rtentry is plain data for which all zeroes is valid.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = sockaddr(Ipv4Addr::new(a, b, c, 0));
    route.rt_genmask = sockaddr(Ipv4Addr::new(255, 255, 255, 0));
    route.rt_gateway = sockaddr(by);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the command reads an rtentry, which `route` is.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw mut route) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    let places = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    places.zip(name.bytes()).for_each(|(place, byte)| *place = byte as _);
    request
}

fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: sockaddr is plain data for which all zeroes is valid.
    let mut place: libc::sockaddr = unsafe { std::mem::zeroed() };
    place.sa_family = libc::AF_INET as _;
    // Two bytes of port, then the address.
    place.sa_data[2..6]
        .iter_mut()
        .zip(address.octets())
        .for_each(|(place, byte)| *place = byte as _);
    place
}

fn control(on: &impl AsRawFd, command: c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    let fd: c_int = on.as_raw_fd();
    // SAFETY: the commands above read an ifreq, which `request` is, and TUNSETIFF writes its name
    // back.
    let status = unsafe { libc::ioctl(fd, command as _, request) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
