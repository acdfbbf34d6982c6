//! Values of options that have bounds.

use std::time::Duration;

/// The slowest and the fastest replay.
pub const MIN_SPEED: f64 = 0.25;
/// See [`MIN_SPEED`].
pub const MAX_SPEED: f64 = 64.0;

pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 10s or 5min"))?;
    if duration.is_zero() { Err("must be longer than zero".to_owned()) } else { Ok(duration) }
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(50) {
        Err("must be 50ms or more".to_owned())
    } else {
        Ok(interval)
    }
}

/// A percentage as a share.
pub(super) fn budget(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').trim_end().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err("a budget is a percentage above 0, such as 1% or 0.5%".to_owned()),
    }
}

pub(super) fn speed(text: &str) -> Result<f64, String> {
    match text.trim_end_matches(['x', '×']).parse::<f64>() {
        Ok(speed) if (MIN_SPEED..=MAX_SPEED).contains(&speed) => Ok(speed),
        _ => Err(format!("a speed is a number from {MIN_SPEED} to {MAX_SPEED}")),
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
    fn speeds_have_bounds() {
        assert_eq!((speed("8"), speed("0.5x")), (Ok(8.0), Ok(0.5)));
        for text in ["0", "-1", "65", "NaN", "inf", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }
}
