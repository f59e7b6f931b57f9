//! `sandbox diff`, `sandbox layers` and `sandbox commit`: what was kept.

use std::path::{Path, PathBuf};

use clap::Args;
use rootfs_fetch::{Rootfs, Store};
use serde::Serialize;

use super::global::Global;
use crate::error::Error;
use crate::layers::{Change, Layers, changes, kept, marks};
use crate::machine::inside;
use crate::show;

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The name that was given to --keep
    name: String,
}

/// What `sandbox diff --format json` prints.
#[derive(Serialize)]
struct Changes {
    changes: Vec<Changed>,
}

/// A path that a layer changed: A added, C changed, D deleted.
#[derive(Serialize)]
struct Changed {
    kind: char,
    path: PathBuf,
}

/// Does something with a tree that a sandbox may have left; where not all in it is this user's, as the
/// sandbox's root could.
pub(super) fn with_tree(
    tree: &Path,
    mut act: impl FnMut() -> Result<u8, Error>,
) -> Result<u8, Error> {
    if nix::unistd::geteuid().is_root() || inside::is_all_ours(tree) {
        return act();
    }
    let mut told = || {
        act().unwrap_or_else(|error| {
            show::error(&error);
            error.exit_code()
        })
    };
    match inside::act(&mut told) {
        Ok(status) => Ok(status),
        Err(_) => act(),
    }
}

pub(crate) fn diff(args: &DiffArgs, global: &Global) -> Result<u8, Error> {
    let (layers, lowers) = kept::find(&args.name)?;
    with_tree(&layers.upper(), || print_diff(&layers, &lowers, global))
}

fn print_diff(layers: &Layers, lowers: &[PathBuf], global: &Global) -> Result<u8, Error> {
    let changes = changes(&layers.upper(), lowers).map_err(Error::io("read the layer"))?;
    if global.json()? {
        let one = |change: Change| Changed { kind: change.kind.letter(), path: change.path };
        let changes = changes.into_iter().map(one).collect();
        show::line(show::json(&Changes { changes }))?;
    } else {
        show::print(show::changes(&changes))?;
    }
    Ok(0)
}

#[derive(Args)]
pub(crate) struct LayersArgs {
    /// The name that was given to --keep; without one, all names are listed
    name: Option<String>,
    /// Remove what was kept under this name
    #[arg(long, requires = "name")]
    remove: bool,
}

/// Draws the layers, from what is seen down to the rootfs. Without a name, lists what is kept.
pub(crate) fn layers(args: &LayersArgs, global: &Global) -> Result<u8, Error> {
    let Some(name) = &args.name else { return list(global) };
    if args.remove {
        let layers = kept::there(name)?;
        let _held = if layers.below().exists() { Some(kept::hold(&layers, name)?) } else { None };
        if !global.dry_run {
            let doing = format!("remove `{}`", layers.dir.display());
            inside::remove(&layers.dir).map_err(Error::io(doing))?;
        }
        let verb = if global.dry_run { "would be removed" } else { "removed" };
        show::line(format!("{verb}: {name}"))?;
        return Ok(0);
    }
    let (layers, lowers) = kept::find(name)?;
    with_tree(&layers.upper(), || {
        let marks = marks(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
        show::print(show::layers(name, &layers, &lowers, &marks))?;
        Ok(0)
    })
}

/// What `sandbox layers --format json` prints.
#[derive(Serialize)]
struct Kept {
    kept: Vec<String>,
}

fn list(global: &Global) -> Result<u8, Error> {
    let kept = kept::names()?;
    if global.json()? {
        show::line(show::json(&Kept { kept }))?;
    } else if kept.is_empty() {
        show::line("nothing is kept")?;
        show::note("`sandbox run --level union --keep NAME -- …` keeps a layer");
    } else {
        show::print(show::kept(&kept))?;
    }
    Ok(0)
}

#[derive(Args)]
pub(crate) struct CommitArgs {
    /// The name that was given to --keep
    name: String,
    /// The name of the new rootfs
    rootfs: String,
}

/// What `sandbox commit --format json` prints.
#[derive(Serialize)]
struct Committed {
    name: String,
    base: Option<String>,
    layer: PathBuf,
}

/// Makes a rootfs of a kept layer: its layer lies over the rootfs that the sandbox had, and is
/// written as an archive too, in the form of OCI images.
pub(crate) fn commit(args: &CommitArgs, global: &Global) -> Result<u8, Error> {
    let (layers, lowers) = kept::find(&args.name)?;
    let _held = kept::hold(&layers, &args.name)?;
    let store = Store::open(None)?;
    let below = &lowers[1..];
    let all: Vec<Rootfs> = store.list()?.into_iter().filter_map(|one| one.found.ok()).collect();
    let whole = |rootfs: &Rootfs| [rootfs.layers.clone(), vec![rootfs.path.clone()]].concat();
    let base = all.iter().find(|rootfs| whole(rootfs) == below).ok_or_else(|| {
        Error::usage(
            format!("`{}` lies on a directory that is no rootfs of the store", args.name),
            "`sandbox rootfs import` takes it into the store; then start again over that one",
        )
    })?;
    if global.dry_run {
        show::note(&format!("`{}` would become a layer over `{}`", args.name, base.name));
        return Ok(0);
    }
    with_tree(&layers.upper(), || {
        let made = store.commit(&args.rootfs, &base.name, &layers.upper())?;
        print_commit(made, store.dir(), global)
    })
}

fn print_commit(made: Rootfs, store: &Path, global: &Global) -> Result<u8, Error> {
    let archive = store.join(&made.name).join("layer.tar");
    if global.json()? {
        let made = Committed { name: made.name, base: made.base, layer: archive };
        show::line(show::json(&made))?;
    } else {
        let base = made.base.unwrap_or_default();
        show::line(format!("{}  a layer over {base}\n  {}", made.name, archive.display()))?;
    }
    Ok(0)
}
