//! What is released, when, and by whom.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

/// Number of this packaging of the version.
pub(crate) const REVISION: u32 = 1;

/// One version of the program on its way into packages.
pub(crate) struct Release<'a> {
    /// The checkout.
    pub(crate) root: &'a Path,
    /// Where the packages go.
    pub(crate) out: &'a Path,
    /// Whether the result need not be small.
    pub(crate) quick: bool,
    pub(crate) version: &'static str,
    /// Time of everything in the packages, in seconds since 1970: that of the last commit, unless
    /// `SOURCE_DATE_EPOCH` says another.
    pub(crate) seconds: u64,
    /// Name and mail address of who answers for the packages.
    pub(crate) maintainer: String,
}

impl<'a> Release<'a> {
    /// Reads the time from the last commit, and the maintainer from it unless one is given.
    pub(crate) fn of(
        root: &'a Path,
        out: &'a Path,
        quick: bool,
        maintainer: Option<String>,
    ) -> Result<Self> {
        let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(seconds) => seconds,
            Err(_) => last_commit(root, "%ct")?,
        };
        Ok(Self {
            root,
            out,
            quick,
            version: env!("CARGO_PKG_VERSION"),
            seconds: seconds
                .trim()
                .parse()
                .with_context(|| format!("SOURCE_DATE_EPOCH is {seconds}, and no number"))?,
            maintainer: match maintainer {
                Some(maintainer) => maintainer,
                None => last_commit(root, "%an <%ae>")?,
            },
        })
    }

    /// Returns the time in the format that `date` is given.
    pub(crate) fn date(&self, format: &str) -> Result<String> {
        let at = format!("@{}", self.seconds);
        let mut date = Command::new("date");
        date.env("LC_ALL", "C").args(["--utc", "--date", &at, format]);
        Ok(step::output(&mut date)?.trim().to_owned())
    }

    /// Makes an empty folder for what is on its way into a package.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.out.join("work").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

fn last_commit(root: &Path, format: &str) -> Result<String> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["log", "-1"]).arg(format!("--format={format}"));
    let printed = step::output(&mut git)
        .context("this is no git checkout: set SOURCE_DATE_EPOCH, and give --maintainer")?;
    Ok(printed.trim().to_owned())
}
