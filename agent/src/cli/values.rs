//! Values of options that have bounds.

use std::{ffi::OsString, time::Duration};

use clap::builder::{OsStringValueParser, StringValueParser, TypedValueParser};

use crate::sensor::targets;

/// The slowest and the fastest replay.
pub const MIN_SPEED: f64 = 0.25;
/// See [`MIN_SPEED`].
pub const MAX_SPEED: f64 = 64.0;

pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535, such as 8080".to_owned()),
    }
}

/// A process by its number. Where a name is given, the processes that have it are named.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    const RULE: &str = "a process id is a number above 0, such as 4242";
    match text.parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ if text.is_empty() || text.parse::<f64>().is_ok() => Err(RULE.to_owned()),
        _ => Err(match targets::processes_named(text.as_bytes())[..] {
            [] => format!("{RULE}; a process is watched by its name with --comm NAME"),
            ref pids => format!("{RULE}; did you mean --comm {text} ({})?", some_of(pids)),
        }),
    }
}

/// "process 4242", "processes 4242, 4243, 4244 and 17 more".
fn some_of(pids: &[u32]) -> String {
    const MOST: usize = 5;
    let named: Vec<String> = pids.iter().take(MOST).map(u32::to_string).collect();
    let more = match pids.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if pids.len() == 1 { "process" } else { "processes" };
    format!("{noun} {}{more}", named.join(", "))
}

/// Things that are watched by name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Process,
    Cgroup,
    Container,
    Pod,
    Unit,
}

impl Named {
    /// Returns what to write in place of nothing.
    fn rule(self) -> &'static str {
        match self {
            Self::Process => "it is empty, and every process has a name, such as nginx",
            Self::Cgroup => "it is empty: write a path, such as /system.slice/nginx.service",
            Self::Container => "it is empty: write an id or a name, such as web",
            Self::Pod => "it is empty: write NAMESPACE/NAME, such as default/cart-0",
            Self::Unit => "it is empty: write the name of a unit, such as nginx",
        }
    }
}

/// Parses a name of any bytes, but for the empty one.
pub(super) fn bytes<T>(named: Named) -> impl TypedValueParser<Value = T>
where
    T: From<OsString> + Clone + Send + Sync + 'static,
{
    OsStringValueParser::new()
        .try_map(move |text| if text.is_empty() { Err(named.rule()) } else { Ok(T::from(text)) })
}

/// Parses a name, but for the empty one.
pub(super) fn name(named: Named) -> impl TypedValueParser<Value = String> {
    StringValueParser::new()
        .try_map(move |text| if text.is_empty() { Err(named.rule()) } else { Ok(text) })
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "a time is a number with its unit, such as 500ms, 10s or 5min".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = time(text)?;
    if duration.is_zero() {
        Err("it must be longer than zero, such as 10s or 5min".to_owned())
    } else {
        Ok(duration)
    }
}

pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(50) {
        Err("it must be 50ms or more, such as 500ms or 1s".to_owned())
    } else {
        Ok(interval)
    }
}

/// A percentage as a share.
pub(super) fn budget(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err("write a percentage above 0 and up to 100, such as 1% or 0.5%".to_owned()),
    }
}

/// A number of bytes, such as 200M (10^6) or 64MiB (2^20).
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "k" | "K" | "kB" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(NO_SIZE.to_owned()),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match size {
        Some(size) if size >= LEAST_SIZE => Ok(size),
        Some(_) => Err("it must be 1M or more, such as 200M or 64MiB".to_owned()),
        None => Err(NO_SIZE.to_owned()),
    }
}

const NO_SIZE: &str = "a size is a whole number of bytes, such as 200M or 64MiB";
/// The beginning of a file alone may take a tenth of that.
const LEAST_SIZE: u64 = 1_000_000;

pub(super) fn speed(text: &str) -> Result<f64, String> {
    match text.trim_end_matches(['x', '×']).parse::<f64>() {
        Ok(speed) if (MIN_SPEED..=MAX_SPEED).contains(&speed) => Ok(speed),
        _ => Err(format!("a speed is a number from {MIN_SPEED} to {MAX_SPEED}, such as 2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_lower_bound() {
        assert!(interval("10ms").is_err());
        assert!(interval("0s").is_err());
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn budgets_are_percentages() {
        assert_eq!((budget("1%"), budget("0.5"), budget("100 %")), (Ok(0.01), Ok(0.005), Ok(1.0)));
        for text in ["0", "-1%", "101%", "NaN%", "%", "little"] {
            assert!(budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            (size("200M"), size("64MiB"), size("2 GB"), size("1000000")),
            (Ok(200_000_000), Ok(67_108_864), Ok(2_000_000_000), Ok(1_000_000))
        );
        for text in ["", "M", "0", "10k", "-1M", "1.5G", "1Q", "99999999999T", "µ"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn speeds_have_bounds() {
        assert_eq!((speed("8"), speed("0.5x")), (Ok(8.0), Ok(0.5)));
        for text in ["0", "-1", "65", "NaN", "inf", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
