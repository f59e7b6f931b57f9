//! `sandbox diff`, `sandbox layers` and `sandbox commit`: what was kept.

use std::path::PathBuf;

use clap::Args;
use rootfs_fetch::Store;
use serde::Serialize;

use super::global::Global;
use crate::error::Error;
use crate::layers::{Change, changes, kept, marks};
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

pub(crate) fn diff(args: &DiffArgs, global: &Global) -> Result<u8, Error> {
    let (layers, lowers) = kept::find(&args.name)?;
    let changes = changes(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
    if global.json()? {
        let one = |change: Change| Changed { kind: change.kind.letter(), path: change.path };
        let changes = changes.into_iter().map(one).collect();
        show::line(show::json(&Changes { changes }))?;
    } else {
        for change in changes {
            show::line(format!("{} {}", change.kind.letter(), change.path.display()))?;
        }
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
            rootfs_fetch::remove(&layers.dir)?;
        }
        let verb = if global.dry_run { "would be removed" } else { "removed" };
        show::line(format!("{verb}: {name}"))?;
        return Ok(0);
    }
    let (layers, lowers) = kept::find(name)?;
    let marks = marks(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
    show::print(show::layers(name, &layers, &lowers, &marks))?;
    Ok(0)
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
        kept.iter().try_for_each(show::line)?;
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
    let all = store.list()?;
    let whole =
        |rootfs: &rootfs_fetch::Rootfs| [rootfs.layers.clone(), vec![rootfs.path.clone()]].concat();
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
    let made = store.commit(&args.rootfs, &base.name, &layers.upper())?;
    let archive = store.dir().join(&made.name).join("layer.tar");
    if global.json()? {
        let made = Committed { name: made.name, base: made.base, layer: archive };
        show::line(show::json(&made))?;
    } else {
        show::line(format!("{}  a layer over {}\n  {}", made.name, base.name, archive.display()))?;
    }
    Ok(0)
}
