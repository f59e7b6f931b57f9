//! Words of strangers, as they can be printed on a terminal.

/// A name as it can be printed on a terminal, whatever is in it and however long it is.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = printable(name);
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// One line of text as it can be printed on a terminal, whatever is in it: what a terminal would obey
/// is shown instead, as `\x1b` for an escape, and so is what is no text.
pub fn printable(text: &[u8]) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c.is_ascii_control() => out.push_str(&(c as u8).escape_ascii().to_string()),
                c if c.is_control() || turns_text_around(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        out.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    out
}

/// Whether what follows is shown in another order: a name would look like another one.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_all_else_stays() {
        assert_eq!(printable(b"x\x1b]0;PWNED\x07"), r"x\x1b]0;PWNED\x07");
        assert_eq!(printable("\u{9b}2J".as_bytes()), r"\u{9b}2J");
        assert_eq!(printable("txt.\u{202e}exe".as_bytes()), r"txt.\u{202e}exe");
        assert_eq!(printable(b"a\xff\n"), r"a\xff\n");
        assert_eq!(printable("进程 é \\ \"".as_bytes()), "进程 é \\ \"");
    }
}
