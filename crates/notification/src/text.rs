//! Text that an attacker may have written, made fit for where it goes.

/// Whether a character shows as itself and does nothing else: no control character, none that turns the direction of
/// writing or is invisible.
pub(crate) fn is_plain(it: char) -> bool {
    !it.is_control()
        && !matches!(it, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Makes one line of at most `chars_max` characters: what is not plain becomes a space, what is beyond is cut with `…`.
pub(crate) fn line(text: &str, chars_max: usize) -> String {
    let plain = |it: char| if is_plain(it) { it } else { ' ' };
    let mut out: String = text.chars().take(chars_max).map(plain).collect();
    if text.chars().nth(chars_max).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_a_cursor_or_begins_a_line() {
        let hostile = "a\r\nb\x1b[2Jc\u{202e}d\u{0}e\u{2066}f\u{e0041}";
        assert_eq!(line(hostile, 100), "a  b [2Jc d e f ");
        assert!(line(hostile, 100).chars().all(is_plain));
    }

    #[test]
    fn the_longest_is_whole_and_one_more_is_cut() {
        assert_eq!(line("abc", 3), "abc");
        assert_eq!(line("abcd", 3), "ab…");
        assert_eq!(line("日本語だ", 3), "日本…");
        assert_eq!(line("", 3), "");
    }
}
