//! Publish and subscribe: a publisher sends to the broker, and need not know the subscribers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use humantime::parse_duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::broadcast::{self, Receiver, error::RecvError};

use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::http::{accept_all, listen, padded, run as run_server};
use crate::sock::{ListenOptions, monotonic_ns};

/// Longest line that is accepted, bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// Most topics that are kept.
const MOST_TOPICS: usize = 10_000;
/// Longest time that a client waits for outstanding messages when it has published all.
const SETTLE: Duration = Duration::from_secs(5);

/// Knobs of the broker.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Messages to keep for a subscriber that does not keep up; the oldest are dropped
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "N",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub queue: u32,
}

/// Serves until signalled. `SUB TOPIC` is answered with `OK`, then with `MSG TEXT` for each
/// message, or `LOST N`. `PUB TOPIC TEXT` is answered with `OK N`, the number of subscribers.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("broker", async {
        let listener = listen(&options.listen)?;
        let broker = Arc::new(Broker::new(options.queue));
        accept_all(&listener, |socket| {
            let broker = Arc::clone(&broker);
            // A client that has left is no error.
            async move { drop(broker.serve(socket).await) }
        })
        .await
    })
}

type Message = Arc<str>;

pub(super) struct Broker {
    topics: Mutex<HashMap<String, broadcast::Sender<Message>>>,
    queue: usize,
}

impl Broker {
    /// Makes a broker that keeps so many messages for a subscriber that does not keep up.
    pub(super) fn new(queue: u32) -> Self {
        Self { topics: Mutex::default(), queue: queue as usize }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        let (input, output) = socket.into_split();
        let output = Arc::new(tokio::sync::Mutex::new(output));
        let mut input = BufReader::new(input);
        let mut subscriptions = tokio::task::JoinSet::new();
        loop {
            let mut line = String::new();
            if (&mut input).take(LONGEST_LINE).read_line(&mut line).await? == 0
                || !line.ends_with('\n')
            {
                return Ok(());
            }
            let mut words = line.trim_end().splitn(3, ' ');
            let answer = match (words.next(), words.next(), words.next()) {
                (Some("SUB"), Some(topic), None) => match self.subscribe(topic) {
                    Some(messages) => {
                        // The answer has to come before any message.
                        output.lock().await.write_all(b"OK\n").await?;
                        subscriptions.spawn(deliver(messages, Arc::clone(&output)));
                        continue;
                    }
                    None => "ERR too many topics\n".to_owned(),
                },
                (Some("PUB"), Some(topic), Some(text)) => {
                    format!("OK {}\n", self.publish(topic, text))
                }
                _ => "ERR say `SUB TOPIC` or `PUB TOPIC TEXT`\n".to_owned(),
            };
            output.lock().await.write_all(answer.as_bytes()).await?;
        }
    }

    fn subscribe(&self, topic: &str) -> Option<Receiver<Message>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.len() >= MOST_TOPICS {
            topics.retain(|_, topic| topic.receiver_count() > 0);
        }
        if topics.len() >= MOST_TOPICS && !topics.contains_key(topic) {
            return None;
        }
        Some(
            topics
                .entry(topic.to_owned())
                .or_insert_with(|| broadcast::Sender::new(self.queue))
                .subscribe(),
        )
    }

    /// Returns the number of subscribers. A topic without any is not kept.
    fn publish(&self, topic: &str, text: &str) -> usize {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).and_then(|topic| topic.send(text.into()).ok()).unwrap_or(0)
    }
}

/// Writes messages to a subscriber as fast as it takes them.
async fn deliver(mut messages: Receiver<Message>, output: Arc<tokio::sync::Mutex<OwnedWriteHalf>>) {
    loop {
        let line = match messages.recv().await {
            Ok(text) => format!("MSG {text}\n"),
            Err(RecvError::Lagged(lost)) => format!("LOST {lost}\n"),
            Err(RecvError::Closed) => break,
        };
        if output.lock().await.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
}

/// Knobs of the client, which is all publishers and subscribers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct PubSubOptions {
    /// Connections that publish, to each topic in turn
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..=1024)
    )]
    pub publishers: u16,
    /// Connections that subscribe, each to one topic
    #[arg(
        long,
        default_value_t = 4,
        value_name = "N",
        value_parser = value_parser!(u16).range(0..=1024)
    )]
    pub subscribers: u16,
    /// Topics
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        value_parser = value_parser!(u16).range(1..=1024)
    )]
    pub topics: u16,
    /// Messages of each publisher; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub messages: u64,
    /// Bytes of a message
    #[arg(
        long,
        default_value_t = 100,
        value_name = "BYTES",
        value_parser = value_parser!(u32).range(..1_000_000)
    )]
    pub message_size: u32,
    /// Pause after each message
    #[arg(long, default_value = "10ms", value_name = "TIME", value_parser = parse_duration)]
    pub pause: Duration,
    /// The first subscriber sleeps this long after each message
    #[arg(long, default_value = "0ms", value_name = "TIME", value_parser = parse_duration)]
    pub slow_subscriber: Duration,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

/// Messages and clients that are under way.
#[derive(Default)]
struct Progress {
    subscribed: AtomicU64,
    publishing: AtomicU64,
    /// Deliveries that the broker has promised.
    promised: AtomicU64,
    /// Those that came, or that are known to be lost.
    settled: AtomicU64,
}

type Connection = BufReader<TcpStream>;

impl PubSubOptions {
    /// Publishes and receives. The latency is that of messages, from publisher to subscriber.
    /// Facts: `published`, `delivered`, `lost` (deliveries that the broker gave up).
    pub(crate) fn run(&self, broker: SocketAddr, stop: &Stop) -> Report {
        let progress =
            &Progress { publishing: AtomicU64::new(self.publishers.into()), ..Progress::default() };
        Tasks::run(stop, async |tasks| {
            ["published", "delivered", "lost"].into_iter().for_each(|fact| tasks.add(fact, 0));
            let subscribers = tasks.each(self.subscribers.into(), async |number| {
                tasks
                    .unless_stopped(self.subscribe(broker, number, tasks, progress))
                    .await
                    .unwrap_or(Ok(()))
            });
            let publishers = tasks.each(self.publishers.into(), async |_| {
                while tasks.go_on()
                    && progress.subscribed.load(Ordering::Relaxed) < self.subscribers.into()
                {
                    tasks.sleep(Duration::from_millis(5)).await;
                }
                self.publish(broker, tasks, progress).await?;
                progress.publishing.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            });
            futures_util::future::join(subscribers, publishers).await;
        })
    }

    async fn connect(&self, broker: SocketAddr, tasks: &Tasks<'_>) -> Result<Connection, String> {
        let socket = in_time("connecting", self.timeout, TcpStream::connect(broker)).await?;
        tasks.count(|report| report.connections += 1);
        // Without it the client is only slower.
        let _ = socket.set_nodelay(true);
        Ok(BufReader::new(socket))
    }

    /// Sends a line and returns the answer.
    async fn ask(&self, connection: &mut Connection, line: &str) -> Result<String, String> {
        in_time("sending", self.timeout, connection.get_mut().write_all(line.as_bytes())).await?;
        let mut answer = String::new();
        match in_time("waiting for an answer", self.timeout, connection.read_line(&mut answer))
            .await?
        {
            0 => Err("waiting for an answer: the server closed".to_owned()),
            _ if answer.starts_with("OK") => Ok(answer),
            _ => Err("refused".to_owned()),
        }
    }

    async fn publish(
        &self,
        broker: SocketAddr,
        tasks: &Tasks<'_>,
        progress: &Progress,
    ) -> Result<(), String> {
        let mut connection = self.connect(broker, tasks).await?;
        for number in 1.. {
            let topic = (number - 1) % u64::from(self.topics);
            let text = padded(format!("{} ", monotonic_ns()), self.message_size as usize);
            tasks.count(|report| report.asked += 1);
            let answer = self.ask(&mut connection, &format!("PUB topic-{topic} {text}\n")).await?;
            tasks.count(|report| report.answered += 1);
            tasks.add("published", 1);
            let promised = answer
                .trim_end()
                .strip_prefix("OK ")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0);
            progress.promised.fetch_add(promised, Ordering::Relaxed);
            if number == self.messages || !tasks.sleep(self.pause).await {
                break;
            }
        }
        Ok(())
    }

    /// Receives until all that was published has come, or nothing more comes.
    async fn subscribe(
        &self,
        broker: SocketAddr,
        number: u64,
        tasks: &Tasks<'_>,
        progress: &Progress,
    ) -> Result<(), String> {
        let mut connection = self.connect(broker, tasks).await?;
        let topic = (number - 1) % u64::from(self.topics);
        self.ask(&mut connection, &format!("SUB topic-{topic}\n")).await?;
        progress.subscribed.fetch_add(1, Ordering::Relaxed);
        let mut lines = connection.lines();
        let mut quiet_since = Instant::now();
        loop {
            // `next_line` is cancel-safe: nothing is lost if it is dropped while it waits.
            let line =
                match tokio::time::timeout(Duration::from_millis(20), lines.next_line()).await {
                    Ok(Ok(Some(line))) => line,
                    Ok(_) => return Err("waiting for messages: the server closed".to_owned()),
                    Err(_)
                        if progress.is_complete()
                            || progress.has_ended() && quiet_since.elapsed() > SETTLE =>
                    {
                        break;
                    }
                    Err(_) => continue,
                };
            quiet_since = Instant::now();
            self.hear(&line, tasks, progress);
            if number == 1 {
                tasks.sleep(self.slow_subscriber).await;
            }
        }
        Ok(())
    }

    fn hear(&self, line: &str, tasks: &Tasks<'_>, progress: &Progress) {
        let settled = if let Some(text) = line.strip_prefix("MSG ") {
            if let Some(Ok(sent_ns)) = text.split(' ').next().map(str::parse) {
                tasks.count(|report| {
                    report.latency(Duration::from_nanos(monotonic_ns().saturating_sub(sent_ns)))
                });
            }
            tasks.add("delivered", 1);
            1
        } else {
            let lost = line.strip_prefix("LOST ").and_then(|lost| lost.parse().ok()).unwrap_or(0);
            tasks.add("lost", lost);
            lost
        };
        progress.settled.fetch_add(settled, Ordering::Relaxed);
    }
}

impl Progress {
    fn has_ended(&self) -> bool {
        self.publishing.load(Ordering::Relaxed) == 0
    }

    fn is_complete(&self) -> bool {
        self.has_ended()
            && self.settled.load(Ordering::Relaxed) >= self.promised.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_those_who_have_subscribed() {
        let broker = Broker::new(2);
        assert_eq!(broker.publish("a", "nobody hears"), 0);
        let (mut first, _second) = (broker.subscribe("a").unwrap(), broker.subscribe("a").unwrap());
        let _other = broker.subscribe("b").unwrap();
        assert_eq!([1, 2, 3].map(|number| broker.publish("a", &number.to_string())), [2, 2, 2]);
        assert!(matches!(first.try_recv(), Err(broadcast::error::TryRecvError::Lagged(1))));
        assert_eq!(first.try_recv().as_deref(), Ok("2"));
    }
}
