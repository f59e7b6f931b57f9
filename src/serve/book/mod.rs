//! The book: its pages, and what its buttons do.

pub(super) mod pages;
pub(super) mod part;
pub(super) mod terminal;
