//! Writing values the way C, strace(1) and sh(1) write them.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::MsFlags;

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
    let text = text.to_string_lossy();
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The words of a shell command.
pub(crate) fn sh_words(words: &[OsString]) -> String {
    words.iter().map(|word| sh_word(word)).collect::<Vec<_>>().join(" ")
}

/// mount(8) for a mount(2).
pub(crate) fn mount_line(
    source: Option<&Path>,
    target: &Path,
    fstype: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> String {
    let target = sh_word(target.as_os_str());
    let source = sh_word(source.unwrap_or(Path::new("none")).as_os_str());
    let rec = if flags.contains(MsFlags::MS_REC) { "r" } else { "" };
    let propagations = [
        (MsFlags::MS_PRIVATE, "private"),
        (MsFlags::MS_SLAVE, "slave"),
        (MsFlags::MS_SHARED, "shared"),
    ];
    if let Some((_, name)) = propagations.iter().find(|(flag, _)| flags.contains(*flag)) {
        return format!("mount --make-{rec}{name} {target}");
    }
    if flags.contains(MsFlags::MS_REMOUNT) {
        return format!("mount -o remount,bind,ro {target}");
    }
    if flags.contains(MsFlags::MS_BIND) {
        // mount(8) makes an absolute path of it, which this user may not be able to walk.
        let as_it_is = if source == "." { "-c " } else { "" };
        return format!("mount {as_it_is}--{rec}bind {source} {target}");
    }
    let name = |name: &str| match name {
        "MS_RDONLY" => "ro".to_owned(),
        name => name.trim_start_matches("MS_").to_lowercase(),
    };
    let names = flags.iter_names().map(|(flag, _)| name(flag));
    let options: Vec<String> = names.chain(data.map(str::to_owned)).collect();
    let options =
        if options.is_empty() { String::new() } else { format!(" -o {}", options.join(",")) };
    format!("mount -t {}{options} {source} {target}", fstype.unwrap_or("none"))
}

/// A write of a text to a file that is there. Some shells' echo reads backslashes.
pub(crate) fn echo_line(text: &str, file: &Path) -> String {
    let (quoted, file) = (sh_word(text.as_ref()), sh_word(file.as_os_str()));
    if text.contains(['\\', '\n']) {
        format!("printf %s {quoted} > {file}")
    } else {
        format!("echo {quoted} > {file}")
    }
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
    fn a_c_string_is_written_as_strace_does() {
        assert_eq!(c_string("a\"b\n\u{1}".as_ref()), r#""a\"b\n\1""#);
    }
}
