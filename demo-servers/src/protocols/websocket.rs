//! WebSocket: a request of HTTP/1.1 turns the connection into one for messages, which both sides
//! send unasked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use futures_util::{SinkExt, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Request, StatusCode};
use humantime::parse_duration;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::demo::client::timeout;
use crate::demo::tasks::{Failure, Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::execution::Count;
use crate::http::{Answer, HoldOptions, answer, header, listen, run as run_server, serve};
use crate::sock::ListenOptions;

/// Prefix of the server's own messages.
const PUSHED: &str = "push ";

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Delays before an answer
    #[command(flatten)]
    pub hold: HoldOptions,
    /// Send an unasked message at this interval
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    pub push: Option<Duration>,
}

/// Serves until signalled: sends each message back.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("event-loop", async {
        let listener = listen(&options.listen)?;
        let (hold, push) = (options.hold, options.push);
        serve(&listener, move |request, _| async move { upgrade(request, hold, push) }).await
    })
}

/// Answers 101. A task of its own then speaks WebSocket.
fn upgrade(mut request: Request<Incoming>, hold: HoldOptions, push: Option<Duration>) -> Answer {
    let asks = header(request.headers(), UPGRADE.as_str())
        .is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| asks).cloned();
    let Some(key) = key else {
        let mut response = answer(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket server\n");
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Ok(response);
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(io) = upgraded.await {
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, None).await;
            // A client that has left is no error.
            let _ = converse(socket, hold, push).await;
        }
    });
    let mut response = answer(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(derive_accept_key(key.as_bytes()))?);
    Ok(response)
}

async fn converse<S>(
    mut socket: WebSocketStream<S>,
    hold: HoldOptions,
    push: Option<Duration>,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for number in 1u64.. {
        // The next push is due so long after the last message of either side.
        let pause = async {
            match push {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                None => break,
                Some(message) if message.is_text() || message.is_binary() => {
                    hold.hold().await;
                    socket.send(message).await?;
                }
                // Reading is enough: the library answers pings and the closing handshake.
                Some(_) => {}
            },
            () = pause => socket.send(Message::text(format!("{PUSHED}{number}"))).await?,
        }
    }
    Ok(())
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct WebSocketOptions {
    /// Connections; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Messages on each connection; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub messages: u64,
    /// Bytes of a message
    #[arg(
        long,
        default_value_t = 40,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(..16_000_000)
    )]
    pub message_size: u32,
    /// Pings to send before the first message, each when the pong to the last has come
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub pings: u64,
    /// Pause after each answer
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            other => Self::of(&other),
        }
    }
}

impl WebSocketOptions {
    /// Sends messages and awaits them back. Facts: `handshakes`, `echoed` (messages that came
    /// back), `pushed` (messages of the server's own), `pongs`.
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["handshakes", "echoed", "pushed", "pongs"]
                .into_iter()
                .for_each(|fact| tasks.add(fact, 0));
            tasks.each(self.clients.get(), async |_| self.converse(server, tasks).await).await;
        })
    }

    async fn converse(&self, server: SocketAddr, tasks: &Tasks<'_>) -> Result<(), String> {
        let socket = in_time("connecting", self.timeout, TcpStream::connect(server)).await?;
        tasks.count(|report| report.connections += 1);
        // Without it the client is only slower.
        let _ = socket.set_nodelay(true);
        let handshake = client_async(format!("ws://{server}/"), socket);
        let (mut socket, _) = in_time("upgrading", self.timeout, handshake).await?;
        tasks.add("handshakes", 1);
        for number in 0..self.pings {
            let ping = Message::Ping(number.to_be_bytes().to_vec().into());
            in_time("sending a ping", self.timeout, socket.send(ping)).await?;
            while !self.hear_pong(&mut socket, tasks).await? {}
            tasks.add("pongs", 1);
        }
        let text = "x".repeat(self.message_size as usize);
        for number in 1.. {
            let start = Instant::now();
            tasks.count(|report| report.asked += 1);
            in_time("sending", self.timeout, socket.send(Message::text(&text))).await?;
            while !self.hear(&mut socket, tasks).await? {}
            tasks.answer(None, start);
            tasks.add("echoed", 1);
            // Reads during the pause, too: the server may send something.
            let pause = Instant::now() + self.pause;
            while let Ok(heard) =
                tokio::time::timeout_at(pause.into(), self.hear(&mut socket, tasks)).await
            {
                heard?;
            }
            if number == self.messages || !tasks.go_on() {
                break;
            }
        }
        in_time("closing", self.timeout, socket.close(None)).await
    }

    /// Reads a message; returns whether it is a pong.
    async fn hear_pong(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        tasks: &Tasks<'_>,
    ) -> Result<bool, String> {
        let message = self.next(socket).await?;
        tasks.add("pushed", message.is_text().into());
        Ok(message.is_pong())
    }

    async fn next(&self, socket: &mut WebSocketStream<TcpStream>) -> Result<Message, String> {
        let next = async { socket.next().await.unwrap_or(Err(Error::ConnectionClosed)) };
        in_time("waiting for a message", self.timeout, next).await
    }

    /// Reads a message; returns whether it is an answer.
    async fn hear(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        tasks: &Tasks<'_>,
    ) -> Result<bool, String> {
        let message = self.next(socket).await?;
        let pushed = message.to_text().is_ok_and(|text| text.starts_with(PUSHED));
        tasks.add("pushed", pushed.into());
        Ok(message.is_text() && !pushed)
    }
}
