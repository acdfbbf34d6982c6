//! `backscope annotate`: a capture with who held the time as comments.

use std::{
    fs::File,
    io::Seek,
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context;

use super::{
    Usage,
    convert::{Progress, destination, open},
    replay::{confine, tell},
};
use crate::{
    annotate::{
        AnnotateError, Annotated, Clocks, MAX_FLOWS, MAX_REMARKS, TOLERANCE_NS, annotate,
        capture::{CaptureError, check_file},
    },
    cli::AnnotateArgs,
    record::Reader,
    text::{count, count_of, duration_fine},
};

pub(super) fn run(args: &AnnotateArgs) -> anyhow::Result<ExitCode> {
    let dump = &args.dump;
    let file = open(&args.file)?;
    let mut opened = File::open(dump).with_context(|| format!("cannot read {}", dump.display()))?;
    let context = || format!("cannot annotate {} with {}", dump.display(), args.file.display());
    // Neither leaves an empty file behind.
    let is_capture = check_file(&opened).map_err(AnnotateError::from);
    let is_file = opened.rewind().map_err(AnnotateError::Rewind);
    is_capture.and(is_file).map_err(unusable).with_context(context)?;
    let mut out = destination(args.output.as_deref(), args.force)?;
    confine()?;
    let progress = Progress::new(file, "reading the recording");
    let mut reader = Reader::new(progress).with_context(context)?;
    let min_us = u64::try_from(args.min.as_micros()).unwrap_or(u64::MAX);
    let annotated = annotate(&mut opened, &mut reader, min_us, &mut out);
    let annotated = annotated.map_err(unusable).with_context(context)?;
    let is_damaged = tell(reader.damages(), reader.damage_count());
    for sentence in sentences(&annotated) {
        note!("backscope: {sentence}");
    }
    let is_whole = !is_damaged && annotated.cut_short.is_none() && annotated.comments > 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells an argument that is of no use from a failure.
fn unusable(error: AnnotateError) -> anyhow::Error {
    match &error {
        AnnotateError::Rewind(_)
        | AnnotateError::Capture(
            CaptureError::NotACapture | CaptureError::Compressed | CaptureError::Variant(_),
        ) => {
            let sentence = format!("{:#}", anyhow::Error::from(error));
            Usage(sentence).into()
        }
        _ => error.into(),
    }
}

/// Returns what is to be said of the two files.
fn sentences(annotated: &Annotated) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some(captured_ns) = annotated.captured_ns else {
        sentences.push("the capture has no packet".to_owned());
        return sentences;
    };
    if let Some(offset) = annotated.cut_short {
        sentences
            .push(format!("the capture is cut short: it ends within the block at byte {offset}"));
    }
    if annotated.unknown_links > 0 {
        sentences.push(format!(
            "{} of a kind of link that is not looked into",
            count_of(annotated.unknown_links, "packet")
        ));
    }
    if annotated.leaves_out_flows {
        sentences.push(format!(
            "the capture has more than {} connections; those that came later have no comments",
            count(MAX_FLOWS as u64)
        ));
    }
    if annotated.left_out > 0 {
        sentences.push(format!(
            "{} are left out: room is for {}; a larger --min leaves out the short ones",
            count_of(annotated.left_out, "slice"),
            count(MAX_REMARKS as u64)
        ));
    }
    of_clocks(&annotated.clocks, &mut sentences);
    of_overlap(annotated, captured_ns, &mut sentences);
    sentences
}

fn of_clocks(clocks: &Clocks, sentences: &mut Vec<String>) {
    if clocks.set_back_ns > TOLERANCE_NS {
        sentences.push(format!(
            "the stamps of the capture go back by up to {}: its clock was set meanwhile, or its \
             packets are not in order",
            time(clocks.set_back_ns)
        ));
    }
    if clocks.compared == 0 {
        return;
    }
    if clocks.disagree() {
        sentences.push(format!(
            "the clock was set meanwhile: the stamps of {} whose beginning both have differ by {} \
             to {} more; the recording has one reading of the wall clock, so only what is within \
             {} of it gets a comment",
            count_of(clocks.compared, "connection"),
            difference(clocks.median_ns),
            time(clocks.spread_ns),
            time(TOLERANCE_NS)
        ));
    } else if clocks.shift_ns != 0 {
        sentences.push(format!(
            "the wall clock was set between the two: the capture's stamps are {} those of the \
             recording, by {} of {} whose beginning both have; the recording's times were \
             shifted by that",
            difference(clocks.shift_ns),
            count(clocks.agreeing),
            count_of(clocks.compared, "connection")
        ));
    }
}

fn of_overlap(annotated: &Annotated, captured_ns: (u64, u64), sentences: &mut Vec<String>) {
    let shift_ns = annotated.clocks.shift_ns;
    let recorded_ns = (
        annotated.recorded_ns.0.saturating_add_signed(shift_ns),
        annotated.recorded_ns.1.saturating_add_signed(shift_ns),
    );
    let is_apart = captured_ns.1 < recorded_ns.0 || recorded_ns.1 < captured_ns.0;
    if is_apart {
        sentences.push(format!(
            "the two do not overlap: the capture is from {} to {}, the recording from {} to {}; \
             no comment was written",
            date(captured_ns.0),
            date(captured_ns.1),
            date(recorded_ns.0),
            date(recorded_ns.1)
        ));
        return;
    }
    if annotated.shared_flows == 0 {
        sentences.push(format!(
            "none of the {} in the capture is in the recording: they are others, or a translation \
             of addresses is between the two; no comment was written",
            count_of(annotated.flows, "TCP connection")
        ));
        return;
    }
    let distances = match annotated.distances_ns {
        Some((median_ns, longest_ns)) => format!(
            "; packet and recording differ by {} at the median and {} at most, and {} is tolerated",
            time(median_ns),
            time(longest_ns),
            time(TOLERANCE_NS)
        ),
        None => String::new(),
    };
    sentences.push(format!(
        "{} on {} of {}{distances}",
        count_of(annotated.comments, "comment"),
        count(annotated.commented),
        count_of(annotated.packets, "packet")
    ));
    let without = annotated.remarks.saturating_sub(annotated.comments);
    if without > 0 {
        sentences.push(format!(
            "{} of {} slices and exchanges have no packet in the capture",
            count(without),
            count(annotated.remarks)
        ));
    }
    if annotated.beyond > 0 {
        sentences.push(format!(
            "{} more are from before the capture or after it",
            count(annotated.beyond)
        ));
    }
}

/// Returns a length of time: below a millisecond to the microsecond.
fn time(ns: u64) -> String {
    duration_fine(ns / 1_000)
}

fn difference(ns: i64) -> String {
    let words = if ns < 0 { "behind" } else { "ahead of" };
    format!("{} {words}", time(ns.unsigned_abs()))
}

fn date(ns: u64) -> String {
    let moment = UNIX_EPOCH.checked_add(Duration::from_nanos(ns)).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_millis(moment).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(annotated: &Annotated) -> String {
        sentences(annotated).join("\n")
    }

    fn fitting() -> Annotated {
        Annotated {
            packets: 40,
            captured_ns: Some((100_000_000_000, 160_000_000_000)),
            recorded_ns: (90_000_000_000, 150_000_000_000),
            flows: 3,
            shared_flows: 2,
            remarks: 10,
            comments: 10,
            commented: 8,
            distances_ns: Some((12_000, 340_000)),
            ..Annotated::default()
        }
    }

    #[test]
    fn two_that_fit_are_told_by_how_well() {
        assert_eq!(
            told(&fitting()),
            "10 comments on 8 of 40 packets; packet and recording differ by 12 µs at the median and \
             340 µs at most, and 1.0 ms is tolerated"
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let recorded_ns = (200_000_000_000, 250_000_000_000);
        let apart = told(&Annotated { recorded_ns, ..fitting() });
        assert!(
            apart.contains("do not overlap: the capture is from 1970-01-01T00:01:40"),
            "{apart}"
        );
        let strangers = told(&Annotated { shared_flows: 0, ..fitting() });
        assert!(strangers.contains("none of the 3 TCP connections"), "{strangers}");
        let empty = told(&Annotated::default());
        assert_eq!(empty, "the capture has no packet");
        let cut = told(&Annotated { cut_short: Some(1_234), ..fitting() });
        assert!(cut.contains("cut short: it ends within the block at byte 1234"), "{cut}");
    }

    #[test]
    fn a_clock_that_was_set_is_told() {
        let clocks = Clocks { compared: 5, agreeing: 5, ..Clocks::default() };
        let shifted = Clocks { median_ns: -2_000_000_000, shift_ns: -2_000_000_000, ..clocks };
        let told_shift = told(&Annotated { clocks: shifted, ..fitting() });
        let words = "2.00 s behind those of the recording, by 5 of 5 connections";
        assert!(told_shift.contains(words), "{told_shift}");
        let torn = Clocks { agreeing: 2, spread_ns: 3_000_000_000, ..clocks };
        let told_torn = told(&Annotated { clocks: torn, ..fitting() });
        assert!(told_torn.contains("was set meanwhile"), "{told_torn}");
        let back = Clocks { set_back_ns: 1_500_000_000, ..Clocks::default() };
        let told_back = told(&Annotated { clocks: back, ..fitting() });
        assert!(told_back.contains("go back by up to 1.50 s"), "{told_back}");
    }
}
