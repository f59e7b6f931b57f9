//! `sandbox rootfs`: fetch, list, check, import, bundle and remove root filesystems.

pub(super) mod needs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use rootfs_fetch::{Fetch, Listed, Progress, Rootfs, SOURCE_NOTICE, Source, Store, Verified};
use serde_json::{Value, json};

use super::global::Global;
use super::layers::with_tree;
use crate::error::Error;
use crate::show;
use crate::teach::read;
use needs::Needs;

/// The most problems that `verify` prints in words.
const PROBLEMS: usize = 10;

#[derive(Args)]
pub(crate) struct RootfsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a rootfs from this machine's busybox, a package, a registry or a file
    Fetch(FetchArgs),
    /// List the root filesystems that are there
    List,
    /// Look at what is in a rootfs, and which lessons it serves; runs nothing of it
    Verify {
        /// The rootfs
        #[arg(default_value = Store::DEFAULT)]
        name: String,
    },
    /// Make a rootfs from a tar archive, an OCI layout, or what `docker save` writes
    Import {
        /// The file, or the directory of an OCI layout
        file: PathBuf,
        /// The name of the rootfs [default: the file's, without its ending]
        name: Option<String>,
    },
    /// Remove root filesystems
    Remove {
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Write a rootfs to a file, for machines without a network
    Bundle {
        /// The file, which must not be there yet: `busybox.tar.gz`
        file: PathBuf,
        /// The rootfs
        #[arg(long, default_value = Store::DEFAULT)]
        name: String,
    },
}

#[derive(Args)]
struct FetchArgs {
    /// Where from [default: the first of host, apt and registry that works]
    #[arg(long, value_name = "SOURCE", value_enum)]
    from: Option<From>,
    /// The image for `--from registry`, `[HOST[:PORT]/]NAME[:TAG]`, or the file for `--from file`
    #[arg(value_name = "IMAGE|FILE")]
    what: Option<String>,
    /// The name of the rootfs [default: busybox, or after the image or file]
    #[arg(long)]
    name: Option<String>,
    /// Speak HTTP with the registry, not HTTPS
    #[arg(long)]
    plain_http: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum From {
    Host,
    Apt,
    Registry,
    File,
}

/// With `--format json`, each subcommand prints one object:
///
/// - `fetch`, `import`: `{"name":"…","path":"…","source":"…"}`
/// - `list`: `{"store":"…","rootfs":[{"name":"…","path":"…","source":"…"}]}`; one that cannot
///   be used has `"broken":"…"`, which says why, in place of path and source
/// - `verify`: `{"name":"…","path":"…","source":"…","applets":["…"],"programs":["…"],
///   "problems":["…"],"lessons":[{"lesson":1,"slug":"…","serves":true,"missing":["…"]}]}`
/// - `remove`: `{"removed":["…"],"dry_run":false}`
/// - `bundle`: `{"name":"…","file":"…","source_notice":"…"}`
///
/// With `--dry-run`, `fetch`, `import` and `bundle` print what they would do, under `would`.
pub(crate) fn rootfs(args: RootfsArgs, global: &Global) -> Result<u8, Error> {
    let json = global.json()?;
    let store = Store::open(None)?;
    match args.command {
        Command::Fetch(args) => fetch(&store, args, global, json),
        Command::List => list(&store, json),
        Command::Verify { name } => verify(&store, &name, json),
        Command::Import { file, name } => import(&store, &file, name, global, json),
        Command::Remove { names } => remove(&store, &names, global, json),
        Command::Bundle { file, name } => bundle(&store, &file, &name, global, json),
    }
}

fn fetch(store: &Store, args: FetchArgs, global: &Global, json: bool) -> Result<u8, Error> {
    if args.from == Some(From::File) {
        let Some(file) = args.what else {
            return Err(Error::usage(
                "which file?",
                "write `sandbox rootfs fetch --from file FILE`",
            ));
        };
        return import(store, Path::new(&file), args.name, global, json);
    }
    let from = args.from.map(source);
    if args.what.is_some() && !matches!(from, None | Some(Source::Registry)) {
        return Err(Error::usage(
            "only a registry has images",
            "leave it out, or `--from registry`",
        ));
    }
    let mut fetch = Fetch { plain_http: args.plain_http, ..Fetch::default() };
    if let Some(image) = args.what {
        // Whoever names an image wants that one, and not this machine's busybox.
        fetch.sources = vec![Source::Registry];
        fetch.name = name_of_image(&image);
        fetch.image = image;
    } else if let Some(source) = from {
        fetch.sources = vec![source];
    }
    if let Some(name) = args.name {
        fetch.name = name;
    }
    store.has(&fetch.name)?; // a name that cannot be is told in a dry run too
    if global.dry_run {
        let sources: Vec<&str> = fetch.sources.iter().map(|source| source.name()).collect();
        let would = format!("make `{}` from {}", fetch.name, sources.join(", else "));
        return would_do(&would, json);
    }
    made(&store.fetch(&fetch, &Progress::stderr())?, json)
}

fn source(from: From) -> Source {
    match from {
        From::Host => Source::Host,
        From::Apt => Source::Apt,
        From::Registry | From::File => Source::Registry,
    }
}

/// The name of a rootfs after its image: `alpine-3.20` for `docker.io/library/alpine:3.20`.
fn name_of_image(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    name_from(&last.replace(':', "-"))
}

/// The name of a rootfs after its file: `alpine` for `/tmp/alpine.tar.gz`.
fn name_of_file(file: &Path) -> String {
    let absolute = std::path::absolute(file).unwrap_or(file.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut stem = name.as_str();
    for ending in [".gz", ".xz", ".zst", ".tgz", ".txz", ".tar", ".oci"] {
        stem = stem.strip_suffix(ending).filter(|rest| !rest.is_empty()).unwrap_or(stem);
    }
    name_from(stem)
}

fn name_from(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let name: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(['-', '.']);
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

fn import(
    store: &Store,
    file: &Path,
    name: Option<String>,
    global: &Global,
    json: bool,
) -> Result<u8, Error> {
    let name = name.unwrap_or_else(|| name_of_file(file));
    store.has(&name)?;
    if global.dry_run {
        std::fs::metadata(file).map_err(Error::io(format!("read `{}`", file.display())))?;
        return would_do(&format!("make `{name}` from {}", file.display()), json);
    }
    made(&store.import(file, &name, &Progress::stderr())?, json)
}

/// Prints what was made: the path, which a script can go on with.
fn made(rootfs: &Rootfs, json: bool) -> Result<u8, Error> {
    if json {
        show::line(format!("{:#}", rootfs_json(rootfs)))?;
    } else {
        show::note(&format!("`{}` is from {}", rootfs.name, rootfs.source));
        show::line(rootfs.path.display())?;
    }
    Ok(0)
}

fn rootfs_json(rootfs: &Rootfs) -> Value {
    json!({ "name": rootfs.name, "path": rootfs.path, "source": rootfs.source })
}

fn list(store: &Store, json: bool) -> Result<u8, Error> {
    let all = store.list()?;
    if json {
        let one = |listed: &Listed| match &listed.found {
            Ok(rootfs) => rootfs_json(rootfs),
            Err(error) => json!({ "name": listed.name, "broken": error.to_string() }),
        };
        let all: Vec<Value> = all.iter().map(one).collect();
        show::line(format!("{:#}", json!({ "store": store.dir(), "rootfs": all })))?;
        return Ok(0);
    }
    if all.is_empty() {
        show::note("there is none yet; `sandbox rootfs fetch` makes one");
        return Ok(0);
    }
    show::note(&format!("they are in {}", store.dir().display()));
    let widest = all.iter().map(|one| one.name.len()).max().unwrap_or(0).min(24);
    for Listed { name, found } in all {
        let name = format!("{name:widest$}  ");
        let text = found.map_or_else(|error| format!("broken: {error}"), |rootfs| rootfs.source);
        show::print(hang(&name, widest + 2, &text))?;
    }
    Ok(0)
}

fn verify(store: &Store, name: &str, json: bool) -> Result<u8, Error> {
    expect(store, name)?;
    let verified = store.verify(name)?;
    let lessons = read::all(None)?;
    let needs: Vec<Needs> = lessons.iter().map(|lesson| Needs::of(lesson, &verified)).collect();
    if json {
        show::line(format!("{:#}", verified_json(&verified, &needs)))?;
    } else {
        show::print(verified_text(&verified, &needs))?;
    }
    let sound = verified.problems.is_empty() && needs.iter().all(|one| one.missing.is_empty());
    Ok(u8::from(!sound))
}

fn verified_json(verified: &Verified, needs: &[Needs]) -> Value {
    let lesson = |one: &Needs| {
        let serves = one.missing.is_empty();
        json!({ "lesson": one.lesson, "slug": one.slug, "serves": serves, "missing": one.missing })
    };
    let mut value = rootfs_json(&verified.rootfs);
    value["applets"] = json!(verified.applets);
    value["programs"] = json!(verified.programs);
    value["problems"] = json!(verified.problems);
    value["lessons"] = needs.iter().map(lesson).collect();
    value
}

fn verified_text(verified: &Verified, needs: &[Needs]) -> String {
    let rootfs = &verified.rootfs;
    let mut out = format!("{}  {}\n\n", rootfs.name, rootfs.path.display());
    let mut row = |name: &str, text: &str| out.push_str(&hang(&format!("  {name:12}"), 14, text));
    row("from", &rootfs.source);
    let names = |names: &[String]| format!("{}: {}", names.len(), names.join(" "));
    row("applets", &names(&verified.applets));
    if !verified.programs.is_empty() {
        row("programs", &names(&verified.programs));
    }
    for problem in verified.problems.iter().take(PROBLEMS) {
        row("wrong", problem);
    }
    if let Some(more) = verified.problems.len().checked_sub(PROBLEMS).filter(|more| *more > 0) {
        row("wrong", &format!("… and {more} more"));
    }
    for one in needs {
        let lesson = format!("lesson {}", one.lesson);
        match one.missing.is_empty() {
            true => row(&lesson, &format!("serves `{}`", one.slug)),
            false => row(&lesson, &format!("`{}` lacks {}", one.slug, one.missing.join(", "))),
        }
    }
    out
}

fn remove(store: &Store, names: &[String], global: &Global, json: bool) -> Result<u8, Error> {
    for name in names {
        if !store.has(name)? {
            return Err(there_is_none(name));
        }
    }
    // A layer goes before what it lies on.
    let mut names: Vec<&String> = names.iter().collect::<BTreeSet<_>>().into_iter().collect();
    names.sort_by_key(|name| std::cmp::Reverse(store.depth(name)));
    for name in &names {
        if !global.dry_run {
            let remove = || store.remove(name).map(|()| 0).map_err(Error::from);
            let status = with_tree(&store.dir().join(name), remove)?;
            if status != 0 {
                return Ok(status);
            }
        }
        if !json {
            let verb = if global.dry_run { "would be removed" } else { "removed" };
            show::line(format!("{verb}: {name}"))?;
        }
    }
    if json {
        show::line(format!("{:#}", json!({ "removed": names, "dry_run": global.dry_run })))?;
    }
    Ok(0)
}

fn bundle(
    store: &Store,
    file: &Path,
    name: &str,
    global: &Global,
    json: bool,
) -> Result<u8, Error> {
    expect(store, name)?;
    if global.dry_run {
        return would_do(&format!("write `{name}` to {}", file.display()), json);
    }
    store.bundle(name, file, &Progress::stderr())?;
    if json {
        let value = json!({ "name": name, "file": file, "source_notice": SOURCE_NOTICE });
        show::line(format!("{value:#}"))?;
    } else {
        show::note(SOURCE_NOTICE);
        show::line(file.display())?;
    }
    Ok(0)
}

/// Whether there is such a rootfs: a wrong name is wrong usage.
fn expect(store: &Store, name: &str) -> Result<(), Error> {
    if store.get(name)?.is_some() { Ok(()) } else { Err(there_is_none(name)) }
}

fn there_is_none(name: &str) -> Error {
    Error::usage(format!("there is no rootfs `{name}`"), "see `sandbox rootfs list`")
}

fn would_do(what: &str, json: bool) -> Result<u8, Error> {
    if json {
        show::line(format!("{:#}", json!({ "would": what, "dry_run": true })))?;
    } else {
        show::line(format!("would {what}"))?;
    }
    Ok(0)
}

/// A first column, `indent` wide, and beside it text in as many lines as it needs.
fn hang(first: &str, indent: usize, text: &str) -> String {
    let lines = show::wrap(text, show::width().saturating_sub(indent).max(20));
    let lines = lines.join(&format!("\n{}", " ".repeat(indent)));
    format!("{first}{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootfs_is_named_after_its_image_or_file() {
        assert_eq!(name_of_image("docker.io/library/alpine:3.20"), "alpine-3.20");
        assert_eq!(name_of_image("localhost:5000/busybox"), "busybox");
        assert_eq!(name_of_image("busybox@sha256:00"), "busybox");
        assert_eq!(name_of_file(Path::new("/tmp/my tree.tar.gz")), "my-tree");
        assert_eq!(name_of_file(Path::new(".hidden.tgz")), "hidden");
    }
}
