//! The JSON of OCI images: an index lists an image for each architecture, a manifest lists the
//! layers of one. Each thing is named by its digest, and checked against it before it is used. See
//! the OCI image specification; Docker's older media types mean the same.

use serde::Deserialize;

use super::digest::Digest;
use crate::error::Error;
use crate::text::printable;

/// The media types of indexes.
pub(crate) const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// The media types of manifests.
pub(crate) const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// The media types of layers. How one is compressed is seen in its first bytes.
const LAYER_TYPES: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// What is said of a thing before one has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// For which machines it is.
    pub(crate) platform: Option<Platform>,
}

/// For which machines an image is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Platform {
    /// The operating system.
    #[serde(default)]
    pub(crate) os: String,
    /// The architecture, as Go calls it.
    #[serde(default)]
    pub(crate) architecture: String,
    /// Which of its kinds: `v7`.
    #[serde(default)]
    pub(crate) variant: String,
}

/// The same image for several architectures, or several images.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Index {
    /// Manifests, or further indexes.
    pub(crate) manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Manifest {
    /// How to run it; of interest here only for its architecture.
    pub(crate) config: Descriptor,
    /// Its layers, the lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// As much of an image's config as is needed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    /// For which machines it is.
    #[serde(flatten)]
    pub(crate) platform: Platform,
    /// The digests of its layers.
    #[serde(default)]
    pub(crate) rootfs: Layers,
}

/// The digests of uncompressed layers, the lowest first.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Layers {
    /// The digests.
    #[serde(default)]
    pub(crate) diff_ids: Vec<Digest>,
}

impl Descriptor {
    /// Whether it describes an index.
    pub(crate) fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&self.media_type.as_str())
    }

    /// Whether it describes a manifest.
    pub(crate) fn is_manifest(&self) -> bool {
        MANIFEST_TYPES.contains(&self.media_type.as_str())
    }
}

impl Manifest {
    /// Whether every layer is one that can be unpacked.
    ///
    /// # Errors
    /// When one is not, or is not meant to be handed on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for layer in &self.layers {
            let kind = layer.media_type.as_str();
            if kind.contains("foreign") || kind.contains("nondistributable") {
                return Err(refuse(format!("the layer {} is kept elsewhere", layer.digest)));
            }
            if !LAYER_TYPES.contains(&kind) {
                return Err(refuse(format!("a layer of the kind `{kind}` is not known")));
            }
        }
        if self.layers.is_empty() {
            return Err(refuse("the image has no layers".to_owned()));
        }
        Ok(())
    }
}

impl Config {
    /// Whether the image is for this machine. Where it does not say, it is taken to be.
    ///
    /// # Errors
    /// When it is for another one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Platform { os, architecture: arch, .. } = &self.platform;
        if (os.is_empty() || os == "linux") && (arch.is_empty() || arch == architecture()) {
            return Ok(());
        }
        Err(refuse(format!("the image is for {os}/{arch}, not for linux/{}", architecture())))
    }
}

fn refuse(problem: String) -> Error {
    let problem = printable(problem.as_bytes());
    Error::Usage { problem, hint: Some("use another image".to_owned()) }
}

/// Reads JSON.
///
/// # Errors
/// When it is not what is expected.
pub(crate) fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Usage {
        problem: printable(format!("{what} cannot be understood: {error}").as_bytes()),
        hint: None,
    })
}

/// This machine's architecture, as Go and thus images call it.
pub(crate) fn architecture() -> &'static str {
    match (std::env::consts::ARCH, cfg!(target_endian = "little")) {
        ("x86_64", _) => "amd64",
        ("x86", _) => "386",
        ("aarch64", _) => "arm64",
        ("powerpc64", true) => "ppc64le",
        ("powerpc64", false) => "ppc64",
        ("mips64", true) => "mips64le",
        ("mips", true) => "mipsle",
        ("loongarch64", _) => "loong64",
        (other, _) => other,
    }
}

/// The image for this machine.
pub(crate) fn choose(index: &Index) -> Option<&Descriptor> {
    let ranked = index.manifests.iter().filter_map(|one| Some((rank(one)?, one)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, one)| one)
}

/// How well an image fits this machine, the best 0; `None` when it does not. An image that does
/// not say for which machine it is comes last; its config is looked at later.
fn rank(descriptor: &Descriptor) -> Option<u32> {
    let known = descriptor.is_index() || descriptor.is_manifest();
    let Some(platform) = &descriptor.platform else { return known.then_some(100) };
    // Attestations are for `unknown/unknown`, and no images.
    if platform.os != "linux" || platform.architecture != architecture() {
        return None;
    }
    match (architecture(), platform.variant.as_str()) {
        ("arm", variant) => rank_arm(variant, arm_version()),
        ("amd64", "" | "v1") | ("arm64", "" | "v8") => Some(0),
        // Made for newer processors than every one of this architecture.
        ("amd64" | "arm64", _) => None,
        _ => Some(0),
    }
}

/// A 32-bit ARM runs what is made for it and for older ones; `v7` is meant where nothing is said.
fn rank_arm(variant: &str, machine: u32) -> Option<u32> {
    let wanted = if variant.is_empty() { 7 } else { variant.strip_prefix('v')?.parse().ok()? };
    machine.checked_sub(wanted)
}

/// Which ARM this is: 6 for `armv6l`. A 64-bit one runs 32-bit programs up to 8.
fn arm_version() -> u32 {
    let machine = nix::sys::utsname::uname().ok();
    let machine = machine.map(|names| names.machine().to_string_lossy().into_owned());
    let digit = machine.as_deref().and_then(|name| name.strip_prefix("armv")?.chars().next());
    digit.and_then(|digit| digit.to_digit(10)).unwrap_or(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_for_this_machine_is_chosen_and_no_attestation() {
        let arch = architecture();
        let one = |digit: char, platform: &str| {
            let digest = format!("sha256:{}", digit.to_string().repeat(64));
            let kind = MANIFEST_TYPES[0];
            format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":1{platform}}}"#)
        };
        let of = |os: &str, arch: &str| {
            format!(r#","platform":{{"os":"{os}","architecture":"{arch}"}}"#)
        };
        let json = format!(
            r#"{{"manifests":[{},{},{},{}]}}"#,
            one('0', &of("unknown", "unknown")),
            one('1', &of("linux", "pdp11")),
            one('2', ""),
            one('3', &of("linux", arch)),
        );
        let index: Index = parse("the index", json.as_bytes()).expect("an index");
        let chosen = choose(&index).expect("one for this machine");
        assert!(chosen.digest.to_string().starts_with("sha256:333"));
        let others = Index { manifests: index.manifests[..2].to_vec() };
        assert!(choose(&others).is_none());
        let silent = Index { manifests: index.manifests[..3].to_vec() };
        assert!(choose(&silent).is_some());
    }

    #[test]
    fn an_arm_runs_what_is_made_for_older_ones() {
        assert_eq!(rank_arm("v7", 7), Some(0));
        assert_eq!(rank_arm("v6", 7), Some(1));
        assert_eq!(rank_arm("", 7), Some(0));
        assert_eq!(rank_arm("v7", 6), None);
        assert_eq!(rank_arm("v5x", 7), None);
    }
}
