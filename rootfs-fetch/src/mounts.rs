//! What is mounted, as /proc/self/mountinfo says; see proc_pid_mountinfo(5).
//!
//! Read as bytes: a mount point may have any byte in its name but NUL, and it is anybody's to
//! choose, as is the label of a disk that is plugged in.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const TABLE: &str = "/proc/self/mountinfo";

/// A mount, as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which directory of the filesystem is its root: `/`, or what a bind mount shows. In a cgroup
    /// hierarchy, a cgroup. Some filesystems have no directories: `net:[4026531840]`.
    pub root: PathBuf,
    /// Where it is mounted, from this process's root.
    pub point: PathBuf,
    /// The options of this mount, such as `ro` and `nosuid`.
    pub options: Vec<OsString>,
    /// The type of the filesystem: `ext4`, `cgroup2`.
    pub kind: OsString,
    /// The options of the filesystem, wherever else it is mounted. In version 1 of cgroups, the
    /// controllers are among them.
    pub super_options: Vec<OsString>,
}

impl Mount {
    /// Whether nothing can be written through it: the mount is read-only, or the filesystem.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().chain(&self.super_options).any(|option| option == "ro")
    }
}

/// All mounts that this process sees, in the kernel's order: as a rule that in which they were made,
/// so the later of two with the same mount point covers the other.
///
/// # Errors
/// When the table cannot be read or has a line that cannot be understood. Such a line is not passed
/// over: it could be about what somebody is going to remove.
pub fn table() -> io::Result<Vec<Mount>> {
    // The file says that it is empty: with room for all of it, it is one read and not eight.
    let mut table = Vec::with_capacity(64 * 1024);
    File::open(TABLE)?.read_to_end(&mut table)?;
    parse(&table)
}

/// The mount points at `path` and below it. When `path` is a link, that is the link itself, not
/// what it leads to. Where there is nothing, nothing is mounted.
///
/// # Errors
/// As for [`table`], and for realpath(3) of the directory that `path` is in.
pub fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let path = match real(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        path => path?,
    };
    let points = table()?.into_iter().map(|mount| mount.point);
    Ok(points.filter(|point| point.starts_with(&path)).collect())
}

/// The path without links and dots, but for its last part.
fn real(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else { return fs::canonicalize(path) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(fs::canonicalize(parent.unwrap_or(Path::new(".")))?.join(name))
}

pub(crate) fn parse(table: &[u8]) -> io::Result<Vec<Mount>> {
    let lines = table.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mount = |line| {
        mount(line).ok_or_else(|| {
            let problem = format!("a line of {TABLE} is no mount: {}", line.escape_ascii());
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
    };
    lines.map(mount).collect()
}

/// `36 35 98:0 ROOT POINT OPTIONS OPTIONAL… - KIND SOURCE SUPER_OPTIONS`. There may be several
/// optional fields, such as `shared:1 master:2`, or none.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = text(fields.nth(3)?);
    let point = text(fields.next()?);
    let options = list(fields.next()?);
    fields.find(|field| *field == b"-")?;
    let kind = text(fields.next()?);
    let super_options = list(fields.nth(1)?);
    Some(Mount { root: root.into(), point: point.into(), options, kind, super_options })
}

fn list(field: &[u8]) -> Vec<OsString> {
    field.split(|byte| *byte == b',').map(text).collect()
}

/// What a field says: the kernel writes space, tab, newline, backslash and what else would mislead
/// as `\ooo`, the byte in octal.
fn text(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn one(line: &[u8]) -> Mount {
        let mut mounts = parse(line).expect("a table");
        assert_eq!(mounts.len(), 1);
        mounts.remove(0)
    }

    #[test]
    fn every_field_is_read_whatever_optional_ones_there_are() {
        for optional in ["", "shared:1 ", "shared:1 master:2 ", "master:2 propagate_from:3 "] {
            let line = format!(
                "30 23 0:26 /user.slice /sys/fs/cgroup/memory rw,nosuid {optional}- cgroup cgroup \
                 ro,memory\n"
            );
            let mount = one(line.as_bytes());
            assert_eq!(mount.root, Path::new("/user.slice"));
            assert_eq!(mount.point, Path::new("/sys/fs/cgroup/memory"));
            assert_eq!(mount.options, ["rw", "nosuid"]);
            assert_eq!(mount.kind, "cgroup");
            assert_eq!(mount.super_options, ["ro", "memory"]);
            assert!(mount.is_read_only());
        }
    }

    #[test]
    fn a_mount_point_need_not_be_text_and_may_have_any_byte() {
        let mount = one(b"1 2 0:1 / /a\\040b\\011c\\012d\\134040\xe9 rw - tmpfs a\\043b rw");
        assert_eq!(mount.point, Path::new(OsStr::from_bytes(b"/a b\tc\nd\\040\xe9")));
        assert!(!mount.is_read_only());
        let mount = one(b"1 2 0:1 / /a\\ \\0 \\400 \\9 - - x - rw");
        assert_eq!(mount.point, Path::new("/a\\"));
    }

    #[test]
    fn a_comma_in_the_name_of_a_layer_ends_no_option() {
        let mount = one(b"1 2 0:1 / /m rw - overlay none rw,lowerdir=/a\\054ro");
        assert_eq!(mount.super_options, ["rw", "lowerdir=/a,ro"]);
        assert!(!mount.is_read_only());
    }

    #[test]
    fn a_filesystem_without_a_source_or_directories_is_a_mount_too() {
        let mount = one(b"1 2 0:4 net:[4026531840] /run/netns/a rw shared:5 - nsfs  rw");
        assert_eq!((mount.root, mount.kind), ("net:[4026531840]".into(), "nsfs".into()));
        assert_eq!(mount.super_options, ["rw"]);
    }

    #[test]
    fn a_line_that_is_no_mount_is_an_error() {
        for line in ["x", "1 2 0:1 / /m rw", "1 2 0:1 / /m rw shared:1 tmpfs none rw", "1 - a b"] {
            let error = parse(line.as_bytes()).expect_err(line);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn the_mounts_of_this_machine_are_seen_and_nothing_below_what_is_not_there() {
        assert!(table().expect("a table").iter().any(|mount| mount.kind == "proc"));
        assert!(below(Path::new("/proc")).expect("mounts").contains(&"/proc".into()));
        assert!(below(Path::new("/nothing/here")).expect("none").is_empty());
        let this = std::env::current_dir().expect("a directory");
        assert_eq!(real(Path::new("x")).expect("a path"), this.join("x"));
        assert_eq!(real(Path::new("/proc/..")).expect("a path"), Path::new("/"));
    }
}
