//! A system call as a value: how it is written, how it is done by hand, and how it is done.
//!
//! This is the only file that talks to the kernel about isolation. Every variant stands in three
//! matches, in the same order: [`Display`](fmt::Display) writes it as strace(1) would,
//! [`Syscall::shell`] says what to type instead, and [`Syscall::perform`] does it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use caps::Capability;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};

pub(crate) mod quote;

use crate::machine::kernel;
use quote::{c_string, echo_line, flags, mount_line, sh_word, sh_words};

/// One request to the kernel. The variants are named after the calls; a few that need two calls
/// for one idea (open and write) say so.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the arguments are those of the man page, in its order
pub enum Syscall {
    /// fork(2): everything after it happens in the child.
    Fork,
    /// clone(2): as fork, and the child is born into namespaces of its own.
    Clone(CloneFlags),
    /// clone3(2): as fork, and the child is born in this cgroup.
    CloneIntoCgroup(PathBuf),
    /// prctl(2): be killed when the parent dies.
    DieWithParent,
    /// prctl(2): give up a capability for this process and all it starts.
    DropCapability(Capability),
    /// setgroups(2) with no group at all.
    ClearGroups,
    Setresgid(u32),
    Setresuid(u32),
    /// prctl(2): let /proc/self belong to this process again after a change of user.
    SetDumpable,
    /// newuidmap(1) or newgidmap(1): (first id inside, first id outside, how many).
    MapIds(&'static str, Vec<(u32, u32, u32)>),
    Setrlimit(Resource, u64),
    /// setns(2) through a descriptor of a process.
    Setns(i32, CloneFlags),
    /// pidfd_open(2), kept as this descriptor.
    PidfdOpen(i32, i32),
    /// unshare(2), one namespace at a time.
    Unshare(CloneFlags),
    Sethostname(String),
    /// open(2) and write(2) to /proc/self/timens_offsets: seconds since boot to add.
    TimeOffset(i64),
    /// A netlink(7) request that brings the loopback device up.
    LoopbackUp,
    Mount {
        source: Option<PathBuf>,
        target: PathBuf,
        fstype: Option<&'static str>,
        flags: MsFlags,
        data: Option<String>,
    },
    Umount2(PathBuf, MntFlags),
    PivotRoot {
        new_root: PathBuf,
        put_old: PathBuf,
    },
    Chroot(PathBuf),
    Chdir(PathBuf),
    /// open(2) a directory and keep it as this descriptor, also across execve(2).
    OpenAs(PathBuf, i32),
    Fchdir(i32),
    /// close_range(2): close every descriptor from this number on.
    CloseFrom(u32),
    Mkdir(PathBuf, u32),
    /// open(2) with O_CREAT: an empty file.
    Create(PathBuf, u32),
    /// chown(2): who owns the file, and its group.
    Chown(PathBuf, u32),
    /// truncate(2): a file of so many bytes, none of them on the disk.
    Truncate(PathBuf, u64),
    /// open(2) and write(2), to a file that is there.
    Write(PathBuf, String),
    Symlink(PathBuf, PathBuf),
    /// Copies a file, or all that is in a directory: many calls, one idea.
    Copy(PathBuf, PathBuf),
    Rmdir(PathBuf),
    Execve {
        file: PathBuf,
        argv: Vec<OsString>,
        env: Vec<(OsString, OsString)>,
    },
}

/// What a person types to get the same from a shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Shell {
    /// A command of its own.
    Line(String),
    /// A program that makes the call and then starts another one: its name and options, and the
    /// option's value, which several in a row may share (`-sys_time,-sys_module`).
    Starts(String, Option<String>),
    /// Nothing to type; why not.
    Nothing(&'static str),
}

impl fmt::Display for Syscall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &PathBuf| c_string(path.as_os_str());
        match self {
            Self::Fork => write!(f, "fork()"),
            Self::Clone(namespaces) => write!(f, "clone({}|SIGCHLD)", namespace_name(*namespaces)),
            Self::CloneIntoCgroup(dir) => {
                write!(f, "clone3({{flags=CLONE_INTO_CGROUP, cgroup={}}})", path(dir))
            }
            Self::DieWithParent => write!(f, "prctl(PR_SET_PDEATHSIG, SIGKILL)"),
            Self::DropCapability(cap) => write!(f, "prctl(PR_CAPBSET_DROP, {cap})"),
            Self::ClearGroups => write!(f, "setgroups(0, [])"),
            Self::Setresgid(id) => write!(f, "setresgid({id}, {id}, {id})"),
            Self::Setresuid(id) => write!(f, "setresuid({id}, {id}, {id})"),
            Self::SetDumpable => write!(f, "prctl(PR_SET_DUMPABLE, SUID_DUMP_USER)"),
            Self::MapIds(program, ranges) => write!(f, "{program}({})", ranges_text(ranges)),
            Self::Setns(fd, namespace) => {
                write!(f, "setns({fd}, {})", namespace_name(*namespace))
            }
            Self::PidfdOpen(pid, fd) => write!(f, "pidfd_open({pid}, 0) = {fd}"),
            Self::Setrlimit(resource, n) => {
                write!(f, "setrlimit({resource:?}, {{rlim_cur={n}, rlim_max={n}}})")
            }
            Self::Unshare(namespace) => write!(f, "unshare({})", namespace_name(*namespace)),
            Self::Sethostname(name) => {
                write!(f, "sethostname({}, {})", c_string(name.as_ref()), name.len())
            }
            Self::TimeOffset(seconds) => {
                let text = format!("boottime {seconds} 0");
                let text = (c_string(text.as_ref()), text.len());
                write!(f, "write(\"/proc/self/timens_offsets\", {}, {})", text.0, text.1)
            }
            Self::LoopbackUp => write!(f, "sendto(NETLINK_ROUTE, RTM_NEWLINK, lo, IFF_UP)"),
            Self::Mount { source, target, fstype, flags: mount_flags, data } => write!(
                f,
                "mount({}, {}, {}, {}, {})",
                source.as_ref().map_or("NULL".to_owned(), path),
                path(target),
                fstype.map_or("NULL".to_owned(), |t| c_string(t.as_ref())),
                flags(mount_flags.iter_names().map(|(name, _)| name)),
                data.as_ref().map_or("NULL".to_owned(), |d| c_string(d.as_ref())),
            ),
            Self::Umount2(at, how) => {
                write!(
                    f,
                    "umount2({}, {})",
                    path(at),
                    flags(how.iter_names().map(|(name, _)| name))
                )
            }
            Self::PivotRoot { new_root, put_old } => {
                write!(f, "pivot_root({}, {})", path(new_root), path(put_old))
            }
            Self::Chroot(dir) => write!(f, "chroot({})", path(dir)),
            Self::Chdir(dir) => write!(f, "chdir({})", path(dir)),
            Self::OpenAs(dir, fd) => write!(f, "open({}, O_RDONLY|O_DIRECTORY) = {fd}", path(dir)),
            Self::Fchdir(fd) => write!(f, "fchdir({fd})"),
            Self::CloseFrom(fd) => write!(f, "close_range({fd}, {}, 0)", u32::MAX),
            Self::Mkdir(dir, mode) => write!(f, "mkdir({}, 0{mode:o})", path(dir)),
            Self::Create(file, mode) => {
                write!(f, "open({}, O_WRONLY|O_CREAT|O_EXCL, 0{mode:o})", path(file))
            }
            Self::Truncate(file, size) => write!(f, "truncate({}, {size})", path(file)),
            Self::Chown(file, id) => write!(f, "chown({}, {id}, {id})", path(file)),
            Self::Write(file, text) => {
                write!(f, "write({}, {}, {})", path(file), c_string(text.as_ref()), text.len())
            }
            Self::Symlink(to, at) => write!(f, "symlink({}, {})", path(to), path(at)),
            Self::Copy(from, to) => write!(f, "copy({}, {})", path(from), path(to)),
            Self::Rmdir(dir) => write!(f, "rmdir({})", path(dir)),
            Self::Execve { file, argv, env } => {
                let argv: Vec<String> = argv.iter().map(|word| c_string(word)).collect();
                write!(f, "execve({}, [{}], /* {} vars */)", path(file), argv.join(", "), env.len())
            }
        }
    }
}

impl Syscall {
    /// The name of the call, as `--forget` takes it.
    pub fn name(&self) -> String {
        self.to_string().split('(').next().unwrap_or_default().to_owned()
    }

    /// Whether what follows it in a plan happens in a new process.
    pub fn forks(&self) -> bool {
        matches!(self, Self::Fork | Self::Clone(_) | Self::CloneIntoCgroup(_))
    }

    /// What a person types in a shell instead, with util-linux and iproute2.
    pub fn shell(&self) -> Shell {
        let line = |text: String| Shell::Line(text);
        let starts = |program: &str| Shell::Starts(program.to_owned(), None);
        let word = |path: &Path| sh_word(path.as_os_str());
        match self {
            Self::Fork => Shell::Nothing("the shell forks for every command"),
            Self::Clone(_) => Shell::Nothing("a shell has only unshare(1)"),
            Self::CloneIntoCgroup(dir) => {
                line(format!("echo 0 > {}", word(&dir.join("cgroup.procs"))))
            }
            Self::DieWithParent => Shell::Nothing("a shell script stays to the end"),
            Self::DropCapability(cap) => Shell::Starts(
                "setpriv --bounding-set".to_owned(),
                Some(format!("-{}", cap.to_string().trim_start_matches("CAP_").to_lowercase())),
            ),
            Self::ClearGroups | Self::Setresgid(_) => Shell::Nothing("setpriv does it below"),
            Self::Setresuid(id) => {
                starts(&format!("setpriv --reuid {id} --regid {id} --clear-groups"))
            }
            Self::SetDumpable => Shell::Nothing("execve(2) does it"),
            Self::MapIds(..) => Shell::Nothing("unshare --map-auto did it"),
            Self::Setns(..) | Self::PidfdOpen(..) => Shell::Nothing("nsenter(1) does it"),
            Self::Setrlimit(Resource::RLIMIT_AS, n) => line(format!("ulimit -v {}", n / 1024)),
            // bash has another letter for it than all others.
            Self::Setrlimit(_, n) => line(format!("ulimit -p {n} 2>&- || ulimit -u {n}")),
            Self::Unshare(CloneFlags::CLONE_NEWUSER) => starts("unshare --user --map-root-user"),
            Self::Unshare(CloneFlags::CLONE_NEWNS) => {
                starts("unshare --mount --propagation unchanged")
            }
            Self::Unshare(CloneFlags::CLONE_NEWPID) => starts("unshare --pid --fork --kill-child"),
            Self::Unshare(CloneFlags::CLONE_NEWUTS) => starts("unshare --uts"),
            Self::Unshare(CloneFlags::CLONE_NEWIPC) => starts("unshare --ipc"),
            Self::Unshare(CloneFlags::CLONE_NEWNET) => starts("unshare --net"),
            Self::Unshare(CloneFlags::CLONE_NEWCGROUP) => starts("unshare --cgroup"),
            Self::Unshare(_) => Shell::Nothing("unshare --time does it below, with the offset"),
            Self::TimeOffset(seconds) => {
                starts(&format!("unshare --time --fork --boottime {seconds}"))
            }
            Self::Sethostname(name) => line(format!("hostname {}", sh_word(name.as_ref()))),
            Self::LoopbackUp => line("ip link set lo up".to_owned()),
            Self::Mount { source, target, fstype, flags, data } => {
                line(mount_line(source.as_deref(), target, *fstype, *flags, data.as_deref()))
            }
            Self::Umount2(at, how) if how.contains(MntFlags::MNT_DETACH) => {
                line(format!("umount -l {}", word(at)))
            }
            Self::Umount2(at, _) => line(format!("umount {}", word(at))),
            Self::PivotRoot { new_root, put_old } => {
                line(format!("pivot_root {} {}", word(new_root), word(put_old)))
            }
            Self::Chroot(dir) => starts(&format!("chroot {}", word(dir))),
            Self::Chdir(dir) => line(format!("cd {}", word(dir))),
            Self::OpenAs(dir, fd) => line(format!("exec {fd}<{}", word(dir))),
            Self::Fchdir(fd) => line(format!("cd /proc/self/fd/{fd}")),
            Self::CloseFrom(_) => {
                Shell::Nothing("a script opens no descriptor that it leaves open")
            }
            Self::Mkdir(dir, mode) => line(format!("mkdir -m {mode:o} {}", word(dir))),
            Self::Create(file, _) => line(format!(": > {}", word(file))),
            Self::Truncate(file, size) => line(format!("truncate -s {size} {}", word(file))),
            Self::Chown(file, id) => line(format!("chown {id}:{id} {}", word(file))),
            Self::Write(file, _) if file.starts_with("/proc/self") => {
                Shell::Nothing("unshare --map-root-user did it")
            }
            Self::Write(file, text) => line(echo_line(text, file)),
            Self::Symlink(to, at) => line(format!("ln -s {} {}", word(to), word(at))),
            Self::Copy(from, to) => line(format!("cp -aT {} {}", word(from), word(to))),
            Self::Rmdir(dir) => line(format!("rmdir {}", word(dir))),
            Self::Execve { argv, .. } => line(sh_words(argv)),
        }
    }

    /// Makes the call on behalf of `child`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn perform_for(&self, child: nix::unistd::Pid) -> nix::Result<()> {
        match self {
            Self::MapIds(map, ranges) => kernel::map_ids(map, child, &ranges_text(ranges)),
            call => call.perform(),
        }
    }

    /// Makes the call in this process.
    ///
    /// # Errors
    /// What the kernel answered. `Fork` and `Clone` are the runner's to make and are ENOSYS here.
    pub fn perform(&self) -> nix::Result<()> {
        match self {
            // The runner's to make.
            Self::Fork | Self::Clone(_) | Self::CloneIntoCgroup(_) => Err(Errno::ENOSYS),
            Self::DieWithParent => nix::sys::prctl::set_pdeathsig(Signal::SIGKILL),
            Self::DropCapability(cap) => {
                caps::drop(None, caps::CapSet::Bounding, *cap).map_err(|_| Errno::last())
            }
            Self::ClearGroups => nix::unistd::setgroups(&[]),
            Self::Setresgid(id) => {
                let gid = Gid::from_raw(*id);
                nix::unistd::setresgid(gid, gid, gid)
            }
            Self::Setresuid(id) => {
                let uid = Uid::from_raw(*id);
                nix::unistd::setresuid(uid, uid, uid)
            }
            Self::SetDumpable => nix::sys::prctl::set_dumpable(true),
            Self::MapIds(..) => Err(Errno::ENOSYS), // the parent's to make
            Self::Setns(fd, namespace) => kernel::setns(*fd, *namespace),
            Self::PidfdOpen(pid, fd) => kernel::pidfd_open(*pid, *fd),
            Self::Setrlimit(resource, n) => nix::sys::resource::setrlimit(*resource, *n, *n),
            // ANCHOR: perform
            Self::Unshare(namespace) => nix::sched::unshare(*namespace),
            Self::Sethostname(name) => nix::unistd::sethostname(name),
            Self::TimeOffset(seconds) => {
                errno(fs::write("/proc/self/timens_offsets", format!("boottime {seconds} 0")))
            }
            Self::LoopbackUp => crate::machine::netlink::loopback_up(),
            // ANCHOR_END: perform
            Self::Mount { source, target, fstype, flags, data } => nix::mount::mount(
                source.as_deref(),
                target.as_path(),
                *fstype,
                *flags,
                data.as_deref(),
            ),
            Self::Umount2(at, how) => nix::mount::umount2(at, *how),
            Self::PivotRoot { new_root, put_old } => nix::unistd::pivot_root(new_root, put_old),
            Self::Chroot(dir) => nix::unistd::chroot(dir),
            Self::Chdir(dir) => nix::unistd::chdir(dir),
            Self::OpenAs(dir, fd) => kernel::open_as(dir, *fd),
            Self::Fchdir(fd) => kernel::fchdir(*fd),
            Self::CloseFrom(fd) => kernel::close_from(*fd),
            Self::Truncate(file, size) => {
                let size = i64::try_from(*size).map_err(|_| Errno::EFBIG)?;
                nix::unistd::truncate(file, size)
            }
            Self::Chown(file, id) => {
                let (uid, gid) = (Uid::from_raw(*id), Gid::from_raw(*id));
                nix::unistd::chown(file, Some(uid), Some(gid))
            }
            Self::Mkdir(dir, mode) => errno(fs::DirBuilder::new().mode(*mode).create(dir)),
            Self::Create(file, mode) => {
                let mut options = fs::OpenOptions::new();
                errno(options.write(true).create_new(true).mode(*mode).open(file).map(drop))
            }
            Self::Write(file, text) => {
                let opened = fs::OpenOptions::new().write(true).truncate(true).open(file);
                errno(opened.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes())))
            }
            Self::Symlink(to, at) => errno(symlink(to, at)),
            Self::Copy(from, to) => errno(crate::machine::files::copy(from, to)),
            Self::Rmdir(dir) => errno(fs::remove_dir(dir)),
            Self::Execve { file, argv, env } => kernel::execve(file, argv, env),
        }
    }
}

/// time_namespaces(7): the flag that nix has no name for.
pub const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);

fn namespace_name(namespace: CloneFlags) -> String {
    if namespace == CLONE_NEWTIME {
        return "CLONE_NEWTIME".to_owned();
    }
    flags(namespace.iter_names().map(|(name, _)| name))
}

fn ranges_text(ranges: &[(u32, u32, u32)]) -> String {
    let all: Vec<String> = ranges.iter().map(|(i, o, n)| format!("{i} {o} {n}")).collect();
    all.join(" ")
}

fn errno(result: io::Result<()>) -> nix::Result<()> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}
