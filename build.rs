//! Builds the book, which `sandbox book` serves.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "book")]
    book();
}

#[cfg(feature = "book")]
fn book() {
    use std::path::PathBuf;

    // What pages include is in these.
    for dir in ["book", "lessons", "src"] {
        println!("cargo:rerun-if-changed={dir}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a directory"));
    let mut book = mdbook_driver::MDBook::load("book").expect("the book can be read");
    book.config.build.build_dir = out.join("book");
    book.build().expect("the book can be built");
}
