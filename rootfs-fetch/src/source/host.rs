//! The source `host`: a statically linked busybox that is on this machine already.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::root::{elf, skeleton};

/// Where a busybox may be although PATH, an ordinary user's, does not say so.
const MORE: [&str; 4] = ["/usr/local/bin", "/bin", "/usr/sbin", "/sbin"];

/// Fills `root`, an empty directory. Returns where it came from, in words.
///
/// # Errors
/// When there is no static busybox, or it says nothing of its applets.
pub(crate) fn fill(root: &Path) -> Result<String, Error> {
    let busybox = busybox()?;
    skeleton::install(&busybox, root)?;
    Ok(format!("this machine's {}", busybox.display()))
}

/// A busybox that needs no shared library.
fn busybox() -> Result<PathBuf, Error> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(MORE.map(PathBuf::from));
    let mut dynamic = None;
    for file in dirs.map(|dir| dir.join("busybox")) {
        let executable = |data: std::fs::Metadata| data.permissions().mode() & 0o111 != 0;
        if !file.metadata().is_ok_and(executable) {
            continue;
        }
        match elf::interpreter(&file) {
            Ok(None) => return Ok(file),
            Ok(Some(loader)) => dynamic = Some((file, loader)),
            Err(_) => {}
        }
    }
    let problem = match dynamic {
        None => "there is no busybox on PATH".to_owned(),
        Some((file, loader)) => {
            format!("{} is not static: it needs {}", file.display(), loader.display())
        }
    };
    Err(Error::Unfit { problem, hint: Some("install busybox-static".to_owned()) })
}
