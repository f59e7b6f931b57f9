//! For programs.

use serde::Serialize;

/// A value as JSON that people can read too.
pub fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}
