//! Layers on the command line: what to keep, and looking at what was kept.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Global;
use super::stages::usage;
use crate::error::Error;
use crate::host::Host;
use crate::layers::{Driver, Layers, Volume, changes, marks, place};
use crate::probe::Lab;
use crate::show;
use crate::stage::StageName;

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
        id: &str,
        driver: Driver,
    ) -> Result<Layers, Error> {
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
            return Ok(Layers::new(host, id, driver));
        };
        if in_memory {
            return Err(usage(
                "the disk below your data directory cannot hold an upper layer",
                "set SANDBOX_HOME to a directory on another filesystem, such as ext4 or tmpfs",
            ));
        }
        let layers = kept(host, name, driver)?;
        let below = layers.dir.join(BELOW);
        match fs::read_to_string(&below) {
            Ok(other) if Path::new(other.trim_end()) != rootfs => Err(usage(
                &format!("`{name}` lies on another rootfs: {}", other.trim_end()),
                "name that one with --rootfs, or choose another name",
            )),
            _ => Ok(layers),
        }
    }
}

/// The layers that were, or will be, kept under this name.
fn kept(host: &Host, name: &str, driver: Driver) -> Result<Layers, Error> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.chars().all(letter) {
        return Err(usage(&format!("`{name}` cannot be a name"), "use 1 to 32 of a-z, 0-9 and -"));
    }
    let layers = Layers { kept: true, ..Layers::new(host, &format!("kept-{name}"), driver) };
    let found = layers.upper().is_dir();
    Ok(Layers { found, ..layers })
}

fn found(name: &str) -> Result<(Layers, Vec<PathBuf>), Error> {
    let layers = kept(&Host::gather(), name, Driver::Overlay)?;
    let below = fs::read_to_string(layers.dir.join(BELOW)).ok();
    match below.filter(|_| layers.found) {
        Some(rootfs) => {
            let lowers = vec![layers.init(), PathBuf::from(rootfs.trim_end())];
            Ok((layers, lowers))
        }
        None => Err(usage(
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

/// Draws the layers, from what is seen down to the rootfs.
pub(crate) fn layers(args: &DiffArgs, _: &Global) -> Result<u8, Error> {
    let (layers, lowers) = found(&args.name)?;
    let marks = marks(&layers.upper(), &lowers).map_err(Error::io("read the layer"))?;
    anstream::print!("{}", show::layers(&args.name, &layers, &lowers, &marks));
    Ok(0)
}
