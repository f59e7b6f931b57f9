//! Lines that fit the terminal.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use unicode_width::UnicodeWidthStr;

/// The width to print for, in columns: `COLUMNS`, else the terminal's, else 80; never more than
/// 160.
pub fn width() -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns = asked
        .or_else(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|s| s.ws_col.into()));
    columns.filter(|columns| *columns >= 20).unwrap_or(80).min(160)
}

/// Text as it can be printed, whoever wrote it: lines stay lines, and a tab is two spaces.
pub(crate) fn printable(text: &str) -> String {
    let lines = text.split('\n').map(|line| line.replace('\t', "  "));
    let lines = lines.map(|line| rootfs_fetch::printable(line.as_bytes()));
    lines.collect::<Vec<_>>().join("\n")
}

/// A name, a path or a command as it can be printed, in one line.
pub(crate) fn word(text: impl AsRef<OsStr>) -> String {
    rootfs_fetch::printable(text.as_ref().as_bytes())
}

/// Breaks running text into lines of at most `width` columns. Empty lines part paragraphs; one that
/// is indented by four columns stays as it is.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let text = printable(text);
    let mut lines = Vec::new();
    for paragraph in text.trim().split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        if paragraph.starts_with("    ") {
            lines.extend(paragraph.lines().map(str::to_owned));
            continue;
        }
        let mut line = String::new();
        for word in words(paragraph, width).iter().flat_map(|word| pieces(word, width)) {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A word that is wider than a line, such as a long path, in pieces that are not.
fn pieces(word: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut begin, mut used) = (0, 0);
    for (at, c) in word.char_indices() {
        let wide = c.to_string().width();
        if used + wide > width && at > begin {
            pieces.push(&word[begin..at]);
            (begin, used) = (at, 0);
        }
        used += wide;
    }
    pieces.push(&word[begin..]);
    pieces
}

/// `text` cut to `width` columns, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        if format!("{out}{c}").width() + 1 > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// The words of a text. What stands between backticks is one word, if it fits on a line.
fn words(text: &str, width: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split_whitespace() {
        match words.last_mut().filter(|last| open && last.width() + 1 + word.width() <= width) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// A line as it is, in pieces of at most `width` columns, parted at spaces where that can be.
pub(crate) fn fold(line: &str, width: usize) -> Vec<String> {
    let line = printable(line);
    let mut pieces = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = pieces.last().map_or(0, |piece| piece.width());
        if last > 0 && last + word.trim_end().width() > width {
            pieces.push(String::new());
        }
        for c in word.chars() {
            let piece = pieces.last_mut().filter(|p| format!("{p}{c}").trim_end().width() <= width);
            match piece {
                Some(piece) => piece.push(c),
                None => pieces.push(c.to_string()),
            }
        }
    }
    pieces.iter().map(|piece| piece.trim_end().to_owned()).collect()
}

/// `text` filled up with spaces to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("进程和文件", 7), "进程和…");
        assert_eq!(pad("进程", 6), "进程  ");
    }

    #[test]
    fn a_long_line_goes_on_below_and_a_short_one_keeps_its_columns() {
        assert_eq!(fold("PID  CMD", 20), ["PID  CMD"]);
        assert_eq!(fold("cat: can't open it: no", 10), ["cat: can't", "open it:", "no"]);
        assert_eq!(fold("进程进程进", 4), ["进程", "进程", "进"]);
    }

    #[test]
    fn no_line_has_anything_that_a_terminal_would_obey() {
        assert_eq!(fold("a\x1b[2J\tb", 20), [r"a\x1b[2J  b"]);
        assert_eq!(wrap("a\x1b[2J\nb\r", 20), [r"a\x1b[2J b\r"]);
        assert_eq!(printable("a\r\nb\u{7}"), "a\\r\nb\\x07");
    }

    #[test]
    fn text_is_broken_between_words_and_paragraphs_stay() {
        assert_eq!(wrap("one two\nthree\n\nfour", 8), ["one two", "three", "", "four"]);
        assert_eq!(wrap("type `a b`, now", 8), ["type", "`a b`,", "now"]);
    }
}
