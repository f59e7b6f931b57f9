//! pid: process numbers of one's own.
//!
//! unshare(2) cannot change the number of the process that calls it. It says that the *children*
//! will be in the new namespace, so a fork has to follow; that first child is process 1, and when
//! it ends, the kernel kills all others in there.
//!
//! Numbers are one thing, seeing is another: `ps` reads /proc, and a /proc shows the processes of
//! the namespace in which it was mounted. So a new one is mounted.

// ANCHOR: stage
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step};
use crate::syscall::Syscall;

pub(super) struct Pid;

impl Stage for Pid {
    fn name(&self) -> StageName {
        "pid"
    }

    fn about(&self) -> About {
        About {
            title: "process numbers of one's own",
            isolates: "processes: those outside can be neither seen nor signalled",
            leaks: "files, hostname, network; the host sees us all the same",
            since: "Linux 2.6.24 (2008)",
            see: &["pid_namespaces(7)", "unshare(2)", "proc(5)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &["mnt"] // or the new /proc would cover the host's
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let own_root = spec.changes_root() && spec.has("rootfs");
        let proc = if own_root { spec.in_root("/proc") } else { PathBuf::from("/proc") };
        let mut steps = vec![
            Syscall::Unshare(CloneFlags::CLONE_NEWPID)
                .because("let the children have process numbers of their own"),
            Syscall::Fork.because("be that child: it is process 1"),
            Syscall::DieWithParent.because("a child does not inherit it"),
            mount(Path::new("proc"), proc, Some("proc"), QUIET)
                .because("a /proc that shows the processes of this namespace"),
        ];
        // On the stand-in host further ones are mounted, and for that a whole one must be visible.
        if own_root && !spec.has("stand-in") {
            let (hidden, read_only) = (&spec.host.hidden, &spec.host.read_only);
            let hide = |(path, is_dir): &(PathBuf, bool)| hide(spec.in_root(path), *is_dir);
            steps.extend(hidden.iter().map(hide));
            steps.extend(read_only.iter().flat_map(|path| write_protect(&spec.in_root(path))));
        }
        steps
    }
}

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

fn hide(path: PathBuf, is_dir: bool) -> Step {
    let hidden = if is_dir {
        mount(Path::new("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY | QUIET)
    } else {
        mount(Path::new("/dev/null"), path, None, MsFlags::MS_BIND)
    };
    hidden.because("hide what tells about the machine, as container runtimes do")
}

fn write_protect(path: &Path) -> [Step; 2] {
    let why = "what changes the machine may only be read, as in container runtimes";
    let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | QUIET;
    let calls = [
        mount(path, path.to_owned(), None, MsFlags::MS_BIND | MsFlags::MS_REC),
        mount(path, path.to_owned(), None, again),
    ];
    calls.map(|call| call.because(why))
}

fn mount(source: &Path, target: PathBuf, fstype: Option<&'static str>, flags: MsFlags) -> Syscall {
    Syscall::Mount { source: Some(source.to_owned()), target, fstype, flags, data: None }
}
// ANCHOR_END: stage
