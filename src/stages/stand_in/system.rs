//! The system of the stand-in host: its disk, and what is on it.

use std::path::Path;

use nix::mount::MsFlags;
use nix::sys::resource::Resource;

use crate::cgroups::Version;
use crate::plan::step::{Because, Step};
use crate::stages::cgroups::limit::plus;
use crate::stages::spec::Spec;
use crate::syscall::{CopyTree, Create, Mkdir, Mount, Setrlimit, Write};

const PAYROLL: &str = "#!/bin/sh\n# A process that the stand-in host would miss.\nread forever\n";

/// A small filesystem in memory, with something to steal and something to disturb.
pub(super) fn files(spec: &Spec) -> Vec<Step> {
    let inner = spec.in_root("/rootfs");
    let payroll = spec.in_root("/usr/sbin/payroll-db");
    let secret = spec.in_root("/etc/secret");
    let disk = Mount::new("tmpfs", spec.root(), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    vec![
        Setrlimit(Resource::RLIMIT_NPROC, 512)
            .because("at most so many processes: a fork bomb stays in here"),
        disk.with("mode=755,size=64m,nr_inodes=16k")
            .because("a disk in memory for the stand-in host"),
        CopyTree(spec.rootfs_source(), spec.root().into())
            .because("its system: a copy of the rootfs"),
        Mkdir(inner.clone(), 0o755).because("a place on it to build containers"),
        CopyTree(spec.rootfs_source(), inner).because("and a rootfs for them"),
        Create(secret.clone(), 0o644).because("something to steal"),
        Write(secret, "the stand-in host's secret\n".into()).because("something to steal"),
        Create(payroll.clone(), 0o755).because("a program to disturb"),
        Write(payroll, PAYROLL.into()).because("which only waits"),
    ]
}

/// In version 2 its own processes must not stand in the way of its sandboxes' limits.
pub(super) fn cgroups(spec: &Spec) -> Vec<Step> {
    let mut steps = Vec::new();
    for cgroup in spec.cgroups.iter().filter(|cgroup| cgroup.version == Version::V2) {
        let leaf = cgroup.dir.join("init");
        let control = cgroup.dir.join("cgroup.subtree_control");
        steps.extend([
            Mkdir(leaf.clone().into(), 0o755)
                .because("in version 2 only the leaves hold processes: a leaf for its own"),
            Write(leaf.join("cgroup.procs").into(), "0".into()).because("join it"),
            Write(control.into(), plus(&cgroup.controllers).into())
                .because("and the other leaves, its sandboxes', may have limits"),
        ]);
    }
    steps
}

/// A file on the machine's disk, as /disk.
pub(super) fn disk(spec: &Spec, source: &Path) -> [Step; 2] {
    let at = spec.in_root("/disk");
    [
        Create(at.clone(), 0o644).because("a place for the file on the disk"),
        Mount::bind(source, at).because("and there it is"),
    ]
}

/// A program that does not run where its libraries are not.
pub(super) fn program(spec: &Spec, program: &Path) -> Step {
    CopyTree(program.to_owned(), spec.in_root("/usr/bin/host-ls"))
        .because("one of this machine's own programs, which needs shared libraries")
}
