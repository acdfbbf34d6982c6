//! The colours, by their number among a terminal's 256.
//!
//! They are near the palette of Okabe and Ito, which colour-blind people tell apart. The tests
//! check how they stand out from what is behind them.

/// The colours for one kind of background.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Palette {
    /// Time of the kernel: sky blue.
    pub(super) kernel: u8,
    /// Time of the application: orange.
    pub(super) app: u8,
    /// Within the application's time, what it waited for upstream: yellow.
    pub(super) upstream: u8,
    /// Time of the network: reddish purple.
    pub(super) network: u8,
    /// Time of the peer: bluish green.
    pub(super) peer: u8,
    /// Something lost: red, and nothing else is.
    pub(super) loss: u8,
    /// Labels, rules, and time of an unknown owner: grey.
    pub(super) dim: u8,
    /// The empty part of a bar.
    pub(super) track: u8,
    /// Text on one of the colours above.
    pub(super) on_colour: u8,
}

/// Colours for a dark background.
pub(super) const DARK: Palette = Palette {
    kernel: 75,
    app: 214,
    upstream: 228,
    network: 175,
    peer: 43,
    loss: 203,
    dim: 247,
    track: 237,
    on_colour: 16,
};

/// Colours for a light background.
pub(super) const LIGHT: Palette = Palette {
    kernel: 26,
    app: 130,
    upstream: 58,
    network: 90,
    peer: 29,
    loss: 160,
    dim: 241,
    track: 253,
    on_colour: 231,
};

/// Returns how bright a colour is, from 0 to 1: the relative luminance of WCAG.
pub(super) fn luminance(rgb: [f64; 3]) -> f64 {
    let [red, green, blue] =
        rgb.map(
            |part| {
                if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            },
        );
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Backgrounds of terminals, plain ones first.
    const DARK_ONES: [[u8; 3]; 4] =
        [[0, 0, 0], [0x1e, 0x1e, 0x1e], [0x28, 0x2a, 0x36], [0x00, 0x2b, 0x36]];
    const LIGHT_ONES: [[u8; 3]; 3] = [[255, 255, 255], [0xfd, 0xf6, 0xe3], [0xee, 0xee, 0xee]];
    const THEMES: [(&Palette, &[[u8; 3]]); 2] = [(&DARK, &DARK_ONES), (&LIGHT, &LIGHT_ONES)];

    /// Returns a colour of xterm's 256: a cube of 6 × 6 × 6, then greys.
    fn xterm(index: u8) -> [u8; 3] {
        const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
        if index >= 232 {
            return [8 + 10 * (index - 232); 3];
        }
        let place = usize::from(index.checked_sub(16).expect("the first 16 are the user's own"));
        [LEVELS[place / 36], LEVELS[place / 6 % 6], LEVELS[place % 6]]
    }

    /// Returns the contrast of WCAG, from 1 to 21.
    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let [a, b] = [a, b].map(|rgb| luminance(rgb.map(|part| f64::from(part) / 255.0)) + 0.05);
        if a > b { a / b } else { b / a }
    }

    fn meanings(palette: &Palette) -> [(&'static str, u8); 7] {
        [
            ("kernel", palette.kernel),
            ("app", palette.app),
            ("upstream", palette.upstream),
            ("network", palette.network),
            ("peer", palette.peer),
            ("loss", palette.loss),
            ("dim", palette.dim),
        ]
    }

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.01);
        assert!((contrast([119; 3], [255; 3]) - 4.48).abs() < 0.01, "#777, known to just fail");
        assert_eq!((xterm(214), xterm(247), xterm(16)), ([255, 175, 0], [158; 3], [0; 3]));
    }

    #[test]
    fn text_stands_out_from_the_background() {
        for (palette, backgrounds) in THEMES {
            for (name, index) in meanings(palette) {
                let plain = contrast(xterm(index), backgrounds[0]);
                assert!(plain >= 4.5, "{name} {index}: {plain:.2}");
                for background in backgrounds {
                    let tinted = contrast(xterm(index), *background);
                    assert!(tinted >= 3.9, "{name} {index} on {background:?}: {tinted:.2}");
                }
            }
        }
    }

    #[test]
    fn badges_can_be_read() {
        for (palette, _) in THEMES {
            for (name, index) in meanings(palette) {
                let on_it = contrast(xterm(palette.on_colour), xterm(index));
                assert!(on_it >= 4.5, "{name} {index}: {on_it:.2}");
            }
        }
    }

    /// Or an empty bar would look full, or like nothing.
    #[test]
    fn the_empty_part_of_a_bar_is_neither_the_full_one_nor_the_background() {
        for (palette, backgrounds) in THEMES {
            let track = xterm(palette.track);
            for (name, index) in meanings(palette) {
                let filled = contrast(xterm(index), track);
                assert!(filled >= 3.0, "{name} {index}: {filled:.2}");
            }
            for background in backgrounds {
                let seen = contrast(track, *background);
                assert!(seen >= 1.19, "{background:?}: {seen:.2}");
            }
        }
    }

    #[test]
    fn meanings_have_colours_of_their_own() {
        for (palette, _) in THEMES {
            let all = meanings(palette);
            for (at, (name, index)) in all.iter().enumerate() {
                for (other, index_of_other) in &all[at + 1..] {
                    let [a, b] = [*index, *index_of_other].map(xterm);
                    let apart: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b))).sum();
                    assert!(apart >= 80, "{name} and {other}: {apart}");
                }
            }
        }
    }
}
