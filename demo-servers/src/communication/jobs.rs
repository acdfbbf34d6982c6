//! Work that takes long. The answer comes when it is done, or at once, with the address of the
//! result.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, StatusCode};
use humantime::parse_duration;
use hyper::body::Incoming;

use crate::demo::client::timeout;
use crate::demo::tasks::{Tasks, in_time};
use crate::demo::{Report, Stop};
use crate::execution::Count;
use crate::http::{
    Answer, Numbers, Sender, answer, header, listen, run as run_server, serve, whole,
};
use crate::sock::ListenOptions;

/// Path of the jobs.
const JOBS: &str = "/jobs/";
/// Most results that wait to be fetched. Further jobs are refused.
const MOST_JOBS: usize = 100_000;

/// Knobs of the server.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where and how to listen
    #[command(flatten)]
    pub listen: ListenOptions,
    /// Time that a job takes
    #[arg(long, default_value = "300ms", value_name = "TIME", value_parser = parse_duration)]
    pub job_time: Duration,
    /// Answer at once with the address of the result (202 Accepted), instead of waiting for the
    /// result
    #[arg(long)]
    pub asynchronous: bool,
}

/// Serves until signalled: `POST /jobs/` begins a job, `GET /jobs/NUMBER` returns its state.
pub fn run(options: &Options) -> anyhow::Result<()> {
    run_server("event-loop", async {
        let listener = listen(&options.listen)?;
        let (time, asynchronous) = (options.job_time, options.asynchronous);
        let jobs = Arc::new(Jobs::default());
        serve(&listener, move |request, _| {
            let jobs = Arc::clone(&jobs);
            async move { jobs.respond(&request, time, asynchronous).await }
        })
        .await
    })
}

#[derive(Default)]
struct Jobs {
    numbers: Numbers,
    /// Whether the job of each number is done.
    done: Mutex<HashMap<u64, bool>>,
}

impl Jobs {
    async fn respond(
        self: Arc<Self>,
        request: &Request<Incoming>,
        time: Duration,
        asynchronous: bool,
    ) -> Answer {
        let number = request.uri().path().strip_prefix(JOBS);
        Ok(match (request.method(), number) {
            (&Method::POST, Some("")) if asynchronous => self.accept(time)?,
            (&Method::POST, Some("")) => {
                tokio::time::sleep(time).await;
                answer(StatusCode::OK, format!("job {} is done\n", self.numbers.next()))
            }
            (&Method::GET, Some(number)) => self.tell(number.parse().unwrap_or(0)),
            _ => answer(StatusCode::NOT_FOUND, "POST /jobs/ or GET /jobs/NUMBER\n"),
        })
    }

    /// Begins a job that goes on after the answer.
    fn accept(self: Arc<Self>, time: Duration) -> Answer {
        let number = self.numbers.next();
        {
            let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
            if done.len() >= MOST_JOBS {
                return Ok(answer(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many results are waiting to be fetched\n",
                ));
            }
            done.insert(number, false);
        }
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, true);
        });
        let mut response = answer(StatusCode::ACCEPTED, format!("job {number} has begun\n"));
        response.headers_mut().insert(LOCATION, HeaderValue::try_from(format!("{JOBS}{number}"))?);
        Ok(response)
    }

    /// Answers with the state of a job. A result is given only once.
    fn tell(&self, number: u64) -> http::Response<crate::http::Body> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match done.get(&number) {
            None => answer(StatusCode::NOT_FOUND, "there is no such job\n"),
            Some(false) => answer(StatusCode::ACCEPTED, format!("job {number} is not done yet\n")),
            Some(true) => {
                done.remove(&number);
                answer(StatusCode::OK, format!("job {number} is done\n"))
            }
        }
    }
}

/// Knobs of the client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Client")]
pub struct JobOptions {
    /// Connections, each with one job at a time; 2x is two for each processor
    #[arg(long, default_value = "4", value_name = "N")]
    pub clients: Count,
    /// Jobs on each connection; 0: no limit
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub jobs: u64,
    /// Ask for a promised result at this interval
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub poll: Duration,
    /// Give up on an answer after this long
    #[arg(long, default_value = "3s", value_name = "TIME", value_parser = timeout)]
    pub timeout: Duration,
}

impl JobOptions {
    /// Has jobs done. The latency is that of answers, not of jobs. Facts: `done` (jobs whose result
    /// came), `accepted` (jobs that were answered with 202 first), `polls` (requests for a result).
    pub(crate) fn run(&self, server: SocketAddr, stop: &Stop) -> Report {
        Tasks::run(stop, async |tasks| {
            ["done", "accepted", "polls"].into_iter().for_each(|fact| tasks.add(fact, 0));
            tasks.each(self.clients.get(), async |_| self.work(server, tasks).await).await;
        })
    }

    async fn work(&self, server: SocketAddr, tasks: &Tasks<'_>) -> Result<(), String> {
        let mut sender =
            in_time("connecting", self.timeout, Sender::connect(server, false)).await?;
        tasks.count(|report| report.connections += 1);
        for number in 1.. {
            let (mut status, location) =
                self.ask(&mut sender, server, Method::POST, JOBS, tasks).await?;
            tasks.add("accepted", (status == StatusCode::ACCEPTED).into());
            while status == StatusCode::ACCEPTED {
                if !tasks.sleep(self.poll).await {
                    return Ok(());
                }
                tasks.add("polls", 1);
                let path =
                    location.as_deref().ok_or("accepted, but without the address of the result")?;
                (status, _) = self.ask(&mut sender, server, Method::GET, path, tasks).await?;
            }
            if status != StatusCode::OK {
                return Err(format!("answered with {status}"));
            }
            tasks.add("done", 1);
            if number == self.jobs || !tasks.go_on() {
                break;
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        sender: &mut Sender,
        server: SocketAddr,
        method: Method,
        path: &str,
        tasks: &Tasks<'_>,
    ) -> Result<(StatusCode, Option<String>), String> {
        let request = sender
            .request(method, server, path)
            .body(whole(""))
            .map_err(|error| error.to_string())?;
        let start = Instant::now();
        tasks.count(|report| report.asked += 1);
        let exchange = sender.exchange(request);
        let (head, _) = in_time("waiting for an answer", self.timeout, exchange).await?;
        tasks.answer(header(&head.headers, "server"), start);
        Ok((head.status, header(&head.headers, LOCATION.as_str()).map(str::to_owned)))
    }
}
