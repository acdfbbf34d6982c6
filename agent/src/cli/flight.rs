//! Arguments of the flight recorder.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::complete::triggers;
use super::values::{duration, size};
use crate::record::{FlightOptions, Trigger};

/// Time before and after a finding.
const AROUND: Duration = Duration::from_secs(60);
/// Names of files begin so where only a folder is named.
const STEM: &str = "backscope";

/// Arguments of the flight recorder: `record` that goes on for ever.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Flight recorder")]
pub struct FlightArgs {
    /// Keep only the last TIME, such as 10min, in several files; the oldest is removed
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep: Option<Duration>,
    /// Let the files have at most SIZE bytes together, such as 200M; the oldest is removed
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Keep what was around each finding of this kind, or of this severity or a graver one, in a
    /// file named after it; repeatable
    #[arg(long, value_name = "KIND|SEVERITY", value_delimiter = ',')]
    #[arg(add = ArgValueCandidates::new(triggers))]
    pub on_finding: Vec<Trigger>,
    /// Time to keep before and after a finding [default: 1min]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "on_finding")]
    pub around: Option<Duration>,
}

impl FlightArgs {
    /// Returns what is asked for, if anything is. `path` is where to record.
    pub(crate) fn options(&self, path: &Path) -> Option<FlightOptions> {
        if self.keep.is_none() && self.max_size.is_none() && self.on_finding.is_empty() {
            return None;
        }
        let (folder, stem) = match path.is_dir() {
            true => (path.to_owned(), OsStr::new(STEM)),
            false => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
                (folder, path.file_stem().unwrap_or(OsStr::new(STEM)))
            }
        };
        Some(FlightOptions {
            folder,
            stem: stem.to_string_lossy().into_owned(),
            keep: self.keep,
            max_size: self.max_size,
            triggers: self.on_finding.clone(),
            around: self.around.unwrap_or(AROUND),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn args(line: &str) -> Result<FlightArgs, clap::Error> {
        let line = format!("backscope record --all {line}");
        match Cli::try_parse_from(line.split(' '))?.verb {
            Verb::Record(args) => Ok(args.flight),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_asked_for_by_any_of_its_options() {
        assert!(args("-o a/b.bsrec").unwrap().options(Path::new("a/b.bsrec")).is_none());
        for line in ["--keep 10min", "--max-size 200M", "--on-finding critical"] {
            let args = args(&format!("-o a/b.bsrec {line}")).unwrap();
            let options = args.options(Path::new("a/b.bsrec")).expect(line);
            assert_eq!((options.folder, options.stem.as_str()), (PathBuf::from("a"), "b"));
        }
        let args = args("-o b --keep 10min").unwrap();
        assert_eq!(args.options(Path::new("b")).unwrap().folder, Path::new("."));
        assert_eq!(args.options(Path::new("/tmp")).unwrap().stem, STEM);
    }

    #[test]
    fn findings_are_named_by_kind_or_severity() {
        let given = args("-o b --on-finding accept-queue-overflow,warning").unwrap();
        assert_eq!(given.on_finding.len(), 2);
        let error = args("-o b --on-finding overflow").unwrap_err().to_string();
        assert!(error.contains("accept-queue-overflow") && error.contains("critical"), "{error}");
        assert!(args("-o b --around 5s").is_err(), "around what");
        assert!(args("-o b --keep 5s --force").is_err(), "nothing is replaced");
    }
}
