//! A terminal with somebody at the keyboard.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use super::Who;

/// A terminal with a program on it.
pub struct Terminal {
    pub keyboard: File,
    screen: Arc<Mutex<String>>,
    open: Arc<AtomicBool>,
    pub program: Child,
}

impl Terminal {
    /// `sandbox` with these arguments, as the one program of the terminal's session.
    pub fn start(who: &Who, args: &[&str]) -> Terminal {
        Terminal::with(who, &who.sandbox(args))
    }

    /// An interactive shell: `$SB` is `sandbox`, and the prompt is `> `.
    pub fn shell(who: &Who, words: &[&str]) -> Terminal {
        let mut shell = who.command(words[0]);
        shell.args(&words[1..]).env("SB", who.sandbox(&[]).get_program());
        shell.env("PS1", "> ");
        let mut terminal = Terminal::with(who, &shell);
        terminal.shows("> ");
        terminal
    }

    fn with(who: &Who, wanted: &Command) -> Terminal {
        // No other test's child may hold it.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        unlockpt(&keyboard).unwrap();
        let slave = File::from(ioctl_tiocgptpeer(&keyboard, flags).unwrap());
        let keyboard = File::from(keyboard);
        // setsid(1) makes the terminal the controlling one.
        let mut program = who.command("/usr/bin/setsid");
        // Who started the tests may have told everybody to ignore some.
        program.args(["--ctty", "--wait", "env", "--default-signal=HUP,INT,QUIT,TSTP,TTIN,TTOU"]);
        program.arg(wanted.get_program()).args(wanted.get_args());
        program.envs(wanted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        program.env("TERM", "xterm").stdin(slave.try_clone().unwrap());
        program.stdout(slave.try_clone().unwrap()).stderr(slave);
        let program = program.spawn().unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        let open = Arc::new(AtomicBool::new(true));
        let still_open = open.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while still_open.load(Ordering::SeqCst) {
                let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
                if poll(&mut fds, 20u16) == Ok(0) {
                    continue;
                }
                let Ok(n @ 1..) = output.read(&mut bytes) else { break };
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Terminal { keyboard, screen, open, program }
    }

    #[track_caller]
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows `text`, and clears it.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        self.before(text);
    }

    /// As `shows`, with what was on the screen before it.
    #[track_caller]
    pub fn before(&mut self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            let mut screen = self.screen.lock().unwrap();
            if let Some(at) = screen.find(text) {
                let before = screen[..at].to_owned();
                screen.drain(..at + text.len());
                return before;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "no `{text}` on:\n{screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes the window. The program that is on it hears of that, and of nothing else.
    pub fn hang_up(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        self.keyboard = File::open("/dev/null").unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
