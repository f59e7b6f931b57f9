//! rootfs: the root that a container will see, laid out with mounts.
//!
//! A rootfs from an archive is only files. Programs also expect /proc, which shows processes, and
//! a few devices: a shell cannot start a background job without /dev/null. These are mounted, in
//! the private mount table, at a place of our own; the directory on disk stays as it is.

mod sys;
mod volumes;

// ANCHOR: stage
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use crate::stages::stage::{About, Spec, Stage, StageName, Step, Undo};
use crate::syscall::Syscall;

pub(super) struct Rootfs;

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: &[(&str, &str)] =
    &[("fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];

const WHY_PTS: &str = "terminals of its own, for programs that open one";
const WHY_SHM: &str = "memory with a name, for shm_open(3)";
const WHY_MQUEUE: &str = "the message queues of this IPC namespace, as files";

impl Stage for Rootfs {
    fn name(&self) -> StageName {
        "rootfs"
    }

    fn about(&self) -> About {
        About {
            title: "the new root laid out: files, /proc, /dev",
            isolates: "nothing by itself: it prepares what chroot and pivot-root step into",
            leaks: "everything; without `pid` its /proc is the host's",
            since: "bind mounts: Linux 2.4 (2001)",
            see: &["mount(2)", "proc(5)", "null(4)", "tmpfs(5)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &["mnt"]
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        vec![
            Syscall::Mkdir(spec.root(), 0o755)
                .because("make an empty directory to mount the root on")
                .undone_by(Undo::Rmdir(spec.root())),
        ]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let mut steps = Vec::new();
        if !spec.has("stand-in") && !spec.has("overlay") {
            steps.push(
                bind(spec.rootfs_source(), spec.root())
                    .because("show the rootfs there: as a mount of its own it can become a root"),
            );
        }
        if !spec.has("pid") {
            steps.push(
                bind(PathBuf::from("/proc"), spec.in_root("/proc"))
                    .because("programs like ps read /proc; this is the host's"),
            );
        }
        let dev = |name: &str| spec.in_root("/dev").join(name);
        let why_devices = "the devices that every program expects";
        let memory = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        steps.push(
            mount("tmpfs", spec.in_root("/dev"), memory, Some("mode=755,size=64k"))
                .because("an empty /dev in memory: the host's disks have no name in it"),
        );
        for name in DEVICES {
            steps.push(Syscall::Create(dev(name), 0o666).because(why_devices));
            steps.push(bind(PathBuf::from("/dev").join(name), dev(name)).because(why_devices));
        }
        steps.extend([
            Syscall::Mkdir(dev("pts"), 0o755).because(WHY_PTS),
            mount("devpts", dev("pts"), memory, Some("newinstance,ptmxmode=0666,mode=620"))
                .because(WHY_PTS),
            Syscall::Symlink(PathBuf::from("pts/ptmx"), dev("ptmx")).because(WHY_PTS),
            Syscall::Mkdir(dev("shm"), 0o1777).because(WHY_SHM),
            mount("tmpfs", dev("shm"), memory | MsFlags::MS_NODEV, Some("mode=1777,size=64m"))
                .because(WHY_SHM),
        ]);
        if spec.has("ipc") {
            steps.extend([
                Syscall::Mkdir(dev("mqueue"), 0o755).because(WHY_MQUEUE),
                mount("mqueue", dev("mqueue"), memory | MsFlags::MS_NODEV, None)
                    .because(WHY_MQUEUE),
            ]);
        }
        steps.extend(sys::steps(spec));
        steps.extend(volumes::steps(spec));
        for (to, name) in LINKS {
            steps.push(
                Syscall::Symlink(Path::new("/proc/self").join(to), dev(name))
                    .because("the usual names for open descriptors"),
            );
        }
        steps
    }
}

fn mount(kind: &'static str, at: PathBuf, flags: MsFlags, data: Option<&str>) -> Syscall {
    let (source, data) = (Some(PathBuf::from(kind)), data.map(str::to_owned));
    Syscall::Mount { source, target: at, fstype: Some(kind), flags, data }
}

fn bind(source: PathBuf, target: PathBuf) -> Syscall {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Syscall::Mount { source: Some(source), target, fstype: None, flags, data: None }
}
// ANCHOR_END: stage
