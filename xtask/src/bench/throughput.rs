//! Measures the requests a second that nginx answers, with nothing, each watch and tcpdump beside
//! it.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::nginx::{Load, Nginx};
use super::observer::{Observer, packets_lost, records_lost};
use super::process::{MIB, cpu_us, memory};
use super::{Bench, probes};
use crate::stats::Spread;
use crate::step::{self, Step};

/// The program that runs beside nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beside {
    /// Nothing: the baseline of the others.
    Nothing,
    /// Nothing once more: this shows how far from 1 a ratio gets by chance.
    Control,
    Watch(&'static str),
    Tcpdump(PathBuf),
}

impl Beside {
    fn name(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Control => "nothing again: control".to_owned(),
            Self::Watch(detail) => format!("watch --detail {detail}"),
            Self::Tcpdump(_) => "tcpdump -i lo -w /dev/null".to_owned(),
        }
    }

    fn start(&self, bench: &Bench, pid: u32) -> Result<Option<Observer>> {
        match self {
            Self::Nothing | Self::Control => Ok(None),
            Self::Watch(detail) => {
                Observer::watch(bench, &[pid], &["--plain", "--detail", detail]).map(Some)
            }
            Self::Tcpdump(tcpdump) => Observer::tcpdump(bench, tcpdump).map(Some),
        }
    }

    /// Returns whether the watch costs less once it has run for a while.
    fn rests(&self) -> bool {
        matches!(self, Self::Watch(_))
    }

    /// Returns the events or packets lost, from the last lines of the output.
    fn lost(&self, text: &str) -> Result<u64> {
        match self {
            Self::Tcpdump(_) => packets_lost(text),
            _ => records_lost(text),
        }
    }
}

/// Time that wrk asks before anything is measured.
const LEAD: Duration = Duration::from_secs(1);

/// One measurement.
struct Sample {
    /// Requests a second.
    rate: f64,
    /// Processor time of nginx for each request, ns.
    server_ns: f64,
    observer: Option<Own>,
}

/// Resources that the program beside took.
struct Own {
    /// Processor time as a share of the time that the load ran.
    cpu: f64,
    rss_bytes: f64,
    lost: u64,
}

pub(super) fn run(bench: &Bench) -> Result<()> {
    let Some(nginx) = Nginx::start(bench)? else { return Ok(()) };
    let mut besides =
        vec![Beside::Nothing, Beside::Control, Beside::Watch("queues"), Beside::Watch("exchanges")];
    match step::which("tcpdump") {
        Some(tcpdump) => besides.push(Beside::Tcpdump(tcpdump)),
        None => eprintln!(
            "    tcpdump is not installed (`apt-get install tcpdump`): nothing to compare watch \
             with"
        ),
    }
    for load in Load::ALL {
        let rounds = rounds(bench, &nginx, load, &besides)?;
        print(load, &besides, &rounds);
    }
    probes::run(bench, &nginx)
}

/// Measures with each program in every round. The order changes from round to round, so that each
/// comes at each place, and after different ones.
fn rounds(
    bench: &Bench,
    nginx: &Nginx,
    load: Load,
    besides: &[Beside],
) -> Result<Vec<Vec<Sample>>> {
    let step = Step::start(format_args!(
        "nginx under wrk, {}, {} rounds",
        load.name(),
        bench.extent.rounds
    ));
    nginx.load(load, bench.extent.seconds)?;
    let mut rounds = Vec::new();
    for round in 0..bench.extent.rounds {
        let mut samples: Vec<Option<Sample>> = besides.iter().map(|_| None).collect();
        for at in order(besides.len(), round) {
            samples[at] = Some(sample(bench, nginx, load, &besides[at])?);
        }
        rounds.push(samples.into_iter().flatten().collect());
    }
    step.done("measured");
    Ok(rounds)
}

/// Returns the numbers below `count`, rotated by the round, and backwards in every other round.
fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round / 2 % count);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn sample(bench: &Bench, nginx: &Nginx, load: Load, beside: &Beside) -> Result<Sample> {
    let observer = beside.start(bench, nginx.pid())?;
    let lead = if load == Load::KeepAlive && beside.rests() { bench.extent.settle } else { LEAD };
    let mut loaded = nginx.load_on(load, lead.as_secs() + bench.extent.seconds + 2)?;
    sleep(lead);
    let spent_by = |process: Option<u32>| process.map_or(Ok(0.0), cpu_us);
    let observed = observer.as_ref().map(Observer::pid);
    let before = (spent_by(observed)?, spent_by(Some(nginx.pid()))?);
    let (begin, requests) = (Instant::now(), loaded.requests()?);
    sleep(Duration::from_secs(bench.extent.seconds));
    let (took, requests) = (begin.elapsed().as_secs_f64(), loaded.requests()? - requests);
    let after = (spent_by(observed)?, spent_by(Some(nginx.pid()))?);
    loaded.end()?;
    let own = observer.map(|observer| -> Result<Own> {
        let rss_bytes = memory(observer.pid(), "VmRSS")?;
        let lost = beside.lost(&observer.finish()?)?;
        Ok(Own { cpu: (after.0 - before.0) / 1e6 / took, rss_bytes, lost })
    });
    let server_ns = (after.1 - before.1) * 1e3 / requests.max(1.0);
    Ok(Sample { rate: requests / took, server_ns, observer: own.transpose()? })
}

fn print(load: Load, besides: &[Beside], rounds: &[Vec<Sample>]) {
    println!(
        "{:<42} {:<24} {:<22} {:>8} {:>8} {:>6} {:>8} {:>7}",
        format!("REQUESTS A SECOND, {}", load.name().to_uppercase()),
        "MEDIAN (P10 TO P90)",
        "RATIO (P10 TO P90)",
        "NS MORE",
        "NGINX'S",
        "CPU %",
        "RSS MiB",
        "LOST"
    );
    for (at, beside) in besides.iter().enumerate() {
        let samples = || rounds.iter().map(|round| &round[at]);
        // Each is compared with `Nothing` of its own round.
        let pairs = || rounds.iter().map(|round| (round[0].rate, round[at].rate));
        let rate = Spread::wide(samples().map(|sample| sample.rate));
        let ratio = Spread::wide(pairs().map(|(without, with)| with / without));
        let more = Spread::wide(pairs().map(|(without, with)| 1e9 / with - 1e9 / without));
        let own = Spread::wide(rounds.iter().map(|round| round[at].server_ns - round[0].server_ns));
        let (Some(rate), Some(ratio), Some(more), Some(own)) = (rate, ratio, more, own) else {
            continue;
        };
        let rate = format!("{:.0} ({:.0} to {:.0})", rate.median, rate.low, rate.high);
        print!("  {:<40} {rate:<24}", beside.name());
        if *beside != Beside::Nothing {
            let ratio = format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high);
            print!(" {ratio:<22} {:>8.0} {:>8.0}", more.median, own.median);
        }
        let own = || samples().filter_map(|sample| sample.observer.as_ref());
        let cpu = Spread::wide(own().map(|own| own.cpu * 100.0));
        let rss = Spread::wide(own().map(|own| own.rss_bytes / MIB));
        if let (Some(cpu), Some(rss)) = (cpu, rss) {
            let lost: u64 = own().map(|own| own.lost).sum();
            print!(" {:>6.1} {:>8.1} {lost:>7}", cpu.median, rss.median);
        }
        println!();
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn each_comes_at_each_place() {
        for place in 0..5 {
            let mut seen: Vec<usize> = (0..10).map(|round| order(5, round)[place]).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
        }
    }
}
