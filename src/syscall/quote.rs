//! Writing values the way C, strace(1) and sh(1) write them.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// A C string literal, as strace(1) prints it.
pub(crate) fn c_string(text: &OsStr) -> String {
    let mut out = String::from("\"");
    for &byte in text.as_bytes() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:o}");
            }
        }
    }
    out.push('"');
    out
}

/// Flags joined as C joins them, `0` when there is none.
pub(crate) fn flags<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

/// One word of a shell command, quoted when it must be.
pub(crate) fn sh_word(text: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    let Some(text) = text.to_str() else { return sh_bytes(text.as_bytes()) };
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A word that is no text: scripts are.
fn sh_bytes(bytes: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'%' => "%%".to_owned(),
        b' '..=b'~' if !b"'\\".contains(byte) => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("\"$(printf -- '{}')\"", bytes.iter().map(byte).collect::<String>())
}

/// A path as one word of a shell command.
pub(crate) fn sh_path(path: &Path) -> String {
    sh_word(path.as_os_str())
}

/// The words of a shell command.
pub(crate) fn sh_words(words: &[OsString]) -> String {
    words.iter().map(|word| sh_word(word)).collect::<Vec<_>>().join(" ")
}

/// What the standard library says of a call that failed, as the kernel said it.
pub(super) fn errno<T>(result: io::Result<T>) -> nix::Result<T> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_a_quote_survives_the_shell() {
        assert_eq!(sh_word("it's".as_ref()), r"'it'\''s'");
        assert_eq!(sh_word("".as_ref()), "''");
        assert_eq!(sh_word("/bin/ls".as_ref()), "/bin/ls");
    }

    #[test]
    fn a_word_that_is_no_text_survives_the_shell_too() {
        let word = OsStr::from_bytes(b"-\xff% '\\\n$(x)\xe9");
        let script = format!("printf %s {}", sh_word(word));
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(said.stdout, word.as_bytes(), "{script}");
    }

    #[test]
    fn a_c_string_is_written_as_strace_does() {
        assert_eq!(c_string("a\"b\n\u{1}".as_ref()), r#""a\"b\n\1""#);
    }
}
