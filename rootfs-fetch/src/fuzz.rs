//! What reads bytes that others wrote, for the fuzz targets in fuzz/.

use std::fs;
use std::io::Cursor;

use crate::archive::limits::Limits;
use crate::archive::unpack::Unpacker;
use crate::image::oci;
use crate::mounts;
use crate::registry::reference::Reference;
use crate::source::deb as package;

/// A layer, unpacked below a directory: nothing beside it may change.
pub fn archive(input: &[u8]) {
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("root");
    fs::create_dir(&root).expect("a directory in an empty one");
    let limits = Limits { bytes: 1 << 20, entries: 1000 };
    let mut unpacker = Unpacker::new(&root, limits).expect("an empty root");
    let unpacked = unpacker.layer(Cursor::new(input));
    let _ = unpacked.and_then(|()| unpacker.finish());
    let beside = fs::read_dir(place.path()).expect("the directory").count();
    assert_eq!(beside, 1, "something is beside the root");
    crate::archive::remove::remove(&root).expect("all that was unpacked can be removed");
}

/// The package that busybox comes in.
pub fn deb(input: &[u8]) {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("package.deb");
    fs::write(&file, input).expect("a file");
    let _ = package::extract_busybox(&file, &place.path().join("busybox"));
}

/// What a registry says about an image.
pub fn image(input: &[u8]) {
    if let Ok(index) = oci::parse::<oci::Index>("the index", input) {
        let _ = (index.choose(), index.platforms());
    }
    if let Ok(manifest) = oci::parse::<oci::Manifest>("the manifest", input) {
        let _ = manifest.check();
    }
    if let Ok(config) = oci::parse::<oci::Config>("the config", input) {
        let _ = config.check();
    }
}

/// The header with which a registry asks for a password or a token.
pub fn challenge(input: &[u8]) {
    crate::registry::auth::addresses(input);
}

/// The mount table, /proc/self/mountinfo.
pub fn mounts(input: &[u8]) {
    let _ = mounts::parse(input);
}

/// The name of an image, as it is typed.
pub fn reference(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(reference) = Reference::parse(&text) {
        let again = Reference::parse(&reference.to_string()).expect("what is printed can be read");
        assert_eq!(again, reference);
    }
}
