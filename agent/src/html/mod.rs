//! What all pages of HTML share: the frame with its policy, the base of their style, and the one
//! place where text from outside becomes HTML.
//!
//! A page is one file that asks for nothing else. `base.css` has what all of them look like and
//! `print.css` what they look like on paper; a page puts its own style between the two.

mod parts;

use base64::{Engine, prelude::BASE64_STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

pub(crate) use parts::{
    badge, data_block, letter, note, owner_class, owner_patterns, short, table,
};

/// A page.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// Its title.
    pub(crate) title: Markup,
    /// Its style, all of it.
    pub(crate) style: &'a str,
    /// Its script.
    pub(crate) script: &'a str,
    /// Id and name of what the first link leads to, past the head.
    pub(crate) skip: (&'a str, &'a str),
    /// What is on it.
    pub(crate) body: Markup,
}

/// Returns a page as HTML.
pub(crate) fn document(page: &Page<'_>) -> Markup {
    let (main, name) = page.skip;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy(page.style, page.script));
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(concat!("backscope ", env!("CARGO_PKG_VERSION")));
                title { (page.title) }
                style { (PreEscaped(page.style)) }
            }
            body {
                a.skip href={ "#" (main) } { (name) }
                (owner_patterns())
                (page.body)
                script { (PreEscaped(page.script)) }
            }
        }
    }
}

/// Returns the policy of a page: its own style and script run, and nothing is asked for.
pub(crate) fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(style),
        hash(script)
    )
}
