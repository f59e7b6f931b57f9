//! Calls about processes: begetting them, ending with them, becoming another program.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use nix::unistd::ForkResult;

use super::call::{Call, Shell, say};
use super::namespace::namespace_name;
use super::quote::{c_string, sh_path, sh_words};
use crate::machine::{kernel, sealed};

const TOO_MANY: &str = "the limit on processes is reached, and ours that wait count too: raise \
                        `--pids-limit`, or see `ulimit -u`";

/// fork(2): everything after it happens in the child.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork;

impl Call for Fork {
    fn strace(&self) -> String {
        "fork()".to_owned()
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("the shell forks for every command")
    }

    fn perform(&self) -> nix::Result<()> {
        Err(Errno::ENOSYS) // the runner forks
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::EAGAIN => say(TOO_MANY),
            Errno::EMFILE => say("the limit on open files is too small: `ulimit -n 64`"),
            _ => None,
        }
    }

    fn forks(&self) -> bool {
        true
    }

    fn fork(&self) -> nix::Result<ForkResult> {
        kernel::fork()
    }
}

/// clone(2): as fork, and the child is born into these namespaces of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct CloneIntoNamespaces(pub CloneFlags);

impl Call for CloneIntoNamespaces {
    fn strace(&self) -> String {
        format!("clone({}|SIGCHLD)", namespace_name(self.0))
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("a shell has only unshare(1)")
    }

    fn perform(&self) -> nix::Result<()> {
        Err(Errno::ENOSYS) // the runner forks
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::EAGAIN { say(TOO_MANY) } else { None }
    }

    fn forks(&self) -> bool {
        true
    }

    fn fork(&self) -> nix::Result<ForkResult> {
        kernel::clone(self.0)
    }
}

/// clone3(2): as fork, and the child is born in this cgroup of version 2.
#[derive(Clone, Debug, PartialEq)]
pub struct CloneIntoCgroup(pub PathBuf);

impl Call for CloneIntoCgroup {
    fn strace(&self) -> String {
        format!("clone3({{flags=CLONE_INTO_CGROUP, cgroup={}}})", c_string(self.0.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("echo 0 > {}", sh_path(&self.0.join("cgroup.procs"))))
    }

    fn perform(&self) -> nix::Result<()> {
        Err(Errno::ENOSYS) // the runner forks
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::EAGAIN => say(TOO_MANY),
            Errno::EBUSY => {
                say("that cgroup gives controllers to others, and in version 2 only leaves hold \
                 processes")
            }
            _ => None,
        }
    }

    fn forks(&self) -> bool {
        true
    }

    fn fork(&self) -> nix::Result<ForkResult> {
        kernel::clone_into_cgroup(&self.0)
    }
}

/// prctl(2): be killed when the parent dies.
#[derive(Clone, Debug, PartialEq)]
pub struct DieWithParent;

impl Call for DieWithParent {
    fn strace(&self) -> String {
        "prctl(PR_SET_PDEATHSIG, SIGKILL)".to_owned()
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("a shell script stays to the end")
    }

    fn perform(&self) -> nix::Result<()> {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
    }
}

/// setrlimit(2), both the soft and the hard limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Setrlimit(pub Resource, pub u64);

impl Call for Setrlimit {
    fn strace(&self) -> String {
        format!("setrlimit({:?}, {{rlim_cur={n}, rlim_max={n}}})", self.0, n = self.1)
    }

    fn by_hand(&self) -> Shell {
        match self.0 {
            Resource::RLIMIT_AS => Shell::line(format!("ulimit -v {}", self.1 / 1024)),
            // bash has another letter for it than all others.
            _ => Shell::line(format!("ulimit -p {n} 2>&- || ulimit -u {n}", n = self.1)),
        }
    }

    fn perform(&self) -> nix::Result<()> {
        nix::sys::resource::setrlimit(self.0, self.1, self.1)
    }
}

/// setpriority(2): how far this process gives way to others that want the processor.
#[derive(Clone, Debug, PartialEq)]
pub struct Setpriority(pub i32);

impl Call for Setpriority {
    fn strace(&self) -> String {
        format!("setpriority(PRIO_PROCESS, 0, {})", self.0)
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("renice {} -p $$ >/dev/null", self.0))
    }

    fn perform(&self) -> nix::Result<()> {
        let done = rustix::process::setpriority_process(None, self.0);
        done.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::EACCES {
            return say(
                "everybody may give way further, only the machine's root less (or who has a \
                        limit for it: see `ulimit -e`): take a greater number, `nice` prints where \
                        you are",
            );
        }
        None
    }
}

/// pidfd_open(2) of this process, kept as this descriptor until execve(2) closes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PidfdOpen(pub i32, pub i32);

impl Call for PidfdOpen {
    fn strace(&self) -> String {
        format!("pidfd_open({}, 0) = {}", self.0, self.1)
    }

    fn by_hand(&self) -> Shell {
        Shell::Nothing("nsenter(1) does it")
    }

    fn perform(&self) -> nix::Result<()> {
        kernel::pidfd_open(self.0, self.1)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::ESRCH {
            return say("the process has ended; see `sandbox ps`");
        }
        None
    }
}

/// execve(2): becomes this program.
#[derive(Clone, Debug, PartialEq)]
pub struct Execve {
    /// Its file.
    pub file: PathBuf,
    /// Its name and its arguments.
    pub argv: Vec<OsString>,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
}

impl Call for Execve {
    fn strace(&self) -> String {
        let argv: Vec<String> = self.argv.iter().map(|word| c_string(word)).collect();
        let (file, argv) = (c_string(self.file.as_os_str()), argv.join(", "));
        format!("execve({file}, [{argv}], /* {} vars */)", self.env.len())
    }

    fn by_hand(&self) -> Shell {
        Shell::line(sh_words(&self.argv))
    }

    fn perform(&self) -> nix::Result<()> {
        if sealed::is_behind_a_door(&self.file) {
            return Err(Errno::ELOOP);
        }
        kernel::execve(&self.file, &self.argv, &self.env)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::ENOENT => say(
                "look with `ls`: when the file is there, what is missing is the loader it names, \
                 for a program that needs shared libraries; busybox needs none",
            ),
            Errno::EACCES => say("the file is a directory or not executable"),
            Errno::ELOOP => say(
                "the file, or what it names after #!, is a link in /proc/PID: it would start a program \
                 of the host's, and is refused",
            ),
            Errno::ENOEXEC => {
                say("the file is not a program for this machine, nor a script that begins with #!")
            }
            _ => None,
        }
    }
}
