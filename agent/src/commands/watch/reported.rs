//! A front-end and, beside it, the digest of the run for a report at its end.

use std::{fs::File, io};

use anyhow::Context;

use crate::{
    commands::frontend::Frontend,
    digest::Digest,
    model::{
        Model,
        output::{Interest, Output},
    },
    report::page,
    run::Consumer,
    text::Untrusted,
};

/// What a run is shown to: the front-end, and the digest if a report was asked for.
pub(super) struct Reported {
    pub(super) frontend: Frontend,
    report: Option<Digest>,
    /// Where the report goes at the end, if it does.
    file: Option<File>,
}

impl Reported {
    pub(super) fn new(frontend: Frontend, report: Option<Digest>, file: Option<File>) -> Self {
        Self { frontend, report, file }
    }

    /// Returns the run so far, summed up as at its end; `None` where no report can be asked for.
    pub(super) fn so_far(&self, model: &mut Model) -> Option<Digest> {
        let mut digest = self.report.clone()?;
        digest.so_far = true;
        digest.refresh(model).ok()?;
        model.each_open(|output| digest.take_all(std::slice::from_ref(output)));
        digest.take_all(&[Output::Summary(Box::new(model.sum_up()))]);
        Some(digest)
    }

    /// Writes the report, if one was asked for, into the file that was opened for it.
    pub(super) fn write_report(&mut self) -> anyhow::Result<()> {
        if let (Some(mut file), Some(digest)) = (self.file.take(), self.report.take()) {
            page::write(&mut file, &digest)
                .context("cannot write the report; what is in its file is not whole")?;
        }
        Ok(())
    }
}

impl Consumer for Reported {
    /// A report needs everything; a front-end takes more than it has a use for.
    fn interest(&self) -> Interest {
        let interest = self.frontend.interest();
        match self.report {
            Some(_) => Interest { each: interest.wants_each(), ..Interest::ALL },
            None => interest,
        }
    }

    fn notices(&mut self, notices: &[Untrusted]) {
        if let Some(digest) = &mut self.report {
            digest.notices(notices);
        }
        self.frontend.notices(notices);
    }

    fn report(&mut self, outputs: &mut Vec<Output>, model: &Model) -> io::Result<()> {
        if let Some(digest) = &mut self.report {
            digest.take_all(outputs);
        }
        self.frontend.report(outputs, model)
    }

    fn refresh(&mut self, model: &Model) -> io::Result<()> {
        if let Some(digest) = &mut self.report {
            digest.refresh(model)?;
        }
        self.frontend.refresh(model)
    }

    /// The last sample is not shown by itself: nobody would see it before the summary.
    fn before_summary(&mut self, model: &Model) -> io::Result<()> {
        if let Some(digest) = &mut self.report {
            digest.refresh(model)?;
        }
        self.frontend.before_summary(model)
    }
}
