//! The JSON of OCI images: an index lists an image for each architecture, a manifest lists the
//! layers of one. Each thing is named by its digest, and checked against it before it is used. See
//! the OCI image specification; Docker's older media types mean the same.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::digest::Digest;
use super::platform::{Platform, architecture};
use crate::error::Error;
use crate::text::{printable, shown};

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

/// The media type of the config of an image, which tells that one from what is kept beside images.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

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
    /// What it is, when it is no image.
    artifact_type: Option<String>,
    /// What else is said of it.
    annotations: Option<HashMap<String, IgnoredAny>>,
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

impl Index {
    /// The image for this machine.
    pub(crate) fn choose(&self) -> Option<&Descriptor> {
        let ranked = self.manifests.iter().filter_map(|one| Some((one.rank()?, one)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, one)| one)
    }

    /// For which machines it has images, in words: `linux/amd64, linux/arm/v7`.
    pub(crate) fn platforms(&self) -> String {
        let platforms = self.manifests.iter().filter_map(|one| one.platform.as_ref());
        let names = platforms.filter(|one| one.os != "unknown").map(Platform::to_string);
        let names: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return "none at all".to_owned();
        }
        shown(Vec::from_iter(names).join(", ").as_bytes())
    }
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

    /// How well an image fits this machine, the best 0; `None` when it does not. One that does not
    /// say for which machine it is comes last; its config is looked at later.
    fn rank(&self) -> Option<u32> {
        let is_artifact = self.artifact_type.as_ref().is_some_and(|kind| kind != CONFIG_TYPE);
        let mut notes = self.annotations.iter();
        if is_artifact || notes.any(|all| all.contains_key("vnd.docker.reference.type")) {
            return None;
        }
        let known = self.is_index() || self.is_manifest();
        match &self.platform {
            Some(platform) => platform.rank(),
            None => known.then_some(100),
        }
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
    Error::Unfit { problem, hint: Some("use another image".to_owned()) }
}

/// Reads JSON.
///
/// # Errors
/// When it is not what is expected.
pub(crate) fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Unfit {
        problem: printable(format!("{what} cannot be understood: {error}").as_bytes()),
        hint: None,
    })
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
        let chosen = index.choose().expect("one for this machine");
        assert!(chosen.digest.to_string().starts_with("sha256:333"));
        let others = Index { manifests: index.manifests[..2].to_vec() };
        assert!(others.choose().is_none());
        let silent = Index { manifests: index.manifests[..3].to_vec() };
        assert!(silent.choose().is_some());
        // What stands beside an image may say of itself what it is, and not for which machine.
        let json = format!(
            r#"{{"manifests":[{},{},{}]}}"#,
            one('4', r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
            one('5', r#","artifactType":"application/vnd.example.signature""#),
            one('6', &format!(r#","artifactType":"{CONFIG_TYPE}""#)),
        );
        let index: Index = parse("the index", json.as_bytes()).expect("an index");
        assert!(index.choose().expect("an image").digest.to_string().starts_with("sha256:666"));
    }

    #[test]
    fn for_which_machines_there_are_images_is_said_once_each_in_order() {
        let index = |platforms: &[[&str; 3]]| {
            let one = |[os, architecture, variant]: &[&str; 3]| {
                let digest = format!("sha256:{}", "0".repeat(64));
                let platform = serde_json::json!({
                    "os": os, "architecture": architecture, "variant": variant,
                });
                serde_json::json!({ "digest": digest, "size": 1, "platform": platform })
            };
            let manifests: Vec<_> = platforms.iter().map(one).collect();
            let json = serde_json::json!({ "manifests": manifests }).to_string();
            parse::<Index>("the index", json.as_bytes()).expect("an index")
        };
        let several = index(&[
            ["linux", "pdp11", ""],
            ["unknown", "unknown", ""],
            ["linux", "arm", "v7"],
            ["linux", "pdp11", ""],
            ["plan9", "\u{1b}[31m", ""],
        ]);
        assert_eq!(several.platforms(), "linux/arm/v7, linux/pdp11, plan9/\\x1b[31m");
        assert_eq!(index(&[["unknown", "unknown", ""]]).platforms(), "none at all");
        assert_eq!(index(&[["", "", ""]]).platforms(), "none at all");
    }
}
