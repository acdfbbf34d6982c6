//! Hellos of TLS.

use tls_parser::{
    TlsClientHelloContents, TlsExtension, TlsMessage, TlsMessageHandshake, TlsServerHelloContents,
    parse_tls_client_hello_extensions, parse_tls_message_handshake,
    parse_tls_server_hello_extensions,
};

use super::{Reading, Scrubbed};
use crate::model::event::{ClientHello, ServerHello, Sign};
use crate::text::Untrusted;

const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
/// Bytes of a record's head.
pub(super) const HEAD: usize = 5;
/// A record holds no more than this (RFC 8446, 5.1).
pub(super) const LONGEST: usize = 1 << 14;
/// The random of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3).
const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];

/// Whether bytes begin as a record of the handshake does.
pub(super) fn is_handshake(bytes: &[u8]) -> bool {
    matches!(bytes, [HANDSHAKE, 3, 0..=4, ..])
}

/// Reads a client's or a server's hello.
pub(super) fn read(from_client: bool, bytes: &[u8]) -> Reading {
    let Some(messages) = messages(bytes) else { return Reading::default() };
    match parse_tls_message_handshake(&messages) {
        Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) if from_client => {
            Reading::last(client(&hello).map(Sign::ClientHello))
        }
        Ok((rest, TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello))))
            if !from_client =>
        {
            if hello.random.starts_with(&RETRY) {
                second(rest)
            } else {
                server_reading(&hello)
            }
        }
        Err(error) => Reading { sign: None, more: error.is_incomplete() },
        _ => Reading::default(),
    }
}

/// Reads the hello behind one that asks the client to say hello again, with another key
/// (HelloRetryRequest).
fn second(bytes: &[u8]) -> Reading {
    match parse_tls_message_handshake(bytes) {
        Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ServerHello(hello))))
            if !hello.random.starts_with(&RETRY) =>
        {
            server_reading(&hello)
        }
        Err(error) => Reading { sign: None, more: error.is_incomplete() },
        _ => Reading::default(),
    }
}

/// Reads a server's hello that asks for no other one.
fn server_reading(hello: &TlsServerHelloContents) -> Reading {
    Reading::last(server(hello).map(Sign::ServerHello))
}

/// Joins the contents of the records, as far as they are there. A message may be spread over
/// several records.
fn messages(mut bytes: &[u8]) -> Option<Scrubbed> {
    let mut messages = Scrubbed::default();
    // A server that asks for another hello changes nothing yet, and says so for old middleboxes'
    // sake (RFC 8446, D.4).
    let is_part =
        |bytes: &[u8]| is_handshake(bytes) || matches!(bytes, [CHANGE_CIPHER_SPEC, 3, 3, 0, 1, ..]);
    while is_part(bytes)
        && let Some((head, rest)) = bytes.split_at_checked(HEAD)
    {
        let length = usize::from(head[3]) << 8 | usize::from(head[4]);
        if length == 0 || length > LONGEST {
            return None;
        }
        if head[0] != CHANGE_CIPHER_SPEC {
            messages.append(&rest[..length.min(rest.len())]);
        }
        bytes = rest.get(length..).unwrap_or_default();
    }
    Some(messages)
}

/// Reads a client's hello; `None` if its extensions are malformed.
fn client(hello: &TlsClientHelloContents) -> Option<ClientHello> {
    let mut read = ClientHello {
        version: hello.version.0,
        session: session_hash(hello.session_id),
        ..ClientHello::default()
    };
    for extension in extensions(hello.ext, parse_tls_client_hello_extensions)? {
        match extension {
            TlsExtension::SNI(names) => {
                read.server_name = names.first().map(|(_, name)| text(name));
            }
            TlsExtension::ALPN(names) => read.alpn = names.iter().map(|name| text(name)).collect(),
            // A client may offer versions that do not exist, to keep servers tolerant (GREASE, RFC
            // 8701).
            TlsExtension::SupportedVersions(versions) => {
                let mut newest = None;
                for version in versions {
                    if version.0 >> 8 == 3 {
                        newest = newest.max(Some(version.0));
                    }
                }
                read.version = newest.unwrap_or(read.version);
            }
            TlsExtension::EarlyData(_) => read.early_data = true,
            _ => {}
        }
    }
    Some(read)
}

/// Reads a server's hello; `None` if its extensions are malformed.
fn server(hello: &TlsServerHelloContents) -> Option<ServerHello> {
    let mut read = ServerHello {
        version: hello.version.0,
        session: session_hash(hello.session_id),
        ..ServerHello::default()
    };
    for extension in extensions(hello.ext, parse_tls_server_hello_extensions)? {
        match extension {
            TlsExtension::ALPN(names) => read.alpn = names.first().map(|name| text(name)),
            TlsExtension::SupportedVersions(versions) => {
                if let Some(version) = versions.first() {
                    read.version = version.0;
                }
            }
            TlsExtension::PreSharedKey(_) => read.took_session = true,
            _ => {}
        }
    }
    Some(read)
}

type Parser = for<'a> fn(&'a [u8]) -> tls_parser::nom::IResult<&'a [u8], Vec<TlsExtension<'a>>>;

fn extensions<'a>(bytes: Option<&'a [u8]>, parser: Parser) -> Option<Vec<TlsExtension<'a>>> {
    let Some(bytes) = bytes else { return Some(Vec::new()) };
    let (_, extensions) = parser(bytes).ok()?;
    Some(extensions)
}

/// Hash of a session's id; 0 without one.
fn session_hash(id: Option<&[u8]>) -> u32 {
    id.map_or(0, crc32fast::hash)
}

fn text(bytes: &[u8]) -> Untrusted {
    String::from_utf8_lossy(bytes).into()
}
