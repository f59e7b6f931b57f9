//! Keeping what a container wrote, as a layer over the rootfs that it had.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::change::Existing;
use super::{About, Rootfs, Store};
use crate::archive::holes::Holes;
use crate::archive::upper::{copy, write_tar};
use crate::error::Error;

impl Store {
    /// Makes a layered rootfs: what `upper` changed, over `base`.
    ///
    /// # Errors
    /// When the name is taken or cannot be one, or when something cannot be read or written; then
    /// nothing of it is left.
    pub fn commit(&self, name: &str, base: &str, upper: &Path) -> Result<Rootfs, Error> {
        self.make_dir(name, Existing::Refuse, |new| {
            self.expect(base)?;
            // What root of a container made with a set-user-ID bit is nothing for others here.
            let closed = fs::Permissions::from_mode(0o700);
            fs::set_permissions(new, closed).map_err(Error::io("set the mode of", new))?;
            copy(upper, &new.join("layer")).map_err(Error::io("copy the layer", upper))?;
            let file = new.join("layer.tar");
            let out = File::create(&file).map_err(Error::io("write", &file))?;
            let mut holes = Holes::new(&out);
            let written = write_tar(upper, &mut holes).and_then(|()| holes.finish());
            written.map_err(Error::io("write", &file))?;
            Ok(About { source: format!("a layer over {base}"), base: Some(base.to_owned()) })
        })
    }
}
