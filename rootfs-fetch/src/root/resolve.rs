//! Following a path as a process would whose root directory is another one.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many symbolic links the kernel follows; see path_resolution(7).
const MAX_LINKS: usize = 40;

/// Where `path` leads for a process whose root directory is `root`: absolute links begin at
/// `root`, and `..` stops there. The answer is a path below `root` as seen from outside.
///
/// # Errors
/// As for stat(2): a part that does not exist, a way through a file, too many links.
pub fn resolve_in(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut pending = path_parts(path);
    let mut inside: Vec<OsString> = Vec::new();
    let mut is_dir = true;
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if !is_dir {
            return Err(io::Error::from_raw_os_error(nix::libc::ENOTDIR));
        }
        if part.is_empty() || part == "." {
            continue;
        }
        if part == ".." {
            inside.pop();
            continue;
        }
        let here = root.join(inside.iter().collect::<PathBuf>()).join(&part);
        let kind = fs::symlink_metadata(&here)?.file_type();
        if !kind.is_symlink() {
            is_dir = kind.is_dir();
            inside.push(part);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
        }
        let target = fs::read_link(&here)?;
        if target.is_absolute() {
            inside.clear();
        }
        pending.extend(path_parts(&target));
    }
    Ok(root.join(inside.iter().collect::<PathBuf>()))
}

/// The parts of a path between its slashes, the first one last. Where nothing stands behind a slash,
/// there must be a directory before it.
pub fn path_parts(path: &Path) -> Vec<OsString> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    parts.rev().map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_dots_never_lead_out_of_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::create_dir_all(root.join("usr/bin")).expect("mkdir");
        fs::write(root.join("usr/bin/tool"), "").expect("write");
        symlink("/usr/bin", root.join("bin")).expect("symlink");
        symlink("../../../usr/bin/tool", root.join("up")).expect("symlink");
        symlink("loop", root.join("loop")).expect("symlink");
        let tool = root.join("usr/bin/tool");
        assert_eq!(resolve_in(root, Path::new("/bin/tool")).expect("found"), tool);
        assert_eq!(resolve_in(root, Path::new("/../../bin/../bin/tool")).expect("found"), tool);
        assert_eq!(resolve_in(root, Path::new("up")).expect("found"), tool);
        assert_eq!(resolve_in(root, Path::new("/")).expect("found"), root.join(""));
        let error = resolve_in(root, Path::new("/loop")).expect_err("a loop");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP));
        assert!(resolve_in(root, Path::new("/etc/passwd")).is_err());
    }

    #[test]
    fn no_way_leads_through_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        fs::write(root.join("file"), "").expect("write");
        symlink("file/../file", root.join("back")).expect("symlink");
        symlink("file/", root.join("slash")).expect("symlink");
        for path in ["file/..", "file/.", "file/", "/file/x", "back", "slash"] {
            let error = resolve_in(root, Path::new(path)).expect_err(path);
            assert_eq!(error.raw_os_error(), Some(nix::libc::ENOTDIR), "{path}");
        }
    }
}
