//! Builds the program that is process 1 with `--init`, and the book, which `sandbox book` serves.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    init();
    #[cfg(feature = "book")]
    book();
}

fn out() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a directory"))
}

/// A program of a few kilobytes without any library, which `sandbox` carries along. For machines whose
/// way to make a system call is not written there, an empty file.
fn init() {
    println!("cargo:rerun-if-changed=init");
    let (program, variable) = (out().join("init"), |name| env::var(name).expect("cargo sets it"));
    if !["x86_64", "aarch64", "riscv64"].contains(&variable("CARGO_CFG_TARGET_ARCH").as_str()) {
        fs::write(program, "").expect("a file can be written");
        return;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2024", "--crate-name=init", "--target", &variable("TARGET")]);
    rustc.args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "-Crelocation-model=static"]);
    rustc.arg("-Clink-args=-nostartfiles -nostdlib -static");
    if variable("CARGO_CFG_TARGET_ENV") == "musl" {
        rustc.arg("-Clink-self-contained=no");
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let built = rustc.arg("-o").arg(program).arg("init/main.rs").status();
    assert!(built.is_ok_and(|status| status.success()), "init/main.rs can be built");
}

#[cfg(feature = "book")]
fn book() {
    // What pages include is in these.
    for dir in ["book", "lessons", "src"] {
        println!("cargo:rerun-if-changed={dir}");
    }
    let mut book = mdbook_driver::MDBook::load("book").expect("the book can be read");
    book.config.build.build_dir = out().join("book");
    book.build().expect("the book can be built");
}
