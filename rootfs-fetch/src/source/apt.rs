//! The source `apt`: the package busybox-static, through apt-get(8). Nothing is installed, so no
//! privilege is needed. apt downloads; what it brings is checked and unpacked here.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use super::deb;
use crate::error::Error;
use crate::image::digest::{Digest, verify_stream};
use crate::progress::Progress;
use crate::root::{elf, skeleton};
use crate::text::printable;

/// The package.
const PACKAGE: &str = "busybox-static";

/// For how many seconds a server may be silent.
const TIMEOUTS: [&str; 2] = ["Acquire::http::Timeout=30", "Acquire::https::Timeout=30"];

/// A package as apt's own lists, whose signatures apt has checked, describe it.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    /// The name of the file that apt makes.
    file: String,
    size: u64,
    digest: Digest,
}

/// Fills `root`, and `dir` on the way, both empty directories. Returns where it came from, in
/// words.
///
/// # Errors
/// When there is no apt-get, it does not know the package, or cannot download it.
pub(crate) fn fill(root: &Path, dir: &Path, progress: &Progress) -> Result<String, Error> {
    let package = describe(dir)?;
    progress.begin("apt-get downloads busybox-static", None);
    apt(&["apt-get", "-qq", "download", PACKAGE], dir)?;
    let file = dir.join(&package.file);
    check(&file, &package)?;
    let busybox = dir.join("busybox");
    deb::extract_busybox(&file, &busybox)?;
    if let Some(loader) = elf::interpreter(&busybox).map_err(Error::io("read", &busybox))? {
        return Err(usage(format!("apt's {PACKAGE} is not static: it needs {}", loader.display())));
    }
    skeleton::install(&busybox, root)?;
    // In the name of a file, apt writes the colon of a version so.
    Ok(format!("apt's {}", package.file.replace("%3a", ":")))
}

fn usage(problem: String) -> Error {
    Error::Unfit { problem, hint: None }
}

/// What apt would download. Some versions of apt say only an MD5 checksum here: then the lists are
/// asked themselves.
fn describe(dir: &Path) -> Result<Package, Error> {
    let uris = apt(&["apt-get", "-qq", "--print-uris", "download", PACKAGE], dir)?;
    if let Some(package) = parse_uri(&uris) {
        return Ok(package);
    }
    let shown = apt(&["apt-cache", "show", "--no-all-versions", PACKAGE], dir)?;
    parse_show(&uris, &shown).ok_or_else(|| usage(format!("apt does not say what {PACKAGE} is")))
}

/// Reads `'URL' FILE SIZE SHA256:…`.
fn parse_uri(line: &str) -> Option<Package> {
    let [file, size, sum] = uri_fields(line)?;
    let (algorithm, hex) = sum.split_once(':')?;
    let digest = Digest::parse(&format!("{}:{hex}", algorithm.to_lowercase())).ok()?;
    Some(Package { file, size: size.parse().ok()?, digest })
}

fn uri_fields(line: &str) -> Option<[String; 3]> {
    let mut fields = line.lines().last()?.rsplitn(4, ' ').map(str::to_owned);
    let (sum, size, file) = (fields.next()?, fields.next()?, fields.next()?);
    let is_name = !file.is_empty() && !file.contains('/') && file.ends_with(".deb");
    is_name.then_some([file, size, sum])
}

/// Takes the name of the file from the one, and the rest from the other.
fn parse_show(uris: &str, shown: &str) -> Option<Package> {
    let field = |name| shown.lines().find_map(|line: &str| line.strip_prefix(name));
    let [file, ..] = uri_fields(uris)?;
    let digest = Digest::parse(&format!("sha256:{}", field("SHA256: ")?)).ok()?;
    Some(Package { file, size: field("Size: ")?.parse().ok()?, digest })
}

fn check(file: &Path, package: &Package) -> Result<(), Error> {
    let size = fs::metadata(file).map_err(Error::io("find", file))?.len();
    if size != package.size {
        return Err(Error::Mismatch {
            what: format!("the size of {}", package.file),
            expected: format!("{} bytes", package.size),
            got: format!("{size} bytes"),
        });
    }
    let opened = fs::File::open(file).map_err(Error::io("open", file))?;
    verify_stream(Path::new(&package.file), opened, &package.digest)
}

/// Runs a command of apt in `dir`. Returns what it printed.
fn apt(command: &[&str], dir: &Path) -> Result<String, Error> {
    let mut apt = Command::new(command[0]);
    apt.args(TIMEOUTS.iter().flat_map(|option| ["-o", option]));
    if Uid::effective().is_root() {
        // Else apt downloads as the user `_apt`, who cannot write here.
        apt.args(["-o", "APT::Sandbox::User=root"]);
    }
    apt.args(&command[1..]).current_dir(dir).env("LC_ALL", "C").stdin(Stdio::null());
    let output = match apt.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(usage(format!("this machine has no {}", command[0])));
        }
        output => output.map_err(Error::io("run", command[0]))?,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(usage(problem(&errors).unwrap_or_else(|| format!("{} failed", command[0]))))
}

/// The last error that apt reports.
fn problem(errors: &str) -> Option<String> {
    let unknown = [
        "Unable to locate package",
        "Can't find a source",
        "Can't select candidate version",
        "no installation candidate",
        "No packages found",
    ];
    if unknown.iter().any(|words| errors.contains(words)) {
        return Some(format!("apt has no {PACKAGE} in its lists: run `apt update` as root"));
    }
    let last = errors.lines().rev().find_map(|line| line.strip_prefix("E: "))?;
    Some(format!("apt-get: {}", printable(last.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744";

    #[test]
    fn what_apt_says_of_a_package_is_understood() {
        let line = format!("'http://host/x/b_1.35.deb' b_1%3a1.35.deb 928188 SHA256:{SUM}\n");
        let package = parse_uri(&line).expect("a package");
        assert_eq!((&*package.file, package.size), ("b_1%3a1.35.deb", 928_188));
        let old = line.replace(&format!("SHA256:{SUM}"), "MD5Sum:0123");
        assert_eq!(parse_uri(&old), None);
        let shown = format!("Package: b\nSize: 928188\nSHA256: {SUM}\nDescription: x\n");
        assert_eq!(parse_show(&old, &shown), Some(package));
        assert_eq!(parse_uri(&line.replace(" b_1", " ../b_1")), None);
        assert_eq!(parse_uri(""), None);
    }

    #[test]
    fn the_last_error_of_apt_is_the_reason() {
        let errors = "W: x\nE: Failed to fetch a\nE: Unable to fetch\u{1b} b\n";
        assert_eq!(problem(errors).as_deref(), Some("apt-get: Unable to fetch\\x1b b"));
        let unknown = problem("E: Unable to locate package busybox-static\n");
        assert!(unknown.is_some_and(|text| text.contains("apt update")));
        assert_eq!(problem("killed"), None);
    }
}
