//! Calls that take more than a line to make.

use std::ffi::{CString, OsString};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::Pid;

/// Lets the set-user-ID program write the map: the kernel lets nobody else map other people's ids.
pub(crate) fn map_ids(program: &str, child: Pid, ranges: &str) -> nix::Result<()> {
    let mut command = std::process::Command::new(program);
    command.arg(child.to_string());
    command.args(ranges.split(' '));
    let output = command.output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) => Err(Errno::EPERM),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

pub(crate) fn open_as(dir: &Path, wanted: i32) -> nix::Result<()> {
    use nix::fcntl::open;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    keep_as(open(dir, flags, nix::sys::stat::Mode::empty())?, wanted)
}

pub(crate) fn pidfd_open(pid: i32, wanted: i32) -> nix::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(Errno::ESRCH)?;
    let opened = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    keep_as(opened.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?, wanted)
}

/// As `exec 9<DIR` in a shell: whatever had the number before is closed.
fn keep_as(opened: OwnedFd, wanted: i32) -> nix::Result<()> {
    if opened.as_raw_fd() == wanted {
        let _ = opened.into_raw_fd();
        return Ok(());
    }
    // SAFETY: it runs in the child, which uses no descriptor of this number.
    #[expect(unsafe_code)]
    let placed = unsafe { nix::unistd::dup3_raw(&opened, wanted, OFlag::empty()) }?;
    let _ = placed.into_raw_fd();
    Ok(())
}

pub(crate) fn execve(
    file: &Path,
    argv: &[OsString],
    env: &[(OsString, OsString)],
) -> nix::Result<()> {
    let c = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    let file = c(file.as_os_str().as_bytes())?;
    let argv = argv.iter().map(|word| c(word.as_bytes())).collect::<nix::Result<Vec<_>>>()?;
    let env =
        env.iter().map(|(name, value)| c(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let env = env.collect::<nix::Result<Vec<_>>>()?;
    nix::unistd::execve(&file, &argv, &env).map(drop)
}
