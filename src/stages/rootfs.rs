//! rootfs: the root that a container will see, laid out with mounts.
//!
//! A rootfs from an archive is only files. Programs also expect /proc, which shows processes, and
//! a few devices: a shell cannot start a background job without /dev/null. These are mounted, in
//! the private mount table, at a place of our own; the directory on disk stays as it is.

// ANCHOR: stage
use std::path::PathBuf;

use nix::mount::MsFlags;

use crate::stage::{About, Spec, Stage, StageName, Step, Undo};
use crate::syscall::Syscall;

pub(super) struct Rootfs;

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

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
        if !spec.has("stand-in") {
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
        steps.push(
            Syscall::Mount {
                source: Some(PathBuf::from("tmpfs")),
                target: spec.in_root("/dev"),
                fstype: Some("tmpfs"),
                flags: MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
                data: Some("mode=755,size=64k".to_owned()),
            }
            .because("an empty /dev in memory: the host's disks have no name in it"),
        );
        for name in DEVICES {
            steps.push(Syscall::Create(dev(name), 0o666).because(why_devices));
            steps.push(bind(PathBuf::from("/dev").join(name), dev(name)).because(why_devices));
        }
        for (to, name) in LINKS {
            steps.push(
                Syscall::Symlink(PathBuf::from(to), dev(name))
                    .because("the usual names for open descriptors"),
            );
        }
        steps
    }
}

fn bind(source: PathBuf, target: PathBuf) -> Syscall {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Syscall::Mount { source: Some(source), target, fstype: None, flags, data: None }
}
// ANCHOR_END: stage
