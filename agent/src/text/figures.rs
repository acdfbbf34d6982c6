//! Figures with their units, in sentences and in columns.

use super::Untrusted;

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

/// A duration in eight characters or so, for columns: as [`duration_us`] below a minute, then
/// "75.3 s", "412 s", "12 min".
pub fn duration_short(us: u64) -> String {
    match us {
        59_950_000..99_950_000 => format!("{:.1} s", us as f64 / 1e6),
        99_950_000..599_500_000 => format!("{:.0} s", us as f64 / 1e6),
        599_500_000.. => format!("{} min", us.saturating_add(30_000_000) / 60_000_000),
        _ => duration_us(us),
    }
}

/// A duration as in [`duration_short`], but with one decimal up to 100 ms, so that sums are seen
/// to add up: "43.5 ms".
pub fn duration_fine(us: u64) -> String {
    match us {
        9_950..99_950 => format!("{:.1} ms", us as f64 / 1e3),
        _ => duration_short(us),
    }
}

/// An amount of data, in eight characters or so: "214 B", "1.4 kB", "23 MB".
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1_000 {
        return format!("{n} B");
    }
    let (mut value, mut unit) = (n as f64 / 1e3, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1e3, unit + 1);
    }
    if value < 9.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
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

/// A process or thread by its name and id: "nginx 4242"; by its id alone where its name is not known
/// or empty: "pid 4242".
pub fn named(comm: &Untrusted, pid: u32) -> Untrusted {
    if comm.is_empty() { format!("pid {pid}").into() } else { compose!("{} {pid}", comm) }
}

/// The noun of so many things, where the figure is written otherwise: "exchange", "exchanges".
pub fn noun(value: u64, thing: &str) -> String {
    format!("{thing}{}", if value == 1 { "" } else { "s" })
}

/// A part of what was over lately: "3 of the last 12 exchanges". Where that is all of one, or some
/// of all are not counted any more: "1 recent exchange".
pub fn of_last(part: u64, all: u64, thing: &str) -> String {
    if part > all || all <= 1 {
        return count_of(part, &format!("recent {thing}"));
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

/// A rate of things: "1 segment a second", "0.4 segments a second".
pub fn rate_of(per_second: f64, thing: &str) -> String {
    let rate = rate(per_second);
    let plural = if rate == "1" { "" } else { "s" };
    format!("{rate} {thing}{plural} a second")
}

/// A figure a second: "0", "0.4", "18", "12,345".
pub fn rate(per_second: f64) -> String {
    if !has_decimal(per_second) {
        return count(per_second.round() as u64);
    }
    let mut figure = format!("{per_second:.1}");
    if figure.ends_with(".0") {
        figure.truncate(figure.len() - 2);
    }
    figure
}

/// A figure a second for columns: one decimal below 10 throughout, then as [`compact`].
pub fn rate_short(per_second: f64) -> String {
    if has_decimal(per_second) {
        format!("{per_second:.1}")
    } else {
        compact(per_second.max(0.0).round() as u64)
    }
}

/// True of figures that one decimal makes more precise: those below 10, but for nothing at all.
fn has_decimal(figure: f64) -> bool {
    figure > 0.0 && figure < 9.95
}

/// A whole number in five characters or so, for columns: exact up to 99,999, then "1,234k".
pub fn compact(value: u64) -> String {
    match value {
        0..100_000 => count(value),
        100_000..10_000_000 => format!("{}k", count(value / 1_000)),
        10_000_000..10_000_000_000 => format!("{}M", count(value / 1_000_000)),
        _ => format!("{}G", count(value / 1_000_000_000)),
    }
}

/// A share of one in a sentence: "0.4 %", "2 %", "73 %", "less than 0.1 %".
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if is_trace(share) {
        "less than 0.1 %".to_owned()
    } else if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// A share of one in a column, where figures are compared: "<0.1 %", "0.4 %", "2.0 %", "73 %".
pub fn percent_short(share: f64) -> String {
    let percent = share * 100.0;
    if is_trace(share) {
        "<0.1 %".to_owned()
    } else if has_decimal(percent) {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// True of a share that would be rounded to nothing, and is not nothing.
fn is_trace(share: f64) -> bool {
    share > 0.0 && share * 100.0 < 0.05
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
            ["1 recent call", "3 recent calls", "2 recent calls"]
        );
        assert_eq!([1, 2_000].map(times), ["once", "2,000 times"]);
        assert_eq!([0, 1, 2].map(were), ["were", "was", "were"]);
        assert_eq!(
            [1.0, 0.4].map(|per_second| rate_of(per_second, "segment")),
            ["1 segment a second", "0.4 segments a second",]
        );
        assert_eq!([0.0, 0.44, 9.0, 9.96, 12_344.6].map(rate), ["0", "0.4", "9", "10", "12,345"]);
        assert_eq!(
            [0.0, 0.004, 0.02, 0.126, 1.0].map(percent),
            ["0 %", "0.4 %", "2 %", "13 %", "100 %"]
        );
        assert_eq!([0.000_4, 0.000_5].map(percent), ["less than 0.1 %", "0.1 %"]);
    }

    #[test]
    fn figures_fit_columns() {
        assert_eq!(
            [999, 59_949_999, 75_340_000, 412_000_000, 720_000_000, 631_000_000]
                .map(duration_short),
            ["999 µs", "59.9 s", "75.3 s", "412 s", "12 min", "11 min"]
        );
        assert!(duration_short(u64::MAX).ends_with(" min"));
        assert_eq!(compact(1_234_567), "1,234k");
        assert_eq!([0.0, 0.4, 1.0, 17.6].map(rate_short), ["0", "0.4", "1.0", "18"]);
        assert_eq!([0.000_4, 0.02, 0.126].map(percent_short), ["<0.1 %", "2.0 %", "13 %"]);
    }

    #[test]
    fn one_is_singular_and_nobodys_name_is_empty() {
        assert_eq!(
            (noun(1, "exchange"), noun(0, "exchange")),
            ("exchange".into(), "exchanges".into())
        );
        let words = |name: &str| named(&name.into(), 4242).for_terminal().to_string();
        assert_eq!((words("nginx"), words("")), ("nginx 4242".into(), "pid 4242".into()));
    }
}
