//! overlay: one root for many, and each writes a layer of its own.
//!
//! The rootfs is only read. overlayfs lays a writable directory, the upper, over it: what is read
//! comes from the topmost layer that has it; what is written is copied up first; what is deleted
//! leaves a whiteout in the upper, a device 0,0 that hides the name. Between the two lies the init
//! layer, with the files that no container shares. The driver `vfs` copies everything instead.

// ANCHOR: stage
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use crate::layers::Driver;
use crate::stages::stage::{About, Spec, Stage, StageName, Step, Undo};
use crate::syscall::Syscall;

pub(super) struct Overlay;

impl Stage for Overlay {
    fn name(&self) -> StageName {
        "overlay"
    }

    fn about(&self) -> About {
        About {
            title: "a layer of one's own over a root that all share",
            isolates: "the files of the rootfs: what is written stays in the upper layer",
            leaks: "volumes, which are not part of it; a deleted file is still in its layer",
            since: "Linux 3.18 (2014); for ordinary users: Linux 5.11 (2021)",
            see: &["mount(2)", "mount(8)", "xattr(7)"],
        }
    }

    fn needs(&self) -> &'static [StageName] {
        &["mnt", "rootfs"]
    }

    fn conflicts(&self) -> &'static [StageName] {
        &["stand-in"]
    }

    fn prepare(&self, spec: &Spec) -> Vec<Step> {
        let layers = &spec.layers;
        if layers.in_memory {
            let undo = Undo::Tree(layers.dir.clone());
            return vec![mkdir(&layers.dir, "a place for the layers").undone_by(undo)];
        }
        let mut steps = if layers.found { Vec::new() } else { make(spec) };
        if let Some(first) = steps.first_mut().filter(|_| !layers.kept) {
            first.undo = Some(Undo::Tree(layers.dir.clone()));
        }
        steps.extend(write_init(spec));
        if layers.driver == Driver::Vfs && !layers.found {
            let copy = |from: PathBuf, why| Syscall::Copy(from, layers.upper()).because(why);
            steps.push(copy(spec.rootfs.clone(), "everything, to have files of its own"));
            steps.push(copy(layers.init(), "and over it what no container shares"));
        }
        steps
    }

    fn enter(&self, spec: &Spec) -> Vec<Step> {
        let layers = &spec.layers;
        let mut steps = Vec::new();
        if layers.in_memory {
            let tmpfs = mount("tmpfs", layers.dir.clone(), "mode=755".into());
            steps.push(tmpfs.because("the disk cannot serve as an upper layer: use memory"));
            steps.extend(make(spec).into_iter().skip(1));
            steps.extend(write_init(spec));
        }
        if layers.driver == Driver::Vfs {
            let bind = Syscall::Mount {
                source: Some(layers.upper()),
                target: spec.root(),
                fstype: None,
                flags: MsFlags::MS_BIND,
                data: None,
            };
            steps.push(bind.because("show the copy there: as a mount it can become a root"));
        } else {
            let overlay = mount("overlay", spec.root(), spec.overlay_options());
            steps.push(overlay.because("lay the writable layer over the others"));
        }
        steps
    }
}

fn make(spec: &Spec) -> Vec<Step> {
    let (layers, etc) = (&spec.layers, spec.layers.init().join("etc"));
    let (below, stack) = (layers.dir.join("below"), spec.stack());
    vec![
        Syscall::Mkdir(layers.dir.clone(), 0o700).because("a place that nobody else looks into"),
        mkdir(&layers.upper(), "the upper layer: all that is written comes here"),
        mkdir(&layers.work(), "where the kernel prepares what it moves there"),
        mkdir(&layers.init(), "the init layer: files that no container shares"),
        mkdir(&etc, "the init layer: files that no container shares"),
        Syscall::Create(below.clone(), 0o644).because("remember what it lies on"),
        Syscall::Write(below, stack).because("remember what it lies on"),
    ]
}

fn write_init(spec: &Spec) -> Vec<Step> {
    let write = |(file, text): (PathBuf, String)| {
        let why = "its own name, hosts and name servers";
        let create =
            (!spec.layers.found).then(|| Syscall::Create(file.clone(), 0o644).because(why));
        create.into_iter().chain([Syscall::Write(file, text).because(why)])
    };
    spec.init_files().into_iter().flat_map(write).collect()
}

fn mkdir(dir: &Path, why: &'static str) -> Step {
    Syscall::Mkdir(dir.into(), 0o755).because(why)
}

fn mount(kind: &'static str, target: PathBuf, data: String) -> Syscall {
    let (source, flags) = (Some(PathBuf::from(kind)), MsFlags::empty());
    Syscall::Mount { source, target, fstype: Some(kind), flags, data: Some(data) }
}
// ANCHOR_END: stage
