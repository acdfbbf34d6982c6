//! Figures in sentences, for findings and every front-end.

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

/// A part of recent things: "3 of the last 12 exchanges". Where there was one alone, or some are
/// not counted any more: "1 exchange of late".
pub fn of_last(part: u64, all: u64, thing: &str) -> String {
    if part > all || all <= 1 {
        return format!("{} of late", count_of(part, thing));
    }
    format!("{} of the last {}", count(part), count_of(all, thing))
}

/// "was" or "were", of so many.
pub fn were(value: u64) -> &'static str {
    if value == 1 { "was" } else { "were" }
}

/// "once", "2 times".
pub fn times(value: u64) -> String {
    if value == 1 { "once".to_owned() } else { format!("{} times", count(value)) }
}

/// Things a second: "1 segment a second", "0.4 segments a second".
pub fn rate_of(per_second: f64, thing: &str) -> String {
    let rate = rate(per_second);
    let plural = if rate == "1" { "" } else { "s" };
    format!("{rate} {thing}{plural} a second")
}

/// A figure a second: "0", "0.4", "18", "12,345".
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        let text = format!("{per_second:.1}");
        return match text.strip_suffix(".0") {
            Some(whole) => whole.to_owned(),
            None => text,
        };
    }
    count(per_second.round() as u64)
}

/// A share of one: "2 %", "0.4 %", "100 %", "less than 0.1 %".
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 {
        return "less than 0.1 %".to_owned();
    }
    if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// An error of the kernel by its name: "EMFILE"; by its number where it has none here.
pub fn errno_name(errno: u32) -> String {
    let name = match errno {
        1 => "EPERM",
        5 => "EIO",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        64 => "ENONET",
        71 => "EPROTO",
        92 => "ENOPROTOOPT",
        95 => "EOPNOTSUPP",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        103 => "ECONNABORTED",
        105 => "ENOBUFS",
        110 => "ETIMEDOUT",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        _ => return format!("error {errno}"),
    };
    name.to_owned()
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
        assert_eq!(
            [0, 1, 2_000].map(|value| count_of(value, "byte")),
            ["0 bytes", "1 byte", "2,000 bytes"]
        );
        assert_eq!(of_last(3, 1_200, "exchange"), "3 of the last 1,200 exchanges");
        assert_eq!(
            [(1, 1), (3, 2), (2, 0)].map(|(part, all)| of_last(part, all, "call")),
            ["1 call of late", "3 calls of late", "2 calls of late",]
        );
        assert_eq!([1, 2_000].map(times), ["once", "2,000 times"]);
        assert_eq!([0, 1, 2].map(were), ["were", "was", "were"]);
        assert_eq!(
            [1.0, 0.4].map(|per_second| rate_of(per_second, "segment")),
            ["1 segment a second", "0.4 segments a second",]
        );
        assert_eq!([0.0, 0.44, 9.0, 9.96, 12_344.6].map(rate), ["0", "0.4", "9", "10", "12,345"]);
        assert_eq!([0.0, 0.004, 0.02, 1.0].map(percent), ["0 %", "0.4 %", "2 %", "100 %"]);
        assert_eq!([0.000_4, 0.000_5].map(percent), ["less than 0.1 %", "0.1 %"]);
    }
}
