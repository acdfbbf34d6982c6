//! A comparison as a page of HTML, in one file that asks for nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    super::{About, Comparison, Figure, FindingChange, Group, ListenerRow, Verdict},
    words,
};
use crate::text::{Untrusted, duration_us};

const STYLE: &str = include_str!("style.css");

/// Returns the comparison as a page.
pub fn page(comparison: &Comparison) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                title { "backscope: two recordings compared" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (words::outcome(comparison)) }
                    (recordings(comparison))
                    (findings(&comparison.findings))
                    section aria-labelledby="figures" {
                        h2 id="figures" { "Figures" }
                        p.soft {
                            "A figure is better or worse only if the recordings differ in it by more \
                             than it varies within each of them."
                        }
                        @for group in Group::ALL { (figures(comparison, group)) }
                    }
                    (listeners(&comparison.listeners))
                }
            }
        }
    };
    page.into_string()
}

fn escaped(text: &Untrusted) -> Markup {
    PreEscaped(text.for_html().to_string())
}

fn recordings(comparison: &Comparison) -> Markup {
    html! {
        section aria-label="The two recordings" {
            ul {
                li { "A: " (about(&comparison.before)) }
                li { "B: " (about(&comparison.after)) }
            }
            @if !comparison.notes.is_empty() {
                h2 { "What makes them hard to compare" }
                ul { @for note in &comparison.notes { li { (note) } } }
            }
        }
    }
}

fn about(about: &About) -> Markup {
    html! {
        time datetime=(about.begun) { (about.begun) } ", " (duration_us(about.duration_us)) ", of "
        (escaped(&Untrusted::join(&about.targets, ", "))) " (" (escaped(&about.tier)) " tier, "
        (if about.exchanges { "exchanges" } else { "queues" }) ")"
    }
}

fn mark(verdict: Verdict, words: &str) -> Markup {
    let class = match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Changed => "changed",
        Verdict::Same | Verdict::Unknown => "soft",
    };
    html! { span class=(class) { (words) } }
}

fn findings(findings: &[FindingChange]) -> Markup {
    html! {
        section aria-labelledby="findings" {
            h2 id="findings" { "Findings" }
            @if findings.is_empty() { p { "None in either." } }
            @for finding in findings {
                article {
                    h3 {
                        (mark(finding.verdict, words::of_finding(finding))) " " (finding.kind) " ("
                        (words::change(finding.change)) ")"
                    }
                    @for (name, facts) in [("A", &finding.before), ("B", &finding.after)] {
                        @if let Some(facts) = facts {
                            p { (name) ": " (escaped(&facts.subject)) ": " (escaped(&facts.headline)) }
                        }
                    }
                    @if let Some(reason) = finding.reason { p.soft { (reason) } }
                }
            }
        }
    }
}

fn figures(comparison: &Comparison, group: Group) -> Markup {
    let of_group = comparison.figures.iter().filter(|figure| figure.group == group);
    let told: Vec<&Figure> = of_group.filter(|figure| words::is_told(figure)).collect();
    if told.is_empty() {
        return html! {};
    }
    html! {
        div.wide tabindex="0" role="group" aria-label=(words::group(group)) {
            table {
                caption { (words::group(group)) }
                thead {
                    tr {
                        th scope="col" { "Figure" }
                        th.figure scope="col" { "A" }
                        th.figure scope="col" { "B" }
                        th scope="col" { "Judgement" }
                        th scope="col" { "Difference" }
                        th scope="col" { "What would show" }
                    }
                }
                tbody { @for figure in told { (row(figure)) } }
            }
        }
    }
}

fn row(figure: &Figure) -> Markup {
    html! {
        tr {
            th scope="row" { (figure.name) }
            td.figure { (words::value(figure.unit, figure.before)) }
            td.figure { (words::value(figure.unit, figure.after)) }
            td { (mark(figure.verdict, words::verdict(figure.verdict))) }
            td {
                @if !matches!(figure.verdict, Verdict::Same | Verdict::Unknown) {
                    (words::difference(figure))
                }
            }
            td.soft { (words::reason(figure)) }
        }
    }
}

fn listeners(rows: &[ListenerRow]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="listeners" {
            h2 id="listeners" { "Listeners" }
            div.wide tabindex="0" role="group" aria-label="Listeners" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Address" }
                            th scope="col" { "Recording" }
                            @for name in ["Limit", "Deepest", "Accepted", "Refused"] {
                                th.figure scope="col" { (name) }
                            }
                        }
                    }
                    tbody {
                        @for row in rows {
                            @for (name, state) in [("A", row.before), ("B", row.after)] {
                                tr {
                                    th scope="row" { (row.local) }
                                    td { (name) }
                                    @if let Some(state) = state {
                                        td.figure { (state.limit) }
                                        td.figure { (state.peak) }
                                        td.figure { (state.accepted) }
                                        td.figure { (state.overflows) }
                                    } @else { td colspan="4" { "not there" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
