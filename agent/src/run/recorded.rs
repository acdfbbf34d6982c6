//! A recording from beginning to end, for who turns it into something else than a run: what went
//! into the model, and what came out of it.

use std::io::{self, Read};

use crate::{
    model::{Model, event::Event, output::Output},
    record::{Reader, RecordEntry},
};

/// Reason why a recording could not be turned into something else.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The system refuses to read on.
    #[error("cannot read the recording")]
    Read(#[source] io::Error),
    /// The system takes no more of what is made of it.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// Takes what a recording holds.
pub(crate) trait Visitor {
    /// Takes an entry, before the model does.
    ///
    /// # Errors
    /// Those of its output.
    fn entry(&mut self, entry: &RecordEntry) -> io::Result<()>;

    /// Takes what the model reports on it. It is never the whole of a long run.
    ///
    /// # Errors
    /// Those of its output.
    fn outputs(&mut self, outputs: &[Output]) -> io::Result<()>;

    /// Looks at the state after a sample.
    fn sampled(&mut self, _: &Model) {}
}

/// Gives a visitor the rest of a recording. One that breaks off ends with its last batch. Returns
/// the end, ns of `CLOCK_MONOTONIC`.
///
/// # Errors
/// The recording cannot be read on, or the visitor's output takes no more.
pub(crate) fn play<R: Read>(
    reader: &mut Reader<R>,
    visitor: &mut impl Visitor,
) -> Result<u64, PlayError> {
    play_until(reader, visitor, u64::MAX)
}

/// Gives a visitor the rest of a recording up to a moment, ns of `CLOCK_MONOTONIC`, as if it ended
/// with the last batch before that. Returns the end.
///
/// # Errors
/// As [`play`].
pub(crate) fn play_until<R: Read>(
    reader: &mut Reader<R>,
    visitor: &mut impl Visitor,
    until_ns: u64,
) -> Result<u64, PlayError> {
    let setup = reader.header().setup.clone();
    let mut end_ns = setup.attached_ns;
    let (mut model, mut out) = (Model::new(setup), Vec::new());
    let mut whole = true;
    while let Some(entry) = reader.next_entry().map_err(PlayError::Read)? {
        if let RecordEntry::Batch(batch_ns) = entry
            && batch_ns > until_ns
        {
            whole = false;
            break;
        }
        visitor.entry(&entry).map_err(PlayError::Write)?;
        match &entry {
            RecordEntry::Finish(finish_ns) => {
                end_ns = *finish_ns;
                break;
            }
            RecordEntry::Batch(batch_ns) => end_ns = *batch_ns,
            RecordEntry::Target(_)
            | RecordEntry::Notices(_)
            | RecordEntry::Event(_)
            | RecordEntry::Resumed(_) => {}
        }
        entry.give(&mut model, &mut out);
        hand_over(&mut out, visitor)?;
        if let RecordEntry::Event(Event::Sample(_)) = &entry {
            visitor.sampled(&model);
        }
    }
    // In parts: the connections that are open at the end are many.
    let mut ending = RecordEntry::begin_finish(end_ns, &mut model, &mut out);
    loop {
        let more = model.finish_on(&mut ending, &mut out);
        hand_over(&mut out, visitor)?;
        if !more {
            break;
        }
    }
    // What follows the end is damage, which the reader notes.
    while whole && reader.next_entry().map_err(PlayError::Read)?.is_some() {}
    Ok(end_ns)
}

fn hand_over(out: &mut Vec<Output>, visitor: &mut impl Visitor) -> Result<(), PlayError> {
    if !out.is_empty() {
        visitor.outputs(out).map_err(PlayError::Write)?;
        super::clear(out);
    }
    Ok(())
}
