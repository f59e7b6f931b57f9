//! Whose terminal a command has: in the job-control shells that people start `sandbox` from.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::terminal::Terminal;
use common::{Who, everybody, has, skip};

const BASH: &[&str] = &["bash", "--norc", "--noprofile", "--noediting", "-i"];
const DASH: &[&str] = &["dash", "-i"];

/// Runs a test as everybody, from each shell that is there.
fn from_shells(test: &str, act: impl Fn(&Who, &mut Terminal)) {
    for shell in [BASH, DASH] {
        if has(test, shell[0]) {
            everybody(&format!("{test}, from {}", shell[0]), |who| {
                who.run(&["run", "--", "true"]).succeeds(); // the rootfs is there from here on
                act(who, &mut Terminal::shell(who, shell));
            });
        }
    }
}

/// Types `$3` on each terminal that it can find, as TIOCSTI of ioctl_tty(2) does.
const TYPE: &str = r#"
    open my $own, '+<', '/dev/tty';
    for my $fd (*STDIN, *STDOUT, *STDERR, $own, map { open(my $f, '+<&=', $_); $f } 3 .. 20) {
        for (split //, "touch $ARGV[0]\n") { my $c = $_; $fd and ioctl($fd, 0x5412, $c) }
    }
"#;

#[test]
fn no_command_types_into_the_shell_that_started_it() {
    let test = "typing into the caller's shell";
    let legacy = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    if legacy.is_ok_and(|on| on.trim() == "0") {
        return skip(test, "this kernel lets nobody do that");
    }
    if !has(test, "perl") {
        return;
    }
    from_shells(test, |who, terminal| {
        let (probe, sign) = (who.home().join("type.pl"), who.home().join("typed"));
        fs::write(&probe, TYPE).unwrap();
        let perl = format!("perl {} {}", probe.display(), sign.display());
        let host = format!("$SB run --level host -- {perl}");
        let uts = format!("$SB run --only uts -- {perl}");
        let ways = [
            host.clone(),
            uts,
            format!("{host} </dev/null"),
            format!("{host} >/dev/null"),
            format!("{host} 2>/dev/null"),
            format!("{host} </dev/null >/dev/null 2>&1"),
            format!("{host} </dev/null >/dev/null 2>&1 5</dev/tty"),
            format!("{host} | cat"),
            format!("echo | {host}"),
            format!("echo | {host} 2>&1 | cat"),
            format!("$SB shell --level host -e SHELL=/bin/sh <{}", who.home().join("in").display()),
        ];
        fs::write(who.home().join("in"), format!("{perl}\n")).unwrap();
        for way in ways {
            terminal.types(&format!("{way}; echo do''ne\n"));
            terminal.shows("done");
            terminal.types("echo no''thing\n");
            terminal.shows("nothing");
            assert!(!sign.exists(), "{}: {way}", who.name);
        }
        // That it could be done, and what `inherit` means, is shown too.
        terminal.types(&format!("$SB run --tty inherit --level host -- {perl}; echo do''ne\n"));
        terminal.shows("TIOCSTI");
        terminal.shows("done");
        terminal.types("echo mo''re\n");
        terminal.shows("more");
        assert!(sign.exists(), "{}: nothing was typed", who.name);
    });
}

#[test]
fn what_is_typed_and_printed_arrives_whatever_of_it_is_a_terminal() {
    from_shells("a terminal and pipes", |who, terminal| {
        let file = who.home().join("typed");
        let file = file.display();
        let lines = terminal_lines(terminal, "echo x | $SB run -- cat");
        assert_eq!(lines, "x\r\n");
        let lines = terminal_lines(terminal, "$SB run -- sh -c 'echo a; echo b >&2' >/dev/null");
        assert_eq!(lines, "b\r\n");
        let lines = terminal_lines(terminal, "$SB run -- echo out 2>/dev/null");
        assert_eq!(lines, "out\r\n");
        let lines = terminal_lines(terminal, "$SB run -- echo out | cat");
        assert_eq!(lines, "out\r\n");

        terminal.types(&format!("$SB run -- sh -c 'echo be\"\"gun >&2; cat' >{file}; echo $?\n"));
        terminal.shows("begun");
        terminal.types("a line\n\x04");
        terminal.shows("0\r\n");
        assert_eq!(fs::read_to_string(who.home().join("typed")).unwrap(), "a line\n");

        // It does not take the keys of who needs them.
        terminal.types(
            "$SB run -- sh -c 'sleep 2; echo late' | { read k </dev/tty; echo \"got $k\"; cat; }\n",
        );
        std::thread::sleep(Duration::from_millis(500));
        terminal.types("key\n");
        terminal.shows("got key");
        terminal.shows("late");
    });
}

/// What a command line prints, without its echo and the prompt.
fn terminal_lines(terminal: &mut Terminal, line: &str) -> String {
    terminal.types(&format!("{line}; echo do''ne\n"));
    terminal.shows("do''ne\r\n");
    terminal.before("done")
}

#[test]
fn nothing_that_was_printed_is_lost_and_the_status_is_the_commands() {
    from_shells("a long output", |_, terminal| {
        let lines = terminal_lines(terminal, "$SB run -- sh -c 'seq 30000; exit 7'; echo $?");
        assert!(lines.ends_with("\r\n29999\r\n30000\r\n7\r\n"), "{}", &lines[lines.len() - 60..]);
        assert_eq!(lines.lines().count(), 30001);

        // Who stays behind keeps nobody waiting.
        let begin = Instant::now();
        terminal.types(
            "$SB run --level host -- sh -c 'sleep 1000 & echo le\"\"ft'; echo st''atus $?\n",
        );
        terminal.shows("left");
        terminal.shows("status 0");
        assert!(begin.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn keys_are_the_commands_and_the_terminal_is_afterwards_as_before() {
    from_shells("keys", |who, terminal| {
        let before = terminal_lines(terminal, "stty -g");
        let trap =
            "trap \"echo in''terrupted; exit 3\" INT; echo be\"\"gun; while :; do sleep 0.1; done";
        terminal.types(&format!("$SB run -- sh -c '{trap}'; echo st''atus $?\n"));
        terminal.shows("begun");
        terminal.types("\x03");
        terminal.shows("interrupted");
        terminal.shows("status 3");

        terminal.types("$SB run -- sh -c 'echo be\"\"gun; cat'; echo st''atus $?\n");
        terminal.shows("begun");
        terminal.types("\x04");
        terminal.shows("status 0");

        let name = format!("tty-{}", who.name);
        terminal.types(&format!(
            "$SB run --name {name} -- sh -c 'stty raw; echo be\"\"gun; cat' & sb=$!; fg\n"
        ));
        terminal.shows("begun");
        let children = std::process::Command::new("pgrep")
            .args(["-f", &format!("^[^ ]*sandbox run --name {name}")])
            .output();
        let first = String::from_utf8(children.unwrap().stdout).unwrap();
        let first = first.lines().next().unwrap().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::SIGTERM)
            .unwrap();
        terminal.shows("> ");
        assert_eq!(terminal_lines(terminal, "stty -g"), before);
        who.assert_gone(&name);
    });
}

#[test]
fn a_command_stops_and_goes_on_as_a_job_of_the_shell() {
    from_shells("job control", |_, terminal| {
        // As process 1 it is stopped by nothing that the terminal sends.
        for stages in ["--level namespaces", "--only uts"] {
            let counts = "echo be\"\"gun; while read line; do echo \"got $line\"; done; exit 5";
            terminal.types(&format!("$SB run {stages} -- sh -c '{counts}'; echo st''atus $?\n"));
            terminal.shows("begun");
            terminal.types("\x1a");
            terminal.shows("topped");
            terminal.types("stty -a | grep -o ' icanon'\n");
            terminal.shows("\n icanon");
            terminal.types("fg\n");
            terminal.shows(" run --");
            terminal.types("one\n");
            terminal.shows("got one");
            terminal.types("\x04");
            terminal.shows("> ");
        }
    });
}

#[test]
fn in_the_background_a_command_prints_and_stops_when_it_reads() {
    from_shells("the background", |_, terminal| {
        terminal.types("$SB run -- sh -c 'sleep 1; echo he\"\"ard' &\n");
        terminal.shows("heard");
        terminal.types("wait; echo do''ne\n");
        terminal.shows("done");

        for stages in ["--level namespaces", "--only uts"] {
            terminal.types(&format!("$SB run {stages} -- sh -c 'echo \"got $(head -n 1)\"' &\n"));
            std::thread::sleep(Duration::from_secs(1));
            terminal.types("jobs\n");
            terminal.shows("topped");
            terminal.types("fg\n");
            terminal.shows(" run --");
            terminal.types("it\n");
            terminal.shows("got it");
            terminal.shows("> ");
        }
    });
}

#[test]
fn a_terminal_that_hangs_up_ends_the_sandbox() {
    everybody("hanging up", |who| {
        let name = format!("hang-up-{}", who.name);
        let args = ["shell", "--name", &name, "--hostname", "inside"];
        let mut terminal = Terminal::start(who, &args);
        terminal.shows("@inside:");
        terminal.types("sleep 1000\n");
        assert!(who.state().join(&name).exists());
        terminal.hang_up();
        let begin = Instant::now();
        while who.state().join(&name).exists() {
            assert!(begin.elapsed() < Duration::from_secs(10), "{}: it is still there", who.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn after_a_shell_inside_the_next_key_is_the_callers_again() {
    for tty in ["own", "inherit"] {
        from_shells(&format!("the key after a shell, --tty {tty}"), |who, terminal| {
            let lesson = format!("$SB --color never lesson 2.pid --tty {tty}; echo st''atus $?\n");
            terminal.types(&lesson);
            terminal.shows("\r\n  > ");
            terminal.types("1\n");
            for (key, note, prompt) in [("s", "a shell in", "> "), ("t", "stand-in host", "# ")] {
                terminal.shows("q quit > ");
                terminal.types(&format!("{key}\n"));
                terminal.shows(note);
                terminal.shows(prompt);
                terminal.types("exit\n");
            }
            terminal.shows("q quit > ");
            terminal.types("\n");
            terminal.shows("status 0");

            let script = who.home().join("script.sh");
            let text = format!(
                "$SB shell --tty {tty} --hostname inside\necho ne''xt; read x; echo \"read $x\"\n"
            );
            fs::write(&script, text).unwrap();
            terminal.types(&format!("sh {}\n", script.display()));
            terminal.shows("@inside:");
            terminal.types("exit\n");
            terminal.shows("next");
            terminal.types("it\n");
            terminal.shows("read it");

            terminal.types("$SB run --name tty-outer -- sleep 1000 & sleep 1\n");
            terminal.types(&format!("$SB exec --tty {tty} tty-outer sh -i; echo st''atus $?\n"));
            terminal.shows("# ");
            terminal.types("exit 4\n");
            terminal.shows("status 4");
            terminal.types("$SB kill tty-outer; wait; echo do''ne\n");
            terminal.shows("done");
        });
    }
}
