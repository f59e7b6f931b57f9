//! Images, as the OCI image specification has them, wherever they come from.

pub(crate) mod digest;
pub(crate) mod layers;
pub(crate) mod oci;
pub(crate) mod platform;
