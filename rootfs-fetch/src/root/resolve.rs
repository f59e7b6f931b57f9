//! Following a path as a process would whose root directory is another one.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links the kernel follows; see path_resolution(7).
const MAX_LINKS: usize = 40;

/// Where `path` leads for a process whose root directory is `root`: absolute links begin at
/// `root`, and `..` stops there. The answer is a path below `root` as seen from outside.
///
/// # Errors
/// As for stat(2): a part that does not exist, too many links.
pub fn resolve_in(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut pending: Vec<OsString> = parts(path);
    let mut inside: Vec<OsString> = Vec::new();
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == ".." {
            inside.pop();
            continue;
        }
        let here = root.join(inside.iter().collect::<PathBuf>()).join(&part);
        let kind = std::fs::symlink_metadata(&here)?.file_type();
        if !kind.is_symlink() {
            inside.push(part);
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
        }
        let target = std::fs::read_link(&here)?;
        if target.is_absolute() {
            inside.clear();
        }
        pending.extend(parts(&target));
    }
    Ok(root.join(inside.iter().collect::<PathBuf>()))
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().rev().filter_map(part).collect()
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
}
