//! Too little of something, and state that is not as it was written.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sandbox::machine::host::Host;
use sandbox::run::state::sweep;
use sandbox::run::{Options, run};
use sandbox::stages::levels::{LEVELS, level};

use crate::common::sets::Set;
use crate::kinds::kill_after;
use crate::{assert_nobody_is_left, assert_swept, in_child, name, planned};

fn sets() -> impl Iterator<Item = Set> {
    LEVELS.iter().map(|one| {
        let mut stages = level(one.name).unwrap();
        stages.retain(|stage| *stage != "cgroups");
        if !stages.contains(&"mnt") {
            stages.push("mnt");
        }
        if !nix::unistd::geteuid().is_root() && !stages.contains(&"user") {
            stages.push("user");
        }
        let args = ["--only".to_owned(), stages.join(",")].to_vec();
        Set { name: format!("level {}", one.name), args }
    })
}

/// However few may be open, it runs or says why not, and nothing is left.
pub(crate) fn few_descriptors() {
    for set in sets() {
        for most in 3..24 {
            in_child(|| {
                nix::sys::prctl::set_child_subreaper(true).unwrap();
                let host = Host::gather();
                let ready = planned(&set, &name(), &host, &["true"]);
                let what = format!("{} with {most} descriptors", set.name);
                let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
                setrlimit(Resource::RLIMIT_NOFILE, most, hard).unwrap();
                let ended = run(&ready.plan, Options::through(&ready.spec));
                setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
                match ended {
                    Ok(ended) => assert_eq!(ended.status, 0, "{what}: nobody said why"),
                    Err(error) => {
                        let words = error.to_string();
                        let limit = ["EMFILE", "Too many open files"];
                        assert!(limit.iter().any(|part| words.contains(part)), "{what}: {words}");
                        assert_eq!(error.exit_code(), 125, "{what}: {words}");
                    }
                }
                assert_nobody_is_left(&what);
                assert_swept(&host, &ready, &what);
            });
        }
    }
}

/// What a killed one left may be damaged: what of it can be understood is taken away all the same.
pub(crate) fn damaged_state() {
    let host = Host::gather();
    for set in sets() {
        let ready = planned(&set, &name(), &host, &["sleep", "61234"]);
        let state = ready.spec.state_dir();
        type Damage = fn(&std::path::Path) -> std::io::Result<()>;
        let damages: [(&str, Damage); 5] = [
            ("no lock", |state| fs::remove_file(state.join("lock"))),
            ("a long lock", |state| fs::write(state.join("lock"), "9".repeat(5000))),
            ("a label that is none", |state| fs::write(state.join("label.json"), "{\"pid\":")),
            ("half a line more", |state| {
                let journal = fs::read(state.join("journal"))?;
                fs::write(state.join("journal"), [&journal, &b"{\"tree\":\"/ho"[..]].concat())
            }),
            ("no text", |state| {
                let journal = fs::read(state.join("journal"))?;
                fs::write(state.join("journal"), [&b"\xff\xfe\n"[..], &journal].concat())
            }),
        ];
        for (what, damage) in damages {
            kill_after(&ready, usize::MAX, what);
            if !state.exists() {
                continue; // a plan that puts nothing on the host
            }
            damage(&state).unwrap();
            let swept = sweep(&host.state_base).unwrap();
            assert_eq!(swept.stayed.len(), usize::from(what == "no text"), "{what}: {swept:?}");
            assert_swept(&host, &ready, what);
        }
    }
}
