//! Pieces of pages, and the one place where text from outside becomes HTML.

use std::fmt::Write;

use maud::{Markup, PreEscaped, Render, html};
use serde::Serialize;

use crate::{
    model::snapshot::Holder,
    text::{self, Untrusted},
};

/// The one way in which text from outside gets onto the page.
impl Render for Untrusted {
    fn render_to(&self, buffer: &mut String) {
        // A String takes everything.
        let _ = write!(buffer, "{}", self.for_html());
    }
}

/// Data for the script, which no text in it can end.
pub(crate) fn data_block(id: &str, data: &impl Serialize) -> Markup {
    let json = text::to_json_in_html(data).unwrap_or_else(|_| "null".to_owned());
    html! { script type="application/json" id=(id) { (PreEscaped(json)) } }
}

/// The class of an owner.
pub(crate) fn owner_class(holder: impl Into<Holder>) -> &'static str {
    match holder.into() {
        Holder::App => "own-a",
        Holder::Upstream => "own-up",
        Holder::Kernel => "own-k",
        Holder::Network => "own-n",
        Holder::Peer => "own-p",
        Holder::Unknown => "own-u",
    }
}

/// The letter of an owner on its colour; its name is beside it, or what is read aloud.
pub(crate) fn letter(holder: impl Into<Holder>) -> Markup {
    let owner = holder.into();
    html! { span.letter.(owner_class(owner)) aria-hidden="true" { (owner.letter()) } }
}

/// The letter and the name of an owner.
pub(crate) fn badge(holder: impl Into<Holder>) -> Markup {
    let owner = holder.into();
    html! { span.badge { (letter(owner)) " " (owner.name()) } }
}

/// Patterns of the owners, so that none of them is told by colour alone. Referred to by the style.
pub(crate) fn owner_patterns() -> Markup {
    html! {
        svg.defs width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                @for owner in Holder::ALL {
                    pattern id={ "fill-" (owner_class(owner)) } width="6" height="6"
                        patternUnits="userSpaceOnUse" {
                        rect.(owner_class(owner)) width="6" height="6" {}
                        (pattern_lines(owner))
                    }
                }
            }
        }
    }
}

fn pattern_lines(owner: Holder) -> Markup {
    let path = match owner {
        Holder::App => return html! {},
        Holder::Upstream => "M-1 5L1 7M0 0L6 6M5 -1L7 1",
        Holder::Kernel => "M-1 1L1 -1M0 6L6 0M5 7L7 5",
        Holder::Network => "M3 0V6",
        Holder::Peer => "M0 3H6",
        Holder::Unknown => "M3 2.2V3.8M2.2 3H3.8",
    };
    html! { path.hatch d=(path) {} }
}

/// A number with two decimals at most: there are thousands.
pub(crate) fn short(value: f64) -> String {
    let mut text = format!("{value:.2}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// A table that scrolls by itself where it is too wide, also by keyboard.
pub(crate) fn table(label: &str, head: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label={ "Table: " (label) } tabindex="0" {
            table {
                caption.vh { (label) }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A note below a figure or a list.
pub(crate) fn note(text: &str) -> Markup {
    html! { p.note { (text) } }
}
