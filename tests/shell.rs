//! `sandbox shell` on a terminal: job control, the window's size, an orderly end.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use common::terminal::Terminal;
use common::{everybody, has};
use rustix::termios::{Winsize, tcsetwinsize};

#[test]
fn a_shell_inside_has_job_control_sees_the_window_and_exits_cleanly() {
    if !has("a shell on a terminal", "setsid") {
        return;
    }
    everybody("shell on a terminal", |who| {
        let name = format!("shell-{}", who.name);
        let args = ["shell", "--level", "namespaces", "--name", &name, "--hostname", "inside"];
        let mut terminal = Terminal::start(who, &args);
        terminal.shows("@inside:");

        // The job itself says so: a key that comes before it would be the shell's.
        terminal.types("sh -c 'echo be\"\"gun; exec sleep 1000'\n");
        terminal.shows("begun");
        terminal.types("\x03");
        terminal.types("echo co''de $?\n");
        terminal.shows("code 130");

        // The job itself says so: a key that comes before it would be the shell's.
        terminal.types("sh -c 'echo be\"\"gun; exec sleep 1000'\n");
        terminal.shows("begun");
        terminal.types("\x1a");
        terminal.shows("Stopped");
        terminal.types("kill -9 %1; wait; echo go''ne\n");
        terminal.shows("gone");

        let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal.keyboard, size).unwrap();
        terminal.types("stty size\n");
        terminal.shows("33 99");

        terminal.types("exit 5\n");
        assert_eq!(terminal.program.wait().unwrap().code(), Some(5));
        who.assert_gone(&name);
    });
}

#[test]
fn a_lesson_on_a_terminal_asks_first_and_grades_the_answer() {
    if !has("a lesson on a terminal", "setsid") {
        return;
    }
    everybody("lesson on a terminal", |who| {
        let mut terminal = Terminal::start(who, &["--color", "never", "lesson", "1.2"]);
        terminal.shows("3  both");
        terminal.shows("> ");
        terminal.types("1\n");
        terminal.shows("You said 1: not so.");
        terminal.shows("It was 2");
        terminal.shows("q quit > ");
        terminal.types("s\n");
        terminal.shows(":/# ");
        terminal.types("ls /bin/busy''box; exit\n");
        terminal.shows("/bin/busybox");
        terminal.shows("q quit > ");
        terminal.types("t\n");
        terminal.shows("stand-in host");
        terminal.types("cat /proc/1/root/etc/sec''ret; exit\n");
        terminal.shows("the stand-in host's secret");
        terminal.shows("q quit > ");
        terminal.types("\n");
        terminal.shows("3 claims held, 0 failed");
        assert_eq!(terminal.program.wait().unwrap().code(), Some(0));
    });
}
