//! Lessons: what they say, and finding out whether it is so.

pub mod attacks;
pub mod cost;
pub mod examine;
pub mod lab;
pub mod lesson;
mod lint;
pub mod matrix;
mod names;
pub mod pair;
pub mod probe;
pub mod progress;
pub mod read;
pub mod report;
pub mod stand_in;
