//! `backscope export`: a watch that others look at, over the network.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;

use super::{Usage, watch};
use crate::{
    cli::{Detail, ExportArgs, FlightArgs, LookArgs, OutputArgs, WatchArgs},
    export::{
        Address, Exits, Url,
        otlp::{Endpoint, Otlp, SpanQueue},
        server::{self, Listener, Server, Token},
        traces::host_attributes,
    },
};

/// Time between two refreshes, if nobody says otherwise. Peaks and refusals in between are not lost,
/// and the time for which a budget lets exchanges be watched has two of them.
const INTERVAL: Duration = Duration::from_millis(2_500);

pub(super) fn run(mut args: ExportArgs) -> anyhow::Result<ExitCode> {
    if args.run.detail == Detail::Events {
        let message = "--detail events tells single events, of which metrics have no use";
        return Err(Usage(message.to_owned()).into());
    }
    args.run.keep_cheap();
    args.run.interval = args.run.interval.or(Some(INTERVAL));
    // Before the rights to are given up, and before anything is attached that may be in vain.
    let mut exits = Exits { traces: args.traces, ..Exits::default() };
    if let Some(address) = &args.prometheus {
        exits.server = Some(listen(address, &args)?);
    }
    if let Some(url) = &args.otlp {
        exits.otlp = Some(collector(url, &args)?);
    }
    let megabytes = exits.max_bytes().div_ceil(1 << 20);
    note!("backscope: metrics, and what is on its way, take at most {megabytes} MiB");
    let ExportArgs { target, command, run_as, run, .. } = args;
    let output = OutputArgs { plain: false, json: false, save_to: None };
    let args = WatchArgs {
        target,
        command,
        run_as,
        output,
        look: LookArgs::default(),
        run,
        recording: None,
        report: None,
        force: false,
        flight: FlightArgs::default(),
    };
    watch::run_exporting(args, exits)
}

/// Listens, if the place is safe.
fn listen(address: &Address, args: &ExportArgs) -> anyhow::Result<Server> {
    check_exposure(address, args).map_err(Usage)?;
    let token = match &args.token_file {
        Some(path) => Some(Token::read(path)?),
        None => None,
    };
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => {
            Some(server::server_config(cert, key).context("cannot serve metrics over TLS")?)
        }
        _ => None,
    };
    let listener = Listener::bind(address)?;
    let scheme = match (&tls, address) {
        (_, Address::Unix(_)) => "",
        (Some(_), _) => "https://",
        (None, _) => "http://",
    };
    let place = listener.place(address);
    note!("backscope: metrics are at {scheme}{place}/metrics");
    Ok(Server { listener, tls, token })
}

/// Checks that nobody reads the metrics by accident: they tell addresses and names of programs.
fn check_exposure(address: &Address, args: &ExportArgs) -> Result<(), String> {
    let is_protected = args.token_file.is_some() || args.tls_cert.is_some();
    if address.is_exposed() && !is_protected && !args.insecure {
        return Err(format!(
            "{address} can be reached by other hosts: protect it with --token-file or with \
             --tls-cert and --tls-key, serve at 127.0.0.1 or unix:PATH, or say --insecure"
        ));
    }
    Ok(())
}

/// Finds the collector.
fn collector(url: &Url, args: &ExportArgs) -> anyhow::Result<Otlp> {
    let token = match &args.otlp_token_file {
        Some(path) => Some(Token::read(path)?),
        None => None,
    };
    Ok(Otlp {
        endpoint: Endpoint::find(url, args.otlp_ca.as_deref(), token)?,
        every: args.otlp_interval,
        host: host_attributes(),
        spans: SpanQueue::default(),
    })
}
