//! For programs.

use serde::Serialize;

/// A value as JSON that people can read too, on a terminal as well: what that would obey is escaped.
pub fn json<T: Serialize>(value: &T) -> String {
    let json = serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string());
    let escaped = |c: char| match c {
        '\u{7f}'..='\u{9f}' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    json.chars().map(escaped).collect()
}
