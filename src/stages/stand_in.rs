//! stand-in: a disposable host.
//!
//! What a lesson breaks must not be the student's machine. The stand-in host is a sandbox with
//! every namespace but time, whose root is a small filesystem in memory: a busybox system with a
//! secret to steal, and under /rootfs the directory in which a container can be built. It plays the
//! host for the sandboxes that are started inside it, and goes away with its first process.

// ANCHOR: stage
use std::path::PathBuf;

use nix::mount::MsFlags;
use nix::sys::resource::Resource;

use super::cgroups::plus;
use crate::cgroups::Version;
use crate::stages::stage::{About, Spec, Stage, StageName, Step, Undo};
use crate::syscall::Syscall;

pub(super) struct StandIn;

const PAYROLL: &str = "#!/bin/sh\n# A process that the stand-in host would miss.\nread forever\n";

/// Beside the rootfs, and so on the disk that holds it.
fn disk(spec: &Spec) -> PathBuf {
    spec.rootfs.with_file_name(format!(".disk-{}", spec.id))
}

impl Stage for StandIn {
    fn name(&self) -> StageName {
        "stand-in"
    }

    fn about(&self) -> About {
        About {
            title: "a disposable host for whatever changes something",
            isolates: "the real host, from everything that a lesson tries",
            leaks: "what no namespace holds: the clock's setting, kernel settings, raw disks",
            since: "every part of it by Linux 4.6 (2016)",
            see: &["namespaces(7)", "tmpfs(5)", "getrlimit(2)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &["user", "cgroup-ns", "mnt", "uts", "ipc", "net", "rootfs", "pid", "pivot-root"]
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let Some(size) = spec.settings.disk else { return Vec::new() };
        let (file, why) = (disk(spec), "a file on this machine's own disk: the stand-in is memory");
        let made = Syscall::Create(file.clone(), 0o644).because(why);
        vec![made.undone_by(Undo::Unlink(file.clone())), Syscall::Truncate(file, size).because(why)]
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let inner = spec.in_root("/rootfs");
        let payroll = spec.in_root("/usr/sbin/payroll-db");
        let secret = spec.in_root("/etc/secret");
        let mut steps = vec![
            Syscall::Setrlimit(Resource::RLIMIT_NPROC, 512)
                .because("at most so many processes: a fork bomb stays in here"),
            Syscall::Mount {
                source: Some(PathBuf::from("tmpfs")),
                target: spec.root(),
                fstype: Some("tmpfs"),
                flags: MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
                data: Some("mode=755,size=64m,nr_inodes=16k".to_owned()),
            }
            .because("a disk in memory for the stand-in host"),
            Syscall::Copy(spec.rootfs_source(), spec.root())
                .because("its system: a copy of the rootfs"),
            Syscall::Mkdir(inner.clone(), 0o755).because("a place on it to build containers"),
            Syscall::Copy(spec.rootfs_source(), inner).because("and a rootfs for them"),
            Syscall::Create(secret.clone(), 0o644).because("something to steal"),
            Syscall::Write(secret, "the stand-in host's secret\n".to_owned())
                .because("something to steal"),
            Syscall::Create(payroll.clone(), 0o755).because("a program to disturb"),
            Syscall::Write(payroll, PAYROLL.to_owned()).because("which only waits"),
        ];
        for cgroup in spec.cgroups().iter().filter(|cgroup| cgroup.version == Version::V2) {
            let leaf = cgroup.dir.join("init");
            let control = cgroup.dir.join("cgroup.subtree_control");
            steps.extend([
                Syscall::Mkdir(leaf.clone(), 0o755)
                    .because("in version 2 only the leaves hold processes: a leaf for its own"),
                Syscall::Write(leaf.join("cgroup.procs"), "0".to_owned()).because("join it"),
                Syscall::Write(control, plus(&cgroup.controllers))
                    .because("and the other leaves, its sandboxes', may have limits"),
            ]);
        }
        if spec.settings.disk.is_some() {
            let name = disk(spec).file_name().map(PathBuf::from).unwrap_or_default();
            let at = spec.in_root("/disk");
            steps.extend([
                Syscall::Create(at.clone(), 0o644).because("a place for the file on the disk"),
                Syscall::Mount {
                    source: Some(spec.rootfs_source().join("..").join(name)),
                    target: at,
                    fstype: None,
                    flags: MsFlags::MS_BIND,
                    data: None,
                }
                .because("and there it is"),
            ]);
        }
        if let Some(program) = &spec.host.dynamic_program {
            steps.push(
                Syscall::Copy(program.clone(), spec.in_root("/usr/bin/host-ls"))
                    .because("one of this machine's own programs, which needs shared libraries"),
            );
        }
        steps
    }
}
// ANCHOR_END: stage
