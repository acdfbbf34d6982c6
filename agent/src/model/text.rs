//! How figures read in sentences; used by findings and by every front-end.

/// A duration: "80 µs", "1.2 ms", "412 ms", "1.20 s", "3 min 5 s", "2 h 4 min".
pub fn duration_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..9_995_000 => format!("{:.2} s", us as f64 / 1e6),
        9_995_000..59_950_000 => format!("{:.1} s", us as f64 / 1e6),
        _ => {
            let seconds = us.saturating_add(500_000) / 1_000_000;
            match seconds {
                0..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
                _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
            }
        }
    }
}

/// A count with its thousands apart: "12,345".
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count of things: "1 connection", "12,345 connections".
pub fn count_of(value: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(value), if value == 1 { "" } else { "s" })
}

/// A figure a second: "0", "0.4", "18", "12,345".
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        let text = format!("{per_second:.1}");
        return text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned);
    }
    count(per_second.round() as u64)
}

/// A share of one: "2 %", "0.4 %", "100 %".
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let cases = [
            (0, "0 µs"),
            (80, "80 µs"),
            (999, "999 µs"),
            (1_240, "1.2 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (412_400, "412 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (1_204_000, "1.20 s"),
            (9_994_999, "9.99 s"),
            (12_340_000, "12.3 s"),
            (59_949_999, "59.9 s"),
            (59_950_000, "1 min 0 s"),
            (185_000_000, "3 min 5 s"),
            (7_440_000_000, "2 h 4 min"),
        ];
        for (us, text) in cases {
            assert_eq!(duration_us(us), text);
        }
        assert!(duration_us(u64::MAX).ends_with(" min"));
    }

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 2_000].map(|value| count_of(value, "byte")), ["0 bytes", "1 byte", "2,000 bytes"]);
        assert_eq!([0.0, 0.44, 9.0, 9.96, 12_344.6].map(rate), ["0", "0.4", "9", "10", "12,345"]);
        assert_eq!([0.0, 0.004, 0.02, 1.0].map(percent), ["0 %", "0.4 %", "2 %", "100 %"]);
    }
}
