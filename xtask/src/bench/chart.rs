//! A chart of what each program costs, as SVG: bars with whiskers, readable on light and dark.

use std::fmt::Write;

use crate::stats::Spread;

/// The bars of one load.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// Programs, and the loss of requests a second with them, %.
    pub(super) bars: Vec<(String, Spread)>,
}

const WIDTH: f64 = 890.0;
/// Where names end and bars begin, where bars end, and where figures are.
const LEFT: f64 = 270.0;
const RIGHT: f64 = 700.0;
const HEAD: f64 = 64.0;
const TITLE: f64 = 34.0;
const BAR: f64 = 24.0;

/// Losses beyond this are cut off, %: the small ones would not be seen beside them.
const MOST: f64 = 40.0;

/// Returns the chart.
pub(super) fn svg(panels: &[Panel]) -> String {
    let bars: usize = panels.iter().map(|panel| panel.bars.len()).sum();
    let height = HEAD + panels.len() as f64 * TITLE + bars as f64 * BAR + 16.0;
    let spreads = || panels.iter().flat_map(|panel| &panel.bars).map(|(_, spread)| spread);
    let most = spreads().map(|spread| spread.high).fold(10.0, f64::max).min(MOST);
    let least = spreads().map(|spread| spread.low).fold(0.0, f64::min).max(-10.0);
    let axis = Axis { least, most };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Requests a second lost with each program beside the server</title>\n{STYLE}\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text class=\"head\" x=\"16\" y=\"26\">Requests a second lost, %: median, p10 to p90\
         </text>\n"
    );
    axis.draw(&mut text, height);
    let mut y = HEAD;
    for panel in panels {
        let baseline = y + 22.0;
        line(&mut text, "title", 16.0, baseline, &panel.title);
        y += TITLE;
        for (name, spread) in &panel.bars {
            axis.bar(&mut text, y, name, spread);
            y += BAR;
        }
    }
    text + "</svg>\n"
}

const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.head { font-size: 15px; font-weight: 600; }
.title { font-weight: 600; }
.back { fill: #ffffff; }
.name { text-anchor: end; }
.tick { text-anchor: middle; fill: #59636e; }
.grid { stroke: #d1d9e0; }
.bar { fill: #0969da; }
.other { fill: #8c959f; }
.whisker { stroke: #1f2328; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .back { fill: #0d1117; }
  .tick { fill: #9198a1; }
  .grid { stroke: #3d444d; }
  .bar { fill: #4493f8; }
  .other { fill: #656c76; }
  .whisker { stroke: #e6edf3; }
}
</style>
";

/// The scale of the bars.
struct Axis {
    least: f64,
    most: f64,
}

impl Axis {
    fn x(&self, value: f64) -> f64 {
        let share = (value.clamp(self.least, self.most) - self.least) / (self.most - self.least);
        LEFT + share * (RIGHT - LEFT)
    }

    fn draw(&self, text: &mut String, height: f64) {
        let step = if self.most - self.least > 25.0 { 10 } else { 5 };
        let (first, last) = ((self.least / 5.0).ceil() as i32 * 5, self.most as i32);
        for tick in (first..=last).filter(|tick| tick % step == 0) {
            let x = self.x(f64::from(tick));
            line(text, "tick", x, HEAD - 12.0, &tick.to_string());
            stroke(text, "grid", (x, HEAD - 6.0), (x, height - 12.0));
        }
    }

    fn bar(&self, text: &mut String, y: f64, name: &str, spread: &Spread) {
        line(text, "name", LEFT - 10.0, y + 16.0, name);
        let (zero, end) = (self.x(0.0), self.x(spread.median));
        let (x, width) = (zero.min(end), (end - zero).abs().max(1.0));
        let class = if name.contains("watch") { "bar" } else { "other" };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{:.1}\"/>",
            y + 4.0,
            BAR - 8.0
        );
        let middle = y + BAR / 2.0;
        stroke(text, "whisker", (self.x(spread.low), middle), (self.x(spread.high), middle));
        let cut = if spread.median > self.most { "→ " } else { "" };
        line(text, "figure", RIGHT + 12.0, y + 16.0, &format!("{cut}{}", figures(spread)));
    }
}

fn figures(spread: &Spread) -> String {
    let Spread { low, median, high } = spread;
    format!("{median:.1} ({low:.1} to {high:.1})")
}

fn line(text: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(text, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

fn stroke(text: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        text,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut_and_words_are_escaped() {
        let spread = |median| Spread { low: median - 1.0, median, high: median + 1.0 };
        let bars = vec![("a <b>".to_owned(), spread(95.0)), ("watch".to_owned(), spread(0.2))];
        let svg = svg(&[Panel { title: "keep-alive & more".to_owned(), bars }]);
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("keep-alive &amp; more"), "{svg}");
        assert!(svg.contains("→ 95.0 (94.0 to 96.0)"), "{svg}");
        assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"), "{svg}");
    }
}
