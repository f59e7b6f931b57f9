//! The command at the end of a plan: which file it is, and with what environment it starts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::stages::stage::Command;

/// Where programs are looked for inside a rootfs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file to execute and the environment to give it.
///
/// In another `root` the environment is a fresh one; on the host it is the caller's; the
/// variables of `command` on top. For a name that is found nowhere, a file that is not there
/// stands in, so that execve(2) says so.
pub(crate) fn resolve(
    root: Option<&Path>,
    command: &Command,
) -> (PathBuf, Vec<(OsString, OsString)>) {
    let mut variables: Vec<(OsString, OsString)> = if root.is_some() || command.fresh_env {
        let mut fresh: Vec<(OsString, OsString)> =
            [("PATH", PATH), ("HOME", "/root")].map(|(k, v)| (k.into(), v.into())).into();
        fresh.extend(env::var_os("TERM").map(|term| ("TERM".into(), term)));
        fresh
    } else {
        env::vars_os().collect()
    };
    for (name, value) in &command.env {
        variables.retain(|(known, _)| known != name);
        variables.push((name.clone(), value.clone()));
    }
    let path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = path.unwrap_or_else(|| OsString::from(PATH));
    let name = command.argv.first().cloned().unwrap_or_default();
    (find(root, &name, &path), variables)
}

fn find(root: Option<&Path>, name: &OsStr, path: &OsStr) -> PathBuf {
    if name.as_encoded_bytes().contains(&b'/') {
        return PathBuf::from(name);
    }
    let there = |file: &PathBuf| {
        let Some(root) = root else { return is_executable(file) };
        rootfs_fetch::resolve_in(root, file).is_ok_and(|file| is_executable(&file))
    };
    let found = env::split_paths(path).map(|dir| dir.join(name)).find(there);
    found.unwrap_or_else(|| Path::new("/bin").join(name))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok()
}
