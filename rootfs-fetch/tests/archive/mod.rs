//! Archives as nobody should make them, images, and a place to unpack them in.

#![allow(dead_code)] // each test uses a part of it

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rootfs_fetch::{Error, Limits, Progress, Rootfs, Store};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use tempfile::TempDir;

/// The bytes of a tar archive, entry by entry. Nothing is checked.
#[derive(Clone, Default)]
pub(crate) struct Archive(pub(crate) Vec<u8>);

impl Archive {
    pub(crate) fn entry(self, kind: u8, name: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Archive {
        self.full(kind, name, link, 0o755, b"")
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Archive {
        self.full(b'0', name, "", 0o644, data.as_ref())
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Archive {
        self.entry(b'5', name, "")
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Archive {
        self.entry(b'2', name, target)
    }

    pub(crate) fn hard_link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Archive {
        self.entry(b'1', name, target)
    }

    pub(crate) fn mode(self, name: &str, mode: u32) -> Archive {
        self.full(b'0', name, "", mode, b"x")
    }

    pub(crate) fn full(
        self,
        kind: u8,
        name: impl AsRef<[u8]>,
        link: impl AsRef<[u8]>,
        mode: u32,
        data: &[u8],
    ) -> Archive {
        let (name, link) = (name.as_ref(), link.as_ref());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        let archive = self.long(b'L', name).long(b'K', link);
        let short = |bytes: &[u8]| bytes[..bytes.len().min(100)].to_vec();
        let old = header.as_old_mut();
        old.name[..short(name).len()].copy_from_slice(&short(name));
        old.linkname[..short(link).len()].copy_from_slice(&short(link));
        archive.raw(header, data)
    }

    /// A name that is too long for a header has an entry of its own.
    fn long(self, kind: u8, name: &[u8]) -> Archive {
        if name.len() <= 100 {
            return self;
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_path("././@LongLink").expect("a short name");
        header.set_size(name.len() as u64 + 1);
        self.raw(header, &[name, b"\0"].concat())
    }

    pub(crate) fn raw(mut self, mut header: Header, data: &[u8]) -> Archive {
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().div_ceil(512) * 512, 0);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    pub(crate) fn gzip(self) -> Vec<u8> {
        gzip(&self.end())
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A store, and beside it files that nothing may touch.
pub(crate) struct Playground {
    pub(crate) dir: TempDir,
    before: Vec<String>,
}

impl Playground {
    pub(crate) fn new() -> Playground {
        let dir = tempfile::tempdir().expect("a directory");
        let canary = dir.path().join("canary");
        fs::create_dir_all(canary.join("dir")).expect("mkdir");
        for file in ["file", "dir/file"] {
            fs::write(canary.join(file), "untouched").expect("write");
        }
        let before = contents(&canary);
        Playground { dir, before }
    }

    pub(crate) fn canary(&self) -> PathBuf {
        self.dir.path().join("canary")
    }

    /// The path of the canary, relative or absolute, as an archive would name it.
    pub(crate) fn canary_name(&self) -> String {
        self.canary().display().to_string()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(Some(self.dir.path().join("store"))).expect("a store")
    }

    pub(crate) fn import(&self, bytes: &[u8]) -> Result<Rootfs, Error> {
        self.import_within(Limits::default(), bytes)
    }

    pub(crate) fn import_within(&self, limits: Limits, bytes: &[u8]) -> Result<Rootfs, Error> {
        let file = self.dir.path().join("archive");
        fs::write(&file, bytes).expect("write");
        let imported = self.store().with_limits(limits).import(&file, "it", &Progress::hidden());
        self.check(imported.is_ok());
        imported
    }

    /// The image of these layers, from an OCI layout.
    pub(crate) fn image(&self, layers: &[Vec<u8>]) -> Result<Rootfs, Error> {
        let layout = self.dir.path().join("layout");
        let _ = fs::remove_dir_all(&layout);
        write_layout(&layout, layers);
        let imported = self.store().import(&layout, "it", &Progress::hidden());
        self.check(imported.is_ok());
        imported
    }

    /// Refuses what the archive asks for; the error names `entry`.
    pub(crate) fn refuses(&self, archive: Archive, entry: &str) -> String {
        self.refuses_bytes(&archive.end(), entry)
    }

    pub(crate) fn refuses_bytes(&self, bytes: &[u8], entry: &str) -> String {
        let error = self.import(bytes).expect_err("refused").to_string();
        assert!(error.contains(entry), "{error:?} does not name {entry:?}");
        error
    }

    /// Nothing outside of the store is another, and nothing half is in it.
    pub(crate) fn check(&self, made: bool) {
        assert_eq!(contents(&self.canary()), self.before);
        let mut around = names(self.dir.path());
        around.retain(|name| !["archive", "layout", "store", "canary"].contains(&name.as_str()));
        assert_eq!(around, Vec::<String>::new());
        let expected: &[&str] = if made { &["it"] } else { &[] };
        assert_eq!(names(&self.dir.path().join("store")), expected);
    }
}

impl Drop for Playground {
    /// What has directories that are closed does not go by itself.
    fn drop(&mut self) {
        let _ = self.store().remove("it");
    }
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Everything below a directory, with what is in it and about it.
pub(crate) fn contents(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let data = path.symlink_metadata().expect("there");
        let name = path.strip_prefix(root).expect("below").to_owned();
        let mut inside = String::new();
        if data.is_symlink() {
            inside = format!("{:?}", fs::read_link(&path).expect("a link"));
        } else if data.is_file() {
            inside = format!("{:x?}", Sha256::digest(fs::read(&path).expect("readable")));
        } else if data.is_dir() {
            // One that is closed has nothing to show to an ordinary user.
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            pending.extend(entries.map(|entry| entry.path()));
        }
        let links = if data.is_file() { data.nlink() } else { 1 };
        let (mode, time) = (data.mode(), data.mtime());
        // The root itself has the mode that every root has, and any time.
        let about = if path == root { String::new() } else { format!("{mode:o} {time} {links}") };
        found.push(format!("{name:?} {about} {inside}"));
    }
    found.sort();
    found
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of the architecture, as images have it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn config(layers: &[Vec<u8>]) -> String {
    let plain = |layer: &Vec<u8>| {
        let mut bytes = Vec::new();
        match GzDecoder::new(&layer[..]).read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(_) => layer.clone(),
        }
    };
    let id = |layer: &Vec<u8>| format!("\"sha256:{}\"", digest(&plain(layer)));
    let ids: Vec<String> = layers.iter().map(id).collect();
    format!(
        r#"{{"architecture":"{}","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        architecture(),
        ids.join(",")
    )
}

/// Writes an OCI layout with one image.
pub(crate) fn write_layout(dir: &Path, layers: &[Vec<u8>]) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("mkdir");
    let blob = |kind: &str, bytes: &[u8]| {
        fs::write(blobs.join(digest(bytes)), bytes).expect("write");
        let (digest, size) = (digest(bytes), bytes.len());
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{size}}}"#)
    };
    let config = blob("application/vnd.oci.image.config.v1+json", config(layers).as_bytes());
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<String> = layers.iter().map(|layer| blob(kind, layer)).collect();
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
    let manifest = blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#);
    let index = blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    let top = format!(r#"{{"schemaVersion":2,"manifests":[{index}]}}"#);
    fs::write(dir.join("index.json"), top).expect("write");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
}

/// What `docker save` wrote for many years: a directory for each layer.
pub(crate) fn docker_save(layers: &[Vec<u8>], tags: &[&str]) -> Archive {
    let config = config(layers);
    let name = format!("{}.json", digest(config.as_bytes()));
    let paths: Vec<String> = (0..layers.len()).map(|at| format!("\"{at}/layer.tar\"")).collect();
    let one = |tag: &&str| {
        let layers = paths.join(",");
        format!(r#"{{"Config":"{name}","RepoTags":["{tag}"],"Layers":[{layers}]}}"#)
    };
    let images: Vec<String> = tags.iter().map(one).collect();
    let mut archive = Archive::default().file(&name, config);
    for (at, layer) in layers.iter().enumerate() {
        archive = archive.file(format!("{at}/layer.tar"), layer);
    }
    archive.file("manifest.json", format!("[{}]", images.join(",")))
}

/// A small tree that has one of everything.
pub(crate) fn sample() -> Archive {
    Archive::default()
        .dir("bin/")
        .full(b'0', "bin/sh", "", 0o755, b"#! a shell\n")
        .hard_link("bin/ash", "bin/sh")
        .symlink("sbin", "bin")
        .full(b'0', "etc/shadow", "", 0o600, b"secret\n")
        .full(b'5', "closed/", "", 0o000, b"")
        .full(b'5', "tmp/", "", 0o1777, b"")
        .file(b"not text \xff\xfe", "x")
        .file(format!("long/{}/end", "n".repeat(150)), "x")
        .symlink("far", "t".repeat(150))
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}
