//! The source `registry`: an image from an OCI registry. A manifest, by tag or digest, lists the
//! layers, and each of them has a digest too; see the OCI distribution specification.

use std::path::Path;

use crate::archive::limits::Means;
use crate::error::Error;
use crate::image::layers::unpack_layers;
use crate::registry::reference::Reference;
use crate::registry::repository::Repository;
use crate::root::skeleton;

/// Fills `root` with an image, and `dir` with its layers, both empty directories. Returns where it
/// came from, in words.
///
/// # Errors
/// When the name of the image is wrong, the registry cannot be reached or refuses, or something is
/// not what its digest says.
pub(crate) fn fill(
    image: &str,
    plain_http: bool,
    root: &Path,
    dir: &Path,
    means: &Means,
) -> Result<String, Error> {
    let reference = Reference::parse(image)?;
    let repository = Repository::new(&reference, plain_http);
    means.progress.begin(&format!("asking {}", reference.server()), None);
    let manifest = repository.image(&reference)?;
    let layers = repository.layers(&manifest, dir, means)?;
    unpack_layers(&layers, root, means)?;
    skeleton::complete(root)?;
    Ok(format!("the image {reference}"))
}
