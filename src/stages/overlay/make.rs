//! Making the layers.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::mount::MsFlags;

use super::find::Found;
use super::options::stack;
use crate::layers::Driver;
use crate::plan::step::{Because, Step, Undo};
use crate::stages::names::UTS;
use crate::stages::spec::Spec;
use crate::syscall::{CopyTree, Create, Flock, Mkdir, MkdirAll, Mount, Rename, Write};

/// On the host, before there is a sandbox.
pub(super) fn on_disk(spec: &Spec, found: &Found) -> Vec<Step> {
    let layers = &spec.layers;
    let hold = Flock(layers.below()).because("nobody else may write this layer meanwhile");
    if layers.found {
        let mut steps = vec![hold];
        steps.extend(init_files(spec, found));
        return steps;
    }
    let undo = Undo::Tree(layers.dir.clone());
    let mut steps = Vec::new();
    // Only trying tells whether something can be made there.
    let tried = |step: Step| if layers.driver == Driver::Overlay { step.doubtful() } else { step };
    if found.makes_base && !layers.in_memory {
        let base = layers.dir.parent().map_or_else(PathBuf::new, PathBuf::from);
        let made = MkdirAll(base, 0o700).because("a directory for all layers, which stays");
        steps.push(tried(made));
    }
    if layers.in_memory {
        steps.push(mkdir(layers.dir.clone(), "a place for the layers").undone_by(undo));
        return steps;
    }
    let place =
        Mkdir(layers.dir.clone().into(), 0o700).because("a place that nobody else looks into");
    steps.push(tried(place.undone_by(undo)));
    steps.extend(inside(spec));
    steps.extend(init_files(spec, found));
    if layers.driver == Driver::Vfs {
        let copy = |from, why| CopyTree(from, layers.upper().into()).because(why);
        steps.push(copy(spec.rootfs.clone(), "everything, to have files of its own"));
        steps.push(copy(layers.init(), "and over it what no container shares"));
    }
    if layers.keep_as.is_some() {
        steps.push(hold);
    }
    steps
}

/// What is kept gets its name when it has become a root: what has a name can be gone on with.
pub(super) fn name(spec: &Spec) -> Option<Step> {
    let layers = &spec.layers;
    let name = Rename(layers.dir.clone(), layers.keep_as.clone()?);
    Some(name.because("it serves: give it the name by which it is kept"))
}

/// In the sandbox, where no disk can serve.
pub(super) fn in_memory(spec: &Spec, found: &Found) -> Vec<Step> {
    let layers = &spec.layers;
    if !layers.in_memory {
        return Vec::new();
    }
    let memory = Mount::new("tmpfs", &layers.dir, MsFlags::empty()).with("mode=755");
    let mut steps = vec![memory.because("the disk cannot serve as an upper layer: use memory")];
    steps.extend(inside(spec));
    steps.extend(init_files(spec, found));
    steps
}

fn inside(spec: &Spec) -> Vec<Step> {
    let layers = &spec.layers;
    let mut lines = OsString::new();
    for dir in stack(spec) {
        lines.push(dir);
        lines.push("\n");
    }
    let why_init = "the init layer: files that no container shares";
    let why_below = "remember what it lies on";
    vec![
        mkdir(layers.upper(), "the upper layer: all that is written comes here"),
        mkdir(layers.work(), "where the kernel prepares what it moves there"),
        mkdir(layers.init(), why_init),
        mkdir(layers.init().join("etc"), why_init),
        Create(layers.below().into(), 0o644).because(why_below),
        Write(layers.below().into(), lines).because(why_below),
    ]
}

/// The files that every container has for itself.
fn init_files(spec: &Spec, found: &Found) -> Vec<Step> {
    let layers = &spec.layers;
    let own = spec.hostname.as_deref().filter(|_| spec.has(UTS));
    let name = own.unwrap_or("localhost");
    let names = own.map_or("localhost".to_owned(), |own| format!("localhost {own}"));
    let files = [
        ("hostname", format!("{name}\n").into()),
        ("hosts", format!("127.0.0.1 {names}\n::1 localhost\n").into()),
        ("resolv.conf", found.resolv_conf.clone()),
    ];
    let why = "its own name, hosts and name servers";
    let mut steps = Vec::new();
    for (file, text) in files {
        let file = layers.init().join("etc").join(file);
        if !layers.found {
            steps.push(Create(file.clone().into(), 0o644).because(why));
        }
        steps.push(Write(file.into(), text).because(why));
    }
    steps
}

fn mkdir(dir: PathBuf, why: &'static str) -> Step {
    Mkdir(dir.into(), 0o755).because(why)
}
