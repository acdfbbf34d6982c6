//! Arguments of `export`.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};

use super::values::{budget, interval};
use super::{RunArgs, RunAsArgs, TargetArgs};
use crate::export::{Address, Url};

pub(super) const EXPORT_EXAMPLES: &str = "\
Examples:
  sudo backscope export --all --prometheus localhost:9464
  sudo backscope export --comm nginx --prometheus unix:/run/backscope.sock
  sudo backscope export --all --prometheus 0.0.0.0:9464 --token-file token --tls-cert cert.pem \
--tls-key key.pem
  sudo backscope export --comm nginx --otlp http://127.0.0.1:4318 --traces=1%
  curl -s localhost:9464/metrics | grep backscope_accept_queue

Exchanges are watched for 1 % of the processor time that the servers use, if --budget does not say
otherwise: histograms and times cover a part of all exchanges then, and `backscope_exchanges_watched`
says when. Queues, refusals and waits to be accepted are always complete.

Exit status: the same as for watch; 1 also if the address is taken.";

/// Arguments of `export`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("receiver").required(true).multiple(true).args(["prometheus", "otlp"])))]
pub struct ExportArgs {
    /// Whom to watch.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Start this program and watch it from its first system call
    #[arg(last = true, value_name = "CMD", help_heading = "Target")]
    pub command: Vec<OsString>,
    /// As whom it runs.
    #[command(flatten)]
    pub run_as: RunAsArgs,
    /// Arguments on the run.
    #[command(flatten)]
    pub run: RunArgs,
    /// Answer scrapes at this address under /metrics: IP:PORT, localhost:PORT, or unix:PATH
    #[arg(long, value_name = "ADDR", help_heading = "Export")]
    pub prometheus: Option<Address>,
    /// Answer only scrapes that bring the token in this file (`Authorization: Bearer TOKEN`)
    #[arg(long, value_name = "FILE", requires = "prometheus", help_heading = "Export")]
    pub token_file: Option<PathBuf>,
    /// Answer scrapes over TLS, with the certificates in this file (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["prometheus", "tls_key"])]
    #[arg(help_heading = "Export")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Export")]
    pub tls_key: Option<PathBuf>,
    /// Let everybody who can reach the address read the metrics. It takes this, a token or TLS to
    /// serve at an address that other hosts can reach
    #[arg(long, requires = "prometheus", help_heading = "Export")]
    pub insecure: bool,
    /// Send metrics to this OpenTelemetry collector, by OTLP over HTTP: http://HOST:4318 or
    /// https://HOST. The host is looked up once
    #[arg(long, value_name = "URL", help_heading = "Export")]
    pub otlp: Option<Url>,
    /// Also send this part of all exchanges as traces [default: 1%]
    #[arg(long, value_name = "PERCENT", value_parser = budget, requires = "otlp")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "1%")]
    #[arg(help_heading = "Export")]
    pub traces: Option<f64>,
    /// Time between two exports
    #[arg(long, value_name = "TIME", value_parser = interval, requires = "otlp")]
    #[arg(default_value = "10s", help_heading = "Export")]
    pub otlp_interval: Duration,
    /// Check the collector's certificate with those in this file (PEM) [default: the system's]
    #[arg(long, value_name = "FILE", requires = "otlp", help_heading = "Export")]
    pub otlp_ca: Option<PathBuf>,
    /// Send the token in this file with each export (`Authorization: Bearer TOKEN`)
    #[arg(long, value_name = "FILE", requires = "otlp", help_heading = "Export")]
    pub otlp_token_file: Option<PathBuf>,
}
