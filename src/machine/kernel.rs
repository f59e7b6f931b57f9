//! Calls that take more than a line to make.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::unistd::{ForkResult, Pid};

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
    keep_as(open(dir, flags, nix::sys::stat::Mode::empty())?, wanted, OFlag::empty())
}

/// As [`open_as`], but only to go there, and until the next execve(2).
pub(crate) fn hold(dir: &Path, wanted: i32) -> nix::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(dir, flags, nix::sys::stat::Mode::empty())?;
    keep_as(opened, wanted, OFlag::O_CLOEXEC)
}

pub(crate) fn pidfd_open(pid: i32, wanted: i32) -> nix::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(Errno::ESRCH)?;
    let opened = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let opened = opened.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    keep_as(opened, wanted, OFlag::O_CLOEXEC)
}

/// What mount_setattr(2) is told.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// mount_setattr(2): gives the mount at `path`, and all below it if so `flags` say, these attributes
/// too.
pub(crate) fn mount_setattr(path: &Path, flags: libc::c_int, set: u64) -> nix::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let told = MountAttributes { set, clear: 0, propagation: 0, user_namespace: 0 };
    let (at, size) = (libc::AT_FDCWD, size_of::<MountAttributes>());
    // SAFETY: the kernel reads the path and the struct, which both outlive the call.
    #[expect(unsafe_code)]
    let done =
        unsafe { libc::syscall(libc::SYS_mount_setattr, at, path.as_ptr(), flags, &told, size) };
    Errno::result(done).map(drop)
}

/// fork(2)
pub(crate) fn fork() -> nix::Result<ForkResult> {
    // SAFETY: this process has one thread, so the child may do all that the parent may.
    #[expect(unsafe_code)]
    unsafe {
        nix::unistd::fork()
    }
}

/// As fork(2), with flags: the child goes on with a copy of the same stack.
pub(crate) fn clone(namespaces: CloneFlags) -> nix::Result<ForkResult> {
    let flags = namespaces.bits() | libc::SIGCHLD;
    let flags = libc::c_ulong::try_from(flags).map_err(|_| Errno::EINVAL)?;
    // SAFETY: without CLONE_VM it is a fork, and this process has one thread. The first two
    // arguments are flags and stack on every architecture but s390x, where they change places.
    #[expect(unsafe_code)]
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(Errno::result(pid)?) {
        Ok(0) => Ok(ForkResult::Child),
        Ok(pid) => Ok(ForkResult::Parent { child: Pid::from_raw(pid) }),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// clone(2): beyond the 32 bits that the older call had room for.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// As fork(2), but the child begins in the cgroup of this directory.
pub(crate) fn clone_into_cgroup(dir: &Path) -> nix::Result<ForkResult> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = nix::fcntl::open(dir, flags, nix::sys::stat::Mode::empty())?;
    let cgroup = u64::try_from(dir.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    match clone3(CLONE_INTO_CGROUP, cgroup)? {
        0 => Ok(ForkResult::Child),
        pid => Ok(ForkResult::Parent { child: Pid::from_raw(pid) }),
    }
}

/// Whether clone3(2) can start a process in a cgroup: Linux 5.7 can. Container runtimes filter system
/// calls, and many refuse this one; where ours are filtered it is not counted on.
pub(crate) fn clones_into_cgroups() -> bool {
    release() >= (5, 7) && !is_filtered()
}

/// The first two numbers of the kernel's version; see uname(2).
fn release() -> (u32, u32) {
    let Ok(name) = nix::sys::utsname::uname() else { return (0, 0) };
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether a seccomp(2) filter sees our system calls.
pub(crate) fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() != "0")
}

/// clone3(2) without CLONE_VM: a fork.
fn clone3(flags: u64, cgroup: u64) -> nix::Result<i32> {
    // SAFETY: all fields are numbers, for which zero stands for nothing.
    #[expect(unsafe_code)]
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    (arguments.flags, arguments.cgroup) = (flags, cgroup);
    arguments.exit_signal = u64::try_from(libc::SIGCHLD).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the child goes on with a copy of the same stack, and this process has one thread.
    #[expect(unsafe_code)]
    let pid = unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    };
    i32::try_from(Errno::result(pid)?).map_err(|_| Errno::EINVAL)
}

pub(crate) fn setns(fd: i32, namespace: CloneFlags) -> nix::Result<()> {
    nix::sched::setns(borrow(&fd), namespace)
}

pub(crate) fn fchdir(fd: i32) -> nix::Result<()> {
    nix::unistd::fchdir(borrow(&fd))
}

/// Whether this descriptor is a terminal.
pub(crate) fn is_terminal(fd: i32) -> bool {
    nix::unistd::isatty(borrow(&fd)).unwrap_or(false)
}

/// A descriptor that is known by its number.
fn borrow(fd: &i32) -> BorrowedFd<'_> {
    // SAFETY: it is used for one call; the kernel answers EBADF for one that is not open.
    #[expect(unsafe_code)]
    unsafe {
        BorrowedFd::borrow_raw(*fd)
    }
}

/// Closes every descriptor from this number on.
pub(crate) fn close_from(fd: u32) -> nix::Result<()> {
    // SAFETY: whoever owns a descriptor from this number on gives up using it, by plan.
    #[expect(unsafe_code)]
    let result = unsafe { libc::close_range(fd, u32::MAX, 0) };
    Errno::result(result).map(drop)
}

/// As `exec 9<DIR` in a shell: whatever had the number before is closed.
fn keep_as(opened: OwnedFd, wanted: i32, flags: OFlag) -> nix::Result<()> {
    if opened.as_raw_fd() == wanted {
        let _ = opened.into_raw_fd();
        return Ok(());
    }
    // SAFETY: it runs in the child, which uses no descriptor of this number.
    #[expect(unsafe_code)]
    let placed = unsafe { nix::unistd::dup3_raw(&opened, wanted, flags) }?;
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
    super::caller::give_back();
    nix::unistd::execve(&file, &argv, &env).map(drop)
}
