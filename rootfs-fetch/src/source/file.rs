//! The source `file`: a tree in a tar archive, or an image in one of the forms in which tools write
//! it. Which it is shows in what is in it, not in its name.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::archive::limits::Means;
use crate::archive::meter::Counted;
use crate::archive::unpack::Unpacker;
use crate::archive::{compression, remove};
use crate::error::Error;
use crate::image::digest::{Digest, verify_stream};
use crate::image::layers::{unpack_layers, verify_file};
use crate::image::oci::{self, Config, Descriptor, Index, Manifest};
use crate::image::platform::architecture;
use crate::root::resolve::resolve_in;
use crate::root::skeleton;
use crate::text;

/// The most bytes of a file of JSON.
const MAX_JSON: u64 = 4 * 1024 * 1024;

/// The most indexes that lead to one another.
const MAX_NESTED: usize = 4;

/// An image in the list that `docker save` writes, `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

/// Fills `root`, an empty directory, from a file or from the directory of an OCI layout. Returns
/// where it came from, in words.
///
/// # Errors
/// When it is none of the known forms, broken or hostile.
pub(crate) fn fill(file: &Path, root: &Path, means: &Means) -> Result<String, Error> {
    let shown = file.display();
    let words = if file.is_dir() {
        let words = image(file, root, means)?.ok_or_else(|| Error::Unfit {
            problem: format!("`{shown}` is a directory, but no OCI layout"),
            hint: Some(format!("pack it first: `tar -C {shown} -cf FILE .`")),
        })?;
        format!("{words} {shown}")
    } else {
        let skipped = unpack(file, root, means)?;
        let unpacked = root.with_file_name("image");
        fs::rename(root, &unpacked).map_err(Error::io("move", root))?;
        fs::create_dir(root).map_err(Error::io("make the directory", root))?;
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root, readable).map_err(Error::io("set the mode of", root))?;
        match image(&unpacked, root, means)? {
            Some(words) => {
                remove::remove(&unpacked)?;
                format!("{words} {shown}")
            }
            None => {
                fs::remove_dir(root).map_err(Error::io("remove", root))?;
                fs::rename(&unpacked, root).map_err(Error::io("move", root))?;
                if fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_none()) {
                    let problem = format!("`{shown}` has nothing in it");
                    return Err(Error::Unfit { problem, hint: None });
                }
                format!("the archive {shown}{}", left_out(skipped))
            }
        }
    };
    skeleton::complete(root)?;
    Ok(text::shown(words.as_bytes()))
}

fn unpack(file: &Path, root: &Path, means: &Means) -> Result<u64, Error> {
    let opened = File::open(file).map_err(Error::io("open", file))?;
    let size = opened.metadata().ok().map(|data| data.len());
    means.progress.begin("unpacking", size.filter(|size| *size > 0));
    let mut unpacker = Unpacker::new(root, means.limits)?;
    unpacker.tree(BufReader::new(Counted::new(opened, means.progress)))?;
    means.progress.end();
    unpacker.finish()
}

fn left_out(skipped: u64) -> String {
    match skipped {
        0 => String::new(),
        1 => " (1 device left out)".to_owned(),
        more => format!(" ({more} devices left out)"),
    }
}

/// Unpacks the image in the directory `dir`. `None` when there is none.
fn image(dir: &Path, root: &Path, means: &Means) -> Result<Option<String>, Error> {
    if is_layout(dir) {
        let skipped = layout(dir, root, means)?;
        return Ok(Some(format!("the OCI image{} in", left_out(skipped))));
    }
    let Ok(bytes) = read_json(dir, Path::new("manifest.json")) else { return Ok(None) };
    match serde_json::from_slice::<Vec<Saved>>(&bytes) {
        Ok(saved) => docker(&saved, dir, root, means).map(Some),
        // Some other file of this name.
        Err(_) => Ok(None),
    }
}

fn is_layout(dir: &Path) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        #[allow(dead_code)] // it is there: that is enough
        image_layout_version: String,
    }
    let marker = read_json(dir, Path::new("oci-layout"));
    marker.is_ok_and(|bytes| serde_json::from_slice::<Layout>(&bytes).is_ok())
}

/// Unpacks the image for this machine from an OCI layout.
fn layout(dir: &Path, root: &Path, means: &Means) -> Result<u64, Error> {
    let bytes = read_json(dir, Path::new("index.json"))?;
    let mut index: Index = oci::parse("index.json", &bytes)?;
    for _ in 0..MAX_NESTED {
        let chosen = index.choose().ok_or_else(|| no_image(&index))?;
        let bytes = read_blob(dir, chosen)?;
        if chosen.is_index() {
            index = oci::parse("an index", &bytes)?;
            continue;
        }
        let manifest: Manifest = oci::parse("the image's manifest", &bytes)?;
        manifest.check()?;
        let config = read_blob(dir, &manifest.config)?;
        oci::parse::<Config>("the image's config", &config)?.check()?;
        let layers: Result<Vec<PathBuf>, Error> =
            manifest.layers.iter().map(|layer| blob(dir, layer)).collect();
        return unpack_layers(&layers?, root, means);
    }
    Err(Error::Unfit {
        problem: "the indexes of the image lead to one another without end".to_owned(),
        hint: None,
    })
}

fn no_image(index: &Index) -> Error {
    let there = index.platforms();
    let problem = format!("no image for linux/{}; there is {there}", architecture());
    Error::Unfit { problem, hint: None }
}

/// The file of a blob, which is what its descriptor says.
fn blob(dir: &Path, descriptor: &Descriptor) -> Result<PathBuf, Error> {
    let path = find(dir, &Path::new("blobs").join(descriptor.digest.path()))?;
    verify_file(&path, descriptor)?;
    Ok(path)
}

fn read_blob(dir: &Path, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    let path = blob(dir, descriptor)?;
    let bytes = read_limited(&path)?;
    descriptor.digest.check_bytes(&path.display().to_string(), &bytes)?;
    Ok(bytes)
}

/// Unpacks the first of the images that `docker save` wrote. Its config says what the digests of
/// its layers are, and the config's name is its own digest.
fn docker(saved: &[Saved], dir: &Path, root: &Path, means: &Means) -> Result<String, Error> {
    let first = saved.first().ok_or_else(|| Error::Unfit {
        problem: "manifest.json lists no image".to_owned(),
        hint: None,
    })?;
    let config = read_json(dir, &first.config)?;
    let name = first.config.file_stem().unwrap_or_default().to_string_lossy();
    if let Ok(digest) = Digest::parse(&format!("sha256:{name}")) {
        digest.check_bytes("the image's config", &config)?;
    }
    let config: Config = oci::parse("the image's config", &config)?;
    config.check()?;
    let digests = config.rootfs.diff_ids;
    if digests.len() != first.layers.len() {
        return Err(Error::Mismatch {
            what: "the number of layers".to_owned(),
            expected: digests.len().to_string(),
            got: first.layers.len().to_string(),
        });
    }
    let mut layers = Vec::new();
    for (layer, digest) in first.layers.iter().zip(&digests) {
        let path = find(dir, layer)?;
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let plain = compression::plain(BufReader::new(file)).map_err(Error::io("read", &path))?;
        verify_stream(&path, plain, digest)?;
        layers.push(path);
    }
    let skipped = unpack_layers(&layers, root, means)?;
    let tag = first.repo_tags.iter().flatten().next().map_or("without a name", String::as_str);
    let among = if saved.len() > 1 {
        format!(", the first of {} images", saved.len())
    } else {
        String::new()
    };
    Ok(format!("the image {tag}{}{among} in", left_out(skipped)))
}

fn shown(path: &Path) -> String {
    text::shown(path.as_os_str().as_bytes())
}

/// The file `path` of an image. Links in an image lead nowhere but into it.
fn find(dir: &Path, path: &Path) -> Result<PathBuf, Error> {
    let missing = |_| Error::Unfit {
        problem: format!("the image is not complete: it lacks `{}`", shown(path)),
        hint: None,
    };
    let found = resolve_in(dir, path).map_err(missing)?;
    if found.is_file() { Ok(found) } else { Err(missing(std::io::ErrorKind::NotFound.into())) }
}

fn read_json(dir: &Path, path: &Path) -> Result<Vec<u8>, Error> {
    read_limited(&find(dir, path)?)
}

fn read_limited(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_JSON {
        let problem = format!("`{}` is too long for what it should be", path.display());
        return Err(Error::Unfit { problem, hint: None });
    }
    Ok(bytes)
}
