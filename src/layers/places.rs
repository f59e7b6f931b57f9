//! Where volumes are mounted, and in which order.

use super::view::View;
use super::volume::Volume;
use crate::error::Error;

/// Where links lead, the outermost place first. A link can be in another volume, and that one lie behind
/// a link too; so it is looked again, with all others where they were found, until none has moved.
///
/// # Errors
/// [`Error::Usage`] for links that lead nowhere, and for two volumes at one place.
pub fn places(
    told: &[Volume],
    files: &View,
    laid_out: &dyn Fn(&[Volume]) -> View,
) -> Result<Vec<Volume>, Error> {
    let mut found = told.to_vec();
    for volume in &mut found {
        // What leads nowhere in the files may lead somewhere in a volume.
        let _ = volume.find_target(files);
    }
    for _ in 0..=2 * told.len() {
        let mut sorted = found.clone();
        sorted.sort_by_key(|volume| {
            let depth = volume.target.components().count();
            (depth, volume.target.clone(), volume.source.clone())
        });
        let mut view = laid_out(&found);
        sorted.iter().for_each(|volume| view.add(volume.mounted(), &[]));
        let mut wrong = Ok(());
        let mut again = found.clone();
        for ((told, found), again) in told.iter().zip(&found).zip(&mut again) {
            again.target.clone_from(&told.target);
            if let Err(error) = again.find_target(&view.without(&found.target)) {
                again.target.clone_from(&found.target);
                wrong = wrong.and(Err(error));
            }
        }
        if again == found {
            wrong?;
            refuse_twice(&sorted)?;
            return Ok(sorted);
        }
        found = again;
    }
    Err(Error::usage(
        "links in the volumes lead from one to another without end",
        "name their real places in the root",
    ))
}

fn refuse_twice(sorted: &[Volume]) -> Result<(), Error> {
    match sorted.windows(2).find(|two| two[0].target == two[1].target) {
        Some(two) => Err(Error::usage(
            format!("two things are to be mounted at `{}`", two[0].target.display()),
            "leave one out, or name another place",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::layers::Mounted;

    /// A root and two directories of the host, with links among their directories.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new(links: &[(&str, &str)]) -> Host {
            let dir = tempfile::tempdir().unwrap();
            for path in ["root/a/b", "root/c", "one/a/b", "one/c", "two/b"] {
                fs::create_dir_all(dir.path().join(path)).unwrap();
            }
            for (to, at) in links {
                // What is there already is in the way.
                let _ = symlink(to, dir.path().join(at));
            }
            Host(dir)
        }

        /// Where what is mounted.
        fn places(&self, volumes: &[(&str, &str)]) -> Result<Vec<(PathBuf, PathBuf)>, String> {
            let files = View::of(Mounted {
                at: "/".into(),
                layers: vec![self.0.path().join("root")],
                is_file: false,
                writable: true,
            });
            let volume = |(source, target): &(&str, &str)| Volume {
                source: Some(self.0.path().join(source)),
                target: target.into(),
                ..Volume::default()
            };
            let told: Vec<Volume> = volumes.iter().map(volume).collect();
            let found = places(&told, &files, &|_| files.clone());
            let found = found.map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|v| (v.target, v.source.unwrap_or_default())).collect())
        }
    }

    #[test]
    fn a_volume_behind_a_link_in_another_is_mounted_before_what_lies_in_it() {
        let host = Host::new(&[("/z", "one/l")]);
        let told = [("one", "/m"), ("two", "/m/l/x"), ("one/c", "/z/x/y")];
        let places = host.places(&told).unwrap();
        let targets: Vec<_> = places.iter().map(|(target, _)| target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/m", "/z/x", "/z/x/y"]);
        assert_eq!(host.places(&[told[2], told[1], told[0]]).unwrap(), places);
    }

    #[test]
    fn a_way_through_a_file_is_no_place_unless_a_volume_lies_over_it() {
        let host = Host::new(&[]);
        fs::write(host.0.path().join("root/a/file"), "").unwrap();
        fs::create_dir(host.0.path().join("one/file")).unwrap();
        let inner = ("two", "/a/file/x");
        let error = host.places(&[inner]).unwrap_err();
        assert!(error.contains("`/a/file/x` leads through a file"), "{error}");
        assert_eq!(host.places(&[inner, ("one", "/a")]).unwrap().len(), 2);
    }

    fn link() -> impl Strategy<Value = (&'static str, &'static str)> {
        let to = ["/", "/a", "/c", "/a/b", "/l", "/k/x", "..", "l", "../k", "b", "/m/l"];
        let at = ["root/l", "root/k", "root/a/l", "one/l", "one/k", "one/a/k", "two/l", "two/b/k"];
        (prop::sample::select(to.to_vec()), prop::sample::select(at.to_vec()))
    }

    fn volumes() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let targets = [
            "/a", "/a/b", "/c", "/m", "/m/l", "/m/l/x", "/m/a/k", "/l", "/l/k", "/k", "/k/l/x",
            "/a/l", "/a/b/x/y", "/c/x", "/dev", "/dev/x",
        ];
        let sources = prop::sample::select(vec!["one", "two", "one/a"]);
        prop::collection::vec((sources, prop::sample::select(targets.to_vec())), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn volumes_are_mounted_outermost_first_wherever_they_are_told(
            links in prop::collection::vec(link(), 0..6),
            (told, mixed) in volumes().prop_flat_map(|told| {
                (Just(told.clone()), Just(told).prop_shuffle())
            }),
        ) {
            let host = Host::new(&links);
            // Which error is told first may depend on the order.
            let places = host.places(&told).ok();
            prop_assert_eq!(&places, &host.places(&mixed).ok());
            let targets: Vec<PathBuf> = places.into_iter().flatten().map(|(at, _)| at).collect();
            for (i, target) in targets.iter().enumerate() {
                // Two at one place would be one in the other.
                let inner = targets[..i].iter().find(|before| before.starts_with(target));
                prop_assert_eq!(inner, None, "before {:?}: {:?}", target, &targets);
            }
        }
    }
}
