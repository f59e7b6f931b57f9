//! Words of strangers, as they can be printed on a terminal.

/// A name as it can be printed on a terminal, whatever is in it and however long it is.
pub(crate) fn shown(name: &[u8]) -> String {
    let text = printable(name);
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A text as it can be printed on a terminal: no control character may reach that.
pub(crate) fn printable(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        Err(_) => text.escape_ascii().to_string(),
    }
}
