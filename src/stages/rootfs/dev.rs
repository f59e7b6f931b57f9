//! /dev in the new root: a few devices, terminals, shared memory.

use std::path::Path;

use nix::mount::MsFlags;

use crate::layers::{Mounted, View};
use crate::plan::step::{Because, Step};
use crate::stages::names::IPC;
use crate::stages::spec::Spec;
use crate::syscall::{Create, Mkdir, Mount, Symlink};

const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: &[(&str, &str)] =
    &[("fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];

const WHY_PTS: &str = "terminals of its own, for programs that open one";
const WHY_SHM: &str = "memory with a name, for shm_open(3)";
const WHY_MQUEUE: &str = "the message queues of this IPC namespace, as files";

/// What it will show.
pub(super) fn mounted(spec: &Spec, root: &View) -> Vec<Mounted> {
    let Ok(dev) = root.follow("/dev".as_ref()) else { return Vec::new() };
    let mounted = |name: &str, is_file, writable| Mounted {
        at: dev.join(name),
        layers: Vec::new(),
        is_file,
        writable,
    };
    let mut all =
        vec![mounted("", false, true), mounted("pts", false, false), mounted("shm", false, true)];
    all.extend(DEVICES.iter().map(|name| mounted(name, true, false)));
    if spec.has(IPC) {
        all.push(mounted("mqueue", false, false));
    }
    all
}

/// What is mounted and made in it.
pub(super) fn devices(spec: &Spec) -> Vec<Step> {
    let dev = |name: &str| spec.in_root("/dev").join(name);
    let why_devices = "the devices that every program expects";
    let memory = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let mut steps = vec![
        Mount::new("tmpfs", spec.in_root("/dev"), memory)
            .with("mode=755,size=64k")
            .because("an empty /dev in memory: the host's disks have no name in it"),
    ];
    for name in DEVICES {
        let device = Mount::bind(Path::new("/dev").join(name), dev(name)).recursive();
        steps.push(Create(dev(name), 0o666).because(why_devices));
        steps.push(device.because(why_devices));
    }
    steps.extend([
        Mkdir(dev("pts"), 0o755).because(WHY_PTS),
        Mount::new("devpts", dev("pts"), memory)
            .with("newinstance,ptmxmode=0666,mode=620")
            .because(WHY_PTS),
        Symlink("pts/ptmx".into(), dev("ptmx")).because(WHY_PTS),
        Mkdir(dev("shm"), 0o1777).because(WHY_SHM),
        Mount::new("tmpfs", dev("shm"), memory | MsFlags::MS_NODEV)
            .with("mode=1777,size=64m")
            .because(WHY_SHM),
    ]);
    if spec.has(IPC) {
        let queues = Mount::new("mqueue", dev("mqueue"), memory | MsFlags::MS_NODEV);
        steps.push(Mkdir(dev("mqueue"), 0o755).because(WHY_MQUEUE));
        steps.push(queues.because(WHY_MQUEUE));
    }
    steps
}

/// The usual names for open descriptors.
pub(super) fn links(spec: &Spec) -> Vec<Step> {
    let link = |(to, name): &(&str, &str)| {
        let (to, at) = (Path::new("/proc/self").join(to), spec.in_root("/dev").join(name));
        Symlink(to, at).because("the usual names for open descriptors")
    };
    LINKS.iter().map(link).collect()
}
