//! Subordinate ids: which are mapped, and what belongs to them.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Ran, Who, as_root, as_user, has};
use crate::{TURN, layers, names};

/// Runs a script as the user, who has these subordinate ids in here.
fn with_ids(who: &Who, subuid: &str, subgid: &str, script: &str) -> Ran {
    let files =
        [("passwd", format!("root:x:0:0::/root:/bin/sh\nlearner:x:{0}:{0}::/:/bin/sh\n", who.uid))];
    let files = files.into_iter().chain([("subuid", subuid.into()), ("subgid", subgid.into())]);
    let mut outside = String::from("set -e; ");
    for (file, text) in files {
        let path = who.home().join(file);
        fs::write(&path, text).unwrap();
        outside += &format!("mount --bind {} /etc/{file}; ", path.display());
    }
    let inside = "exec setpriv --reuid $1 --regid $1 --clear-groups sh -c \"$2\" \"$0\"";
    let mut unshare = Command::new("/usr/bin/unshare");
    unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    unshare.env("HOME", who.home()).env("XDG_RUNTIME_DIR", who.home().join("run"));
    unshare.args(["--mount", "sh", "-c", &format!("{outside}{inside}")]);
    unshare.arg(who.sandbox(&[]).get_program()).arg(who.uid.to_string()).arg(script);
    Ran::of(unshare.stdin(Stdio::null()), script.to_owned())
}

fn with_uidmap(test: &str, act: impl Fn(&Who)) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    as_root(test, |_| {
        as_user(test, |who| {
            if has(test, "newuidmap") {
                who.run(&["rootfs", "fetch"]).succeeds();
                act(who);
            }
        });
    });
}

#[test]
fn all_ranges_of_a_user_are_mapped_by_name_and_by_number_and_lines_that_are_none_are_not() {
    with_uidmap("ranges", |who| {
        let (uid, maps) =
            (who.uid, "\"$0\" run --map-auto -- cat /proc/self/uid_map /proc/self/gid_map");
        let broken = "# ids\n\nlearner:x:3\nlearner:5\nlearner:7:0\nother:200000:9\n";
        let both = format!("{broken}learner:100000:1000\n{uid}:300000:500\nlearner:100000:1000\n");
        let ran = with_ids(who, &both, &format!("{uid}:400000:50\n"), maps).succeeds();
        let lines: Vec<Vec<&str>> =
            ran.lines().map(|line| line.split_whitespace().collect()).collect();
        let own = uid.to_string();
        let expected: &[&[&str]] = &[
            &["0", &own, "1"],
            &["1", "100000", "1000"],
            &["1001", "300000", "500"],
            &["0", &own, "1"],
            &["1", "400000", "50"],
        ];
        assert_eq!(lines, expected);
        with_ids(who, broken, broken, maps).ends_with(125).complains(&["no subordinate ids"]);
    });
}

#[test]
fn what_belongs_to_a_subordinate_id_is_told_committed_and_removed() {
    with_uidmap("files of subordinate ids", |who| {
        let ids = "learner:100000:65536\n";
        let run = |script: &str| with_ids(who, ids, ids, script);
        let make = "mkdir -m 700 /b && echo x > /b/x && chown -R 5:5 /b";
        let union = "\"$0\" run --level union --map-auto";
        run(&format!("{union} -- sh -c '{make}' && \"$0\" run -- echo next")).succeeds();
        assert_eq!(names(&layers(who)), Vec::<String>::new());
        run(&format!("{union} --keep k -- sh -c '{make}'")).succeeds();
        assert_eq!(run("\"$0\" diff k").succeeds(), "A /b\nA /b/x\n");
        assert!(run("\"$0\" layers k").succeeds().contains("/b/x"));
        run("\"$0\" commit k image").succeeds();
        let image = "--level union --map-auto --rootfs image -- stat -c '%u %a %n' /b /b/x";
        let shown = run(&format!("\"$0\" run {image}")).succeeds();
        assert_eq!(shown, "5 700 /b\n5 644 /b/x\n");
        let tar = "tar -tvf $HOME/.local/share/sandbox/rootfs/image/layer.tar --numeric-owner";
        assert!(run(tar).succeeds().contains("5/5"), "the archive does not say whose they are");
        run("\"$0\" rootfs remove image && \"$0\" layers k --remove").succeeds();
        assert_eq!(names(&layers(who)), Vec::<String>::new());
        assert_eq!(names(&who.home().join(".local/share/sandbox/rootfs")), ["busybox"]);
        // Killed, and somebody has to take it away who is none of them.
        let killed = format!(
            "{union} --name killed -- sh -c '{make}; exec sleep 6131' & \
            until \"$0\" ps | grep -q sleep && \"$0\" exec killed -- test -e /b/x; do sleep 0.05; done; \
            kill -9 $!; \"$0\" clean"
        );
        assert!(run(&killed).succeeds().contains("killed"));
        assert_eq!(names(&layers(who)), Vec::<String>::new());
    });
}

#[test]
fn who_has_no_id_here_or_stands_in_a_chroot_is_told_so() {
    as_root("no user namespaces", |_| {
        as_user("no user namespaces", |who| {
            who.run(&["rootfs", "fetch"]).succeeds();
            let sandbox = who.sandbox(&[]);
            let run = |command: &mut Command| {
                command.arg(sandbox.get_program()).args(["run", "--", "true"]);
                Ran::of(command, "run".to_owned()).ends_with(125)
            };
            let unmapped = run(who.command("/usr/bin/unshare").arg("--user"));
            assert!(unmapped.said().contains("map"), "{}", unmapped.stderr);
            let script = "mkdir $1/chroot && mount --rbind / $1/chroot && mount -t tmpfs none $1/run && \
                chmod 777 $1/chroot/$1/run && exec chroot --userspec=$2:$2 $1/chroot \"$3\" run -- true";
            let mut chroot = Command::new("/usr/bin/unshare");
            chroot.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
            chroot.env("HOME", who.home()).env("XDG_RUNTIME_DIR", who.home().join("run"));
            chroot.args(["--mount", "sh", "-c", script, "sh"]).arg(who.home());
            chroot.arg(who.uid.to_string()).arg(sandbox.get_program());
            let ran = Ran::of(&mut chroot, "in a chroot".to_owned()).ends_with(125);
            assert!(
                ran.said().contains("EPERM") && ran.said().contains("a chroot"),
                "{}",
                ran.stderr
            );
        });
    });
}
