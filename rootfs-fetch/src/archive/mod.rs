//! Trees and archives: unpacking, packing, removing, without ever leaving the tree.

pub(crate) mod compression;
pub(crate) mod entry;
pub(crate) mod header;
pub(crate) mod held;
pub(crate) mod holes;
pub(crate) mod limits;
pub(crate) mod meter;
pub(crate) mod overlay;
pub(crate) mod pack;
pub(crate) mod pax;
pub(crate) mod reader;
pub(crate) mod remove;
pub(crate) mod settle;
pub(crate) mod sparse;
pub(crate) mod tree;
pub(crate) mod unpack;
pub(crate) mod upper;
