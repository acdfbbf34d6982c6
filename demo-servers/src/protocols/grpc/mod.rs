//! gRPC: calls of four kinds, each a stream of HTTP/2.

/// The service of `echo.proto`, as the build script generates it.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod echo {
    /// The message of that file.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Message {
        #[prost(string, tag = "1")]
        pub text: String,
        #[prost(uint32, tag = "2")]
        pub number: u32,
    }

    include!(concat!(env!("OUT_DIR"), "/demo.Echo.rs"));
}

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum, value_parser};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use http::Uri;
use humantime::parse_duration;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::server::conn::http2 as server;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::{Request, Response, Status, Streaming};

use self::echo::Message;
use self::echo::echo_client::EchoClient;
use self::echo::echo_server::{Echo, EchoServer};
use crate::demo::client::timeout;
use crate::demo::tasks::{Failure, Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::execution::Count;
use crate::http::{HoldOptions, accept_all, listen, run as run_server};
use crate::sock::ListenOptions;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Delays before each message of an answer
    #[command(flatten)]
    pub hold: HoldOptions,
}

/// Serves until signalled: the service of `echo.proto`.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("event-loop", async {
        let listener = listen(&options.listen)?;
        let service = EchoServer::new(AllKinds { hold: options.hold });
        accept_all(&listener, |socket| {
            let service = TowerToHyperService::new(service.clone());
            let serve = server::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service);
            // A client that has left is no error.
            async move { drop(serve.await) }
        })
        .await
    })
}

/// Answers calls of the four kinds.
struct AllKinds {
    hold: HoldOptions,
}

type Messages = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for AllKinds {
    type ServerStreamStream = Messages;
    type BidirectionalStreamStream = Messages;

    async fn unary(&self, request: Request<Message>) -> Result<Response<Message>, Status> {
        self.hold.hold().await;
        Ok(Response::new(request.into_inner()))
    }

    async fn server_stream(&self, request: Request<Message>) -> Result<Response<Messages>, Status> {
        let (message, hold) = (request.into_inner(), self.hold);
        let answer = move |number| {
            let text = message.text.clone();
            async move {
                hold.hold().await;
                Ok(Message { text, number })
            }
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(1..=message.number).then(answer))))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Message>, Status> {
        let mut messages = request.into_inner();
        let mut number = 0;
        while messages.message().await?.is_some() {
            number += 1;
        }
        self.hold.hold().await;
        Ok(Response::new(Message { text: "received".to_owned(), number }))
    }

    async fn bidirectional_stream(
        &self,
        request: Request<Streaming<Message>>,
    ) -> Result<Response<Messages>, Status> {
        let hold = self.hold;
        Ok(Response::new(Box::pin(request.into_inner().then(move |message| async move {
            hold.hold().await;
            message
        }))))
    }
}

/// Kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Each of the others in turn
    All,
    /// One message, one answer
    Unary,
    /// One message, many answers
    ServerStream,
    /// Many messages, one answer
    ClientStream,
    /// An answer to each of many messages
    Bidirectional,
}

const KINDS: [Kind; 4] = [Kind::Unary, Kind::ServerStream, Kind::ClientStream, Kind::Bidirectional];

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct GrpcOptions {
    /// Connections; 2x is two for each processor
    #[arg(long, default_value = "2", value_name = "N")]
    pub clients: Count,
    /// Concurrent calls on each connection
    #[arg(
        long,
        default_value_t = 2,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..)
    )]
    pub streams: u16,
    /// Calls to make one after another, for each concurrent one; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub calls: u64,
    /// Kind of call
    #[arg(long, value_enum, default_value_t = Kind::All, value_name = "KIND")]
    pub kind: Kind,
    /// Messages in a call that has many
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub messages: u32,
    /// Pause after each call
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// Give up on a call after this long
    #[arg(long, default_value = "10s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::of(&status)
    }
}

/// A connection in the form that tonic needs.
#[derive(Clone)]
struct Channel(http2::SendRequest<Body>);

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl GrpcOptions {
    /// Makes calls. The latency is that of whole calls. Facts: `unary`, `server_stream`,
    /// `client_stream`, `bidirectional` (calls of each kind), `sent` and `received` (messages).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            KINDS
                .iter()
                .filter_map(|kind| kind.fact())
                .chain(["sent", "received"])
                .for_each(|fact| tasks.add(fact, 0));
            tasks.each(self.clients.get(), async |_| self.converse(server, tasks).await).await;
        })
    }

    async fn converse(&self, server: SocketAddr, tasks: &Tasks<'_>) -> Result<(), String> {
        let socket = in_time("connecting", self.timeout, TcpStream::connect(server)).await?;
        tasks.count(|report| report.connections += 1);
        // Without it the client is only slower.
        let _ = socket.set_nodelay(true);
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
        let (sender, connection) = in_time("connecting", self.timeout, handshake).await?;
        tokio::spawn(connection);
        let origin =
            Uri::try_from(format!("http://{server}")).map_err(|error| error.to_string())?;
        let client = EchoClient::with_origin(Channel(sender), origin);
        let streams = (0..self.streams).map(async |_| {
            let mut client = client.clone();
            for (number, turn) in (1..).zip(KINDS.iter().cycle()) {
                let kind = if self.kind == Kind::All { *turn } else { self.kind };
                let start = Instant::now();
                tasks.count(|report| report.asked += 1);
                in_time("calling", self.timeout, self.call(&mut client, kind, tasks)).await?;
                tasks.answer(None, start);
                kind.fact().into_iter().for_each(|fact| tasks.add(fact, 1));
                if !tasks.sleep(self.pause).await || number == self.calls {
                    break;
                }
            }
            Ok(())
        });
        join_all(streams).await.into_iter().collect()
    }

    async fn call(
        &self,
        client: &mut EchoClient<Channel>,
        kind: Kind,
        tasks: &Tasks<'_>,
    ) -> Result<(), Status> {
        let message = |number| Message { text: "hello".to_owned(), number };
        let count = u64::from(self.messages);
        let (sent, received) = match kind {
            Kind::All | Kind::Unary => {
                client.unary(message(1)).await?;
                (1, 1)
            }
            Kind::ServerStream => {
                let mut answers = client.server_stream(message(self.messages)).await?.into_inner();
                let mut received = 0;
                while answers.message().await?.is_some() {
                    received += 1;
                }
                (1, received)
            }
            Kind::ClientStream => {
                let messages = tokio_stream::iter((1..=self.messages).map(message));
                client.client_stream(messages).await?;
                (count, 1)
            }
            Kind::Bidirectional => {
                // Each message is sent when the one before is answered.
                let (sender, messages) = mpsc::channel(1);
                let mut answers =
                    client.bidirectional_stream(ReceiverStream::new(messages)).await?.into_inner();
                for number in 1..=self.messages {
                    sender
                        .send(message(number))
                        .await
                        .map_err(|_| Status::cancelled("the call has ended"))?;
                    answers
                        .message()
                        .await?
                        .ok_or_else(|| Status::data_loss("the server has ended the call"))?;
                }
                (count, count)
            }
        };
        tasks.add("sent", sent);
        tasks.add("received", received);
        Ok(())
    }
}

impl Kind {
    /// Returns the fact that counts calls of this kind.
    fn fact(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::Unary => Some("unary"),
            Self::ServerStream => Some("server_stream"),
            Self::ClientStream => Some("client_stream"),
            Self::Bidirectional => Some("bidirectional"),
        }
    }
}
