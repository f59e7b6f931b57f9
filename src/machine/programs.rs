//! Programs of this machine.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// The first file of this name in `$PATH` that may be executed.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether this is a file that we may execute.
pub fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

/// An `ls` of this machine that needs shared libraries, and that everybody may read.
pub fn dynamic() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join("ls")).find(|file| {
        let mode = fs::metadata(file).map_or(0, |about| about.permissions().mode());
        mode & 0o5 == 0o5 && matches!(rootfs_fetch::elf::interpreter(file), Ok(Some(_)))
    })
}
