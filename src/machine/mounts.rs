//! The mount table of this process; see proc_pid_mountinfo(5).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What of its filesystem is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// How, for this mount.
    pub options: Vec<u8>,
    /// The kind of filesystem.
    pub kind: Vec<u8>,
    /// How, for the filesystem.
    pub super_options: Vec<u8>,
}

impl Mount {
    /// Whether the mount or its filesystem has this option.
    pub fn has(&self, option: &str) -> bool {
        let options = [&self.options, &self.super_options];
        options
            .iter()
            .any(|all| all.split(|byte| *byte == b',').any(|one| one == option.as_bytes()))
    }
}

/// All that is mounted, the oldest first.
pub fn table() -> io::Result<Vec<Mount>> {
    let bytes = fs::read("/proc/self/mountinfo")?;
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(mount).collect())
}

fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(3);
    let (root, point, options) = (fields.next()?, fields.next()?, fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, _, super_options) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Mount {
        root: unescape(root),
        point: unescape(point),
        options: options.to_owned(),
        kind: kind.to_owned(),
        super_options: super_options.to_owned(),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::new();
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => (out.push(byte), rest = &tail[3..]),
            None => (out.push(*first), rest = tail),
        };
    }
    PathBuf::from(OsStr::from_bytes(&out))
}

/// The mount points at `tree` and below it.
pub fn below(tree: &Path) -> io::Result<Vec<PathBuf>> {
    let tree = fs::canonicalize(tree).unwrap_or_else(|_| tree.to_owned());
    let points = table()?.into_iter().map(|mount| mount.point);
    Ok(points.filter(|point| point.starts_with(&tree)).collect())
}
