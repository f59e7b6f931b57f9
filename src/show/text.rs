//! Lines that fit the terminal.

use std::env;

use unicode_width::UnicodeWidthStr;

/// The width to print for, in columns: `COLUMNS`, else the terminal's, else 80; never more than
/// 160.
pub fn width() -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let columns = asked
        .or_else(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|s| s.ws_col.into()));
    columns.filter(|columns| *columns >= 20).unwrap_or(80).min(160)
}

/// Breaks running text into lines of at most `width` columns. Empty lines part paragraphs.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim().split("\n\n") {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
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

/// `text` cut to `width` columns, with `…` where something is missing.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
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
    fn text_is_broken_between_words_and_paragraphs_stay() {
        assert_eq!(wrap("one two\nthree\n\nfour", 8), ["one two", "three", "", "four"]);
    }
}
