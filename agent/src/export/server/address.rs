//! The place where scrapes are answered: what was asked for, and what it takes.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::{fs::Mode, process::umask};

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Address {
    /// True where other hosts can reach it.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => false,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("unix: is followed by the path of a socket".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if let Some(port) = text.strip_prefix("localhost:").or(text.strip_prefix(':'))
            && let Ok(port) = port.parse::<u16>()
        {
            return Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
        let address = text.parse().map_err(
            |_| "write IP:PORT, such as 127.0.0.1:9464 or [::1]:9464; localhost:PORT; or unix:PATH",
        )?;
        Ok(Self::Tcp(address))
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The reason why nothing listens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error(
        "cannot serve metrics at {0}: another program listens there (`backscope listeners --port \
         {1}` tells which); end that, or choose another port"
    )]
    Taken(SocketAddr, u16),
    #[error(
        "cannot serve metrics at {0}: another program listens on that socket; end that, or choose \
         another path"
    )]
    PathTaken(Address),
    #[error("cannot serve metrics at {0}: that file is there, and is no socket")]
    NoSocket(Address),
    #[error("cannot serve metrics at {0}: this host has no such address")]
    NotHere(Address),
    #[error("cannot serve metrics at {0}: {1}")]
    Other(Address, io::Error),
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// The place is taken, or the system refuses.
    pub(crate) fn bind(address: &Address) -> Result<Self, BindError> {
        let failed = |error: io::Error| match (address, error.kind()) {
            (Address::Tcp(tcp), io::ErrorKind::AddrInUse) => BindError::Taken(*tcp, tcp.port()),
            (Address::Unix(_), io::ErrorKind::AddrInUse) => BindError::PathTaken(address.clone()),
            (_, io::ErrorKind::AddrNotAvailable) => BindError::NotHere(address.clone()),
            _ => BindError::Other(address.clone(), error),
        };
        match address {
            Address::Tcp(tcp) => {
                let listener = TcpListener::bind(tcp).map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                Ok(Self::Tcp(listener))
            }
            Address::Unix(path) => {
                make_way(path, address)?;
                // Its owner and group may connect. Nobody else ever could.
                let before = umask(Mode::RWXO | Mode::XUSR | Mode::XGRP);
                let listener = UnixListener::bind(path);
                umask(before);
                let listener = listener.map_err(failed)?;
                listener.set_nonblocking(true).map_err(failed)?;
                Ok(Self::Unix(listener))
            }
        }
    }

    /// Where it listens: with port 0 the kernel has chosen one.
    pub(crate) fn place(&self, asked: &Address) -> Address {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or(asked.clone(), Address::Tcp),
            Self::Unix(_) => asked.clone(),
        }
    }
}

/// Removes a socket that nobody listens on any more: a run cannot do so at its end, when it has
/// given up the right to.
fn make_way(path: &Path, address: &Address) -> Result<(), BindError> {
    use std::os::unix::fs::FileTypeExt;
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NoSocket(address.clone()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| BindError::Other(address.clone(), error))
        }
        _ => Err(BindError::PathTaken(address.clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn addresses_are_read_and_what_is_none_is_told() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        for (text, address) in [
            ("127.0.0.1:9464", tcp("127.0.0.1:9464")),
            ("localhost:9464", tcp("127.0.0.1:9464")),
            (":9464", tcp("127.0.0.1:9464")),
            ("[::1]:9464", tcp("[::1]:9464")),
            ("0.0.0.0:1", tcp("0.0.0.0:1")),
            ("unix:/run/a b", Address::Unix("/run/a b".into())),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        for text in ["", "9464", "unix:", "host:9464", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_files_are_not_exposed() {
        let exposed = |text: &str| text.parse::<Address>().unwrap().is_exposed();
        assert!(!exposed("127.0.0.1:1") && !exposed("127.9.9.9:1") && !exposed("[::1]:1"));
        assert!(!exposed("unix:/a") && !exposed("[::ffff:127.0.0.1]:1"));
        assert!(exposed("0.0.0.0:1") && exposed("[::]:1") && exposed("10.0.0.1:1"));
    }

    #[test]
    fn a_place_that_is_taken_is_told_and_a_socket_without_a_listener_is_replaced() {
        let any: Address = "127.0.0.1:0".parse().unwrap();
        let first = Listener::bind(&any).unwrap();
        let place = first.place(&any);
        let Address::Tcp(tcp) = place else { panic!("{place}") };
        assert!(std::net::TcpStream::connect(tcp).is_ok());
        let error = Listener::bind(&place).unwrap_err().to_string();
        assert!(error.contains("another program listens there"), "{error}");
        let error = Listener::bind(&"203.0.113.7:1".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("no such address"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let unix = Address::Unix(path.clone());
        let first = Listener::bind(&unix).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o660);
        let error = Listener::bind(&unix).unwrap_err().to_string();
        assert!(error.contains("another program listens on that socket"), "{error}");
        drop(first);
        assert!(Listener::bind(&unix).is_ok());
        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        let error = Listener::bind(&Address::Unix(file.clone())).unwrap_err().to_string();
        assert!(error.contains("no socket") && file.exists(), "{error}");
    }
}
