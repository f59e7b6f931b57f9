//! The command line: one short file for each subcommand.

#[cfg(feature = "book")]
mod book;
mod clean;
mod compare;
mod completions;
mod control;
mod doctor;
mod explain;
mod global;
mod inspect;
mod lab;
mod layers;
mod lesson;
mod man;
mod plan;
mod rootfs;
mod run;
mod shell;
mod stages;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use crate::error::Error;
use crate::machine::caller;
use crate::show;
use global::{Global, When};

#[derive(Parser)]
#[command(
    name = "sandbox",
    version,
    about = "Build a container by hand, one isolation layer at a time",
    long_about = "Build a container by hand, one isolation layer at a time, and watch on your own \
                  kernel what each layer changes.\n\nMade for learning: see `sandbox explain` for \
                  what each layer leaks before you trust one with anything.",
    after_help = "Begin with `sandbox lesson 1`. `sandbox doctor` tells what this machine allows.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(defer = true)] // only the one that is called is built
enum Command {
    /// Work through a lesson; without a number, list them
    Lesson(lesson::LessonArgs),
    /// Run a command under the chosen stages
    Run(run::RunArgs),
    /// Open a shell under the chosen stages
    Shell(shell::ShellArgs),
    /// Read the book of the lessons, with commands that run, in a browser
    #[cfg(feature = "book")]
    Book(book::BookArgs),
    /// Put two isolation levels side by side
    Compare(compare::CompareArgs),
    /// Measure what each stage hides on this machine
    Matrix,
    /// Show what would be done, and why
    Plan(plan::PlanArgs),
    /// Explain a stage: what it isolates, what it leaks, where to read on
    Explain(explain::ExplainArgs),
    /// List the sandboxes that run
    Ps,
    /// Look at a running sandbox, or at any process: namespaces, cgroup, mounts, capabilities
    Inspect(inspect::InspectArgs),
    /// Run a command inside of a running sandbox
    Exec(inspect::ExecArgs),
    /// Show what running sandboxes use: CPU, memory, processes, disks
    Stats(control::StatsArgs),
    /// Stop all processes of a running sandbox, until `resume`
    Pause(control::NameArgs),
    /// Let a paused sandbox go on
    Resume(control::NameArgs),
    /// End a running sandbox, or send it a signal
    Kill(control::KillArgs),
    /// Change the limits of a running sandbox
    Update(control::UpdateArgs),
    /// List what a kept layer changed: A added, C changed, D deleted
    Diff(layers::DiffArgs),
    /// Make a rootfs of what a kept layer changed
    Commit(layers::CommitArgs),
    /// Draw the layers of a kept sandbox; without a name, list what is kept
    Layers(layers::LayersArgs),
    /// Fetch, list, check, import, bundle and remove root filesystems
    Rootfs(rootfs::RootfsArgs),
    /// Try what this machine allows, and say what to do about the rest
    Doctor,
    /// Take away what dead sandboxes left
    Clean,
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write all of them to a directory
    Man(man::ManArgs),
}

/// The command line with all its subcommands, for tests and for whoever makes something of it.
pub fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// Parses the command line, does what it says, and prints what went wrong.
pub fn main() -> ExitCode {
    caller::take_over();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return ExitCode::from(tell(&told)),
    };
    show::use_colour(match cli.global.color {
        When::Auto => None,
        When::Always => Some(true),
        When::Never => Some(false),
    });
    if let Some(parent) = cli.global.die_with_parent {
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
        // It may have ended before the kernel was asked to tell.
        if getppid().as_raw() != parent {
            return ExitCode::from(128 + Signal::SIGTERM as u8);
        }
    }
    ExitCode::from(dispatch(cli).unwrap_or_else(|error| {
        show::error(&error);
        error.exit_code()
    }))
}

/// What clap has to say: help, the version, or what is wrong with the command line.
fn tell(told: &clap::Error) -> u8 {
    let text = told.render().ansi().to_string();
    if told.use_stderr() {
        show::say(text);
    } else if let Err(error) = show::print(text) {
        show::error(&error);
        return error.exit_code();
    }
    u8::try_from(told.exit_code()).unwrap_or(2)
}

fn dispatch(cli: Cli) -> Result<u8, Error> {
    let global = &cli.global;
    match cli.command {
        Command::Lesson(args) => lesson::lesson(args, global),
        #[cfg(feature = "book")]
        Command::Book(args) => book::book(&args, global),
        Command::Run(args) => run::run(args, global),
        Command::Shell(args) => shell::shell(args, global),
        Command::Plan(args) => plan::plan(args, global),
        Command::Explain(args) => explain::explain(args, global),
        Command::Compare(args) => compare::compare(args, global),
        Command::Matrix => compare::matrix(global),
        Command::Ps => inspect::ps(global),
        Command::Inspect(args) => inspect::inspect_process(args, global),
        Command::Exec(args) => inspect::exec(args, global),
        Command::Stats(args) => control::stats(args, global),
        Command::Pause(args) => control::pause(&args, true, global),
        Command::Resume(args) => control::pause(&args, false, global),
        Command::Kill(args) => control::kill(&args, global),
        Command::Update(args) => control::change(&args, global),
        Command::Diff(args) => layers::diff(&args, global),
        Command::Commit(args) => layers::commit(&args, global),
        Command::Layers(args) => layers::layers(&args, global),
        Command::Rootfs(args) => rootfs::rootfs(args, global),
        Command::Doctor => doctor::doctor(global),
        Command::Clean => clean::clean(global),
        Command::Completions(args) => completions::completions(args, command()),
        Command::Man(args) => man::man(args, command()),
    }
}
