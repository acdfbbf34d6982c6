//! What of a text from outside could steer or deceive a terminal.

/// Tells whether a character is shown as itself, and does nothing else: no control character (escape
/// sequences begin with one), no direction override, nothing invisible or private, no line
/// separator.
pub(super) fn is_harmless(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\u{00}'..='\u{9f}' => false,
        // Soft hyphen, Arabic and Syriac format characters, Mongolian vowel separator, Hangul and
        // Khmer fillers.
        '\u{ad}'
        | '\u{61c}'
        | '\u{600}'..='\u{605}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{180b}'..='\u{180f}' => false,
        '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => false,
        // Zero-width and direction marks, line and paragraph separators, overrides, isolates.
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        // Variation selectors, byte order mark, interlinear and special characters, tags.
        '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // Private use, and what is no character.
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => false,
        _ => (u32::from(character) & 0xfffe) != 0xfffe,
    }
}
