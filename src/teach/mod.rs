//! Lessons: what they say, and finding out whether it is so.

pub mod attacks;
pub mod cost;
pub mod examine;
pub mod lesson;
pub mod lint;
pub mod matrix;
pub(crate) mod names;
pub mod probe;
pub mod progress;
pub mod stand_in;
