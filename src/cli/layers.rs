//! Layers on the command line: what to keep, and looking at what was kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nix::fcntl::{Flock, FlockArg};
use rootfs_fetch::Store;
use serde_json::json;

use super::Global;
use super::stages::usage;
use crate::error::Error;
use crate::layers::{Driver, Layers, Volume, changes, marks, place};
use crate::machine::host::Host;
use crate::show;
use crate::stages::stage::StageName;
use crate::teach::probe::Lab;

#[derive(Clone, Copy, ValueEnum)]
enum Storage {
    Overlay,
    Vfs,
}

#[derive(Args, Clone)]
#[command(next_help_heading = "Layers (the stage `overlay`)")]
pub(crate) struct LayerArgs {
    /// Keep what is written under this name, and go on with it when it is there
    #[arg(long, value_name = "NAME")]
    keep: Option<String>,
    /// How to get a root of one's own: overlay lays layers over each other, vfs copies everything
    #[arg(long, value_name = "DRIVER", default_value = "overlay")]
    storage: Storage,
    /// Mount a file or directory of the host, read-only with `:ro`
    #[arg(short, long, value_name = "SOURCE:TARGET[:ro]")]
    volume: Vec<Volume>,
    /// Mount memory there
    #[arg(long, value_name = "TARGET", value_parser = target)]
    tmpfs: Vec<PathBuf>,
    /// Let nothing in the root be written but what is mounted on it
    #[arg(long)]
    pub(crate) read_only: bool,
}

fn target(text: &str) -> Result<PathBuf, String> {
    place(text).ok_or("write a path that begins with `/`, and is not `/` itself".to_owned())
}

#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The name that was given to --keep
    name: String,
}

/// Beside what is kept: the rootfs that it lies on.
const BELOW: &str = "below";

impl LayerArgs {
    pub(crate) fn driver(&self) -> Driver {
        match self.storage {
            Storage::Overlay => Driver::Overlay,
            Storage::Vfs => Driver::Vfs,
        }
    }

    pub(crate) fn volumes(&self) -> Vec<Volume> {
        let memory = self.tmpfs.iter().cloned().map(Volume::tmpfs);
        self.volume.iter().cloned().chain(memory).collect()
    }

    /// Looks at what is to be mounted, and at the places for it in the layers.
    pub(crate) fn find_volumes(
        &self,
        volumes: &mut [Volume],
        layers: &[PathBuf],
        stages: &[StageName],
    ) -> Result<(), Error> {
        if !volumes.is_empty() && !stages.contains(&"rootfs") {
            let problem = "without a root of its own there is no place for volumes";
            return Err(usage(problem, "add `--with mnt,rootfs,chroot`"));
        }
        for volume in volumes {
            if let Err(problem) = volume.find(layers) {
                return Err(usage(&problem, "name something that is there, and its real place"));
            }
            if !stages.contains(&"overlay") && volume.new {
                let problem =
                    format!("the rootfs has no `{}` to mount on", volume.target.display());
                return Err(usage(&problem, "add `--with overlay`: there the place can be made"));
            }
        }
        Ok(())
    }

    /// The layers for a run over this rootfs. Finds out by trying whether the disk can serve.
    pub(crate) fn layers(
        &self,
        stages: &[StageName],
        host: &mut Host,
        rootfs: &Path,
        lowers: Vec<PathBuf>,
        id: &str,
    ) -> Result<Layers, Error> {
        let driver = self.driver();
        if !stages.contains(&"overlay") {
            return match &self.keep {
                None => Ok(Layers::default()),
                Some(_) => Err(usage("only a layer can be kept", "add `--with overlay`")),
            };
        }
        let lab =
            Lab { host: host.clone(), rootfs: rootfs.to_owned(), id: id.into(), trace: false };
        let in_memory = lab.make_ready(stages)?.host.layers_in_memory && driver == Driver::Overlay;
        let Some(name) = &self.keep else {
            if in_memory {
                show::note(
                    "the disk below your data directory cannot hold an upper layer: it is in memory, \
                     and gone when the sandbox ends",
                );
                host.layers_in_memory = true;
            }
            return Ok(Layers { lowers, ..Layers::new(host, id, driver) });
        };
        if in_memory {
            return Err(usage(
                "the disk below your data directory cannot hold an upper layer",
                "set SANDBOX_HOME to a directory on another filesystem, such as ext4 or tmpfs",
            ));
        }
        if driver == Driver::Vfs && !lowers.is_empty() {
            return Err(usage("vfs copies one tree, not layers", "use `--storage overlay`"));
        }
        let layers = Layers { lowers, ..kept(host, name, driver)? };
        if !layers.found && layers.dir.exists() {
            // A run that was killed before it could write anything.
            crate::machine::files::remove(&layers.dir)
                .map_err(Error::io("remove an unfinished layer"))?;
        }
        if layers.found
            && lies_on(&layers)? != [layers.lowers.clone(), vec![rootfs.into()]].concat()
        {
            return Err(usage(
                &format!("`{name}` lies on another rootfs"),
                "name that one with --rootfs, or choose another name",
            ));
        }
        hold(&layers, name)?;
        Ok(layers)
    }
}

/// The layers that were, or will be, kept under this name.
fn kept(host: &Host, name: &str, driver: Driver) -> Result<Layers, Error> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letter) {
        return Err(usage(&format!("`{name}` cannot be a name"), "use 1 to 32 of a-z, 0-9 and -"));
    }
    let layers = Layers { kept: true, ..Layers::new(host, &format!("kept-{name}"), driver) };
    // It is the last that is made.
    let found = fs::metadata(layers.dir.join(BELOW)).is_ok_and(|about| about.len() > 0);
    Ok(Layers { found, ..layers })
}

/// The layers that a kept one lies on, topmost first.
fn lies_on(layers: &Layers) -> Result<Vec<PathBuf>, Error> {
    let text = fs::read_to_string(layers.dir.join(BELOW));
    let text = text.map_err(Error::io("read what the layer lies on"))?;
    Ok(text.lines().map(PathBuf::from).collect())
}

/// Keeps others from writing the same layer, for as long as this process lives.
fn hold(layers: &Layers, name: &str) -> Result<(), Error> {
    if !layers.found {
        return Ok(());
    }
    let file = File::open(layers.dir.join(BELOW)).map_err(Error::io("open the kept layer"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => {
            std::mem::forget(lock);
            Ok(())
        }
        Err(_) => Err(usage(
            &format!("another sandbox is writing `{name}`"),
            "wait until it ends, or keep this one under another name",
        )),
    }
}

fn found(name: &str) -> Result<(Layers, Vec<PathBuf>), Error> {
    let layers = kept(&Host::gather(), name, Driver::Overlay)?;
    match layers.found {
        true => {
            let lowers = [vec![layers.init()], lies_on(&layers)?].concat();
            Ok((layers, lowers))
        }
        false => Err(usage(
            &format!("nothing was kept as `{name}`"),
            "`sandbox run --level union --keep NAME -- …` keeps what it writes",
        )),
    }
}

/// Prints a line for each change, or `{"changes":[{"kind":"A","path":"…"}]}`.
pub(crate) fn diff(args: &DiffArgs, global: &Global) -> Result<u8, Error> {
    let (layers, lowers) = found(&args.name)?;
    let changes = changes(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
    if global.json()? {
        let one = |change: &crate::layers::Change| json!({ "kind": change.kind.letter().to_string(), "path": change.path });
        let all: Vec<_> = changes.iter().map(one).collect();
        anstream::println!("{:#}", json!({ "changes": all }));
    } else {
        for change in changes {
            anstream::println!("{} {}", change.kind.letter(), change.path.display());
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
    let (layers, lowers) = found(name)?;
    if args.remove {
        hold(&layers, name)?;
        if !global.dry_run {
            crate::machine::files::remove(&layers.dir).map_err(Error::io("remove the layer"))?;
        }
        let verb = if global.dry_run { "would be removed" } else { "removed" };
        anstream::println!("{verb}: {name}");
        return Ok(0);
    }
    let marks = marks(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
    anstream::print!("{}", show::layers(name, &layers, &lowers, &marks));
    Ok(0)
}

/// Prints a name a line, or `{"kept":["…"]}`.
fn list(global: &Global) -> Result<u8, Error> {
    let base = Host::gather().layers_base;
    let names = fs::read_dir(base).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter_map(|name| Some(name.strip_prefix("kept-")?.to_owned())).collect();
    names.sort();
    if global.json()? {
        anstream::println!("{:#}", json!({ "kept": names }));
    } else if names.is_empty() {
        show::note("nothing is kept; `sandbox run --level union --keep NAME -- …` keeps a layer");
    } else {
        names.iter().for_each(|name| anstream::println!("{name}"));
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

/// Makes a rootfs of a kept layer: its layer lies over the rootfs that the sandbox had, and is
/// written as an archive too, in the form of OCI images.
pub(crate) fn commit(args: &CommitArgs, global: &Global) -> Result<u8, Error> {
    let (layers, lowers) = found(&args.name)?;
    hold(&layers, &args.name)?;
    let store = Store::open(None)?;
    let below = &lowers[1..];
    let all = store.list()?;
    let whole =
        |rootfs: &rootfs_fetch::Rootfs| [rootfs.layers.clone(), vec![rootfs.path.clone()]].concat();
    let base = all.iter().find(|rootfs| whole(rootfs) == below).ok_or_else(|| {
        usage(
            &format!("`{}` lies on a directory that is no rootfs of the store", args.name),
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
        let value = json!({ "name": made.name, "base": made.base, "layer": archive });
        anstream::println!("{value:#}");
    } else {
        anstream::println!("{}  a layer over {}\n  {}", made.name, base.name, archive.display());
    }
    Ok(0)
}
