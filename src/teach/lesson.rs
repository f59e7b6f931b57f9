//! Lessons as data: what a lesson file may say.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::attacks::{self, ATTACKS, Attack};
use super::names::Names;
use crate::cgroups::{Memory, Version};
use crate::plan::step::StageName;
use crate::stages::names::{CHROOT, PIVOT_ROOT, USER};
use crate::stages::{STAGES, Stages, find};

/// A lesson file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// The version of this form: 2.
    pub format: Format,
    /// Its number.
    pub lesson: u32,
    /// Its name on the command line.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about, in a paragraph or two.
    pub about: String,
    /// What is called otherwise in cgroup version 1 and 2, for `@name@`.
    #[serde(default)]
    pub names: Names,
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// What still leaks at its end: the reason for the next lesson.
    pub leaks: String,
    /// What real container runtimes do instead.
    pub runtimes: String,
    /// What to try alone.
    pub exercises: Vec<String>,
    /// Manual pages to read.
    pub read: Vec<String>,
}

/// The version of the form of lesson files.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub struct Format;

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Format, String> {
        match version {
            2 => Ok(Format),
            1 => {
                Err("format 1 is no longer read: in format 2 `settings` name the stage that they \
                      are for, as in `settings: {mnt: {propagation: shared}}` and `settings: \
                      {cgroups: {memory: 64m}}`, and `storage` and `volumes` became `overlay: \
                      {storage: vfs}` and `rootfs: {volume: [\"/home:/mnt\"]}`"
                    .to_owned())
            }
            other => Err(format!("format {other} is not known, only 2")),
        }
    }
}

/// A part of a lesson: it adds one stage, or compares two ways.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name on the command line: `chroot.break-out`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The cgroup version that it is about; a machine with the other one has no such part.
    pub cgroups: Option<Version>,
    /// What the machine must have besides; where it has not, the part is skipped.
    pub needs: Option<Need>,
    /// The stages that it starts from.
    pub without: Side,
    /// The stages that it ends with.
    pub with: Side,
    /// What the student should know before looking.
    pub explain: String,
    /// A question to answer before looking.
    pub predict: Option<Prediction>,
    /// Commands that only look, on the machine itself.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// Commands that change something, on the stand-in host.
    #[serde(default)]
    pub experiments: Vec<Experiment>,
    /// What must turn out true.
    pub claims: Vec<Claim>,
    /// What to make of it, after looking.
    pub learned: String,
    /// What to try in a shell at this point.
    #[serde(rename = "try")]
    pub try_it: Option<String>,
}

/// What not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A program that needs shared libraries: the stand-in host's /usr/bin/host-ls.
    DynamicProgram,
    /// A tmpfs that keeps attributes of users, for overlays on the stand-in host.
    TmpfsAttributes,
}

/// One of the two ways that a part compares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The heading of its column.
    pub name: String,
    /// Its stages.
    #[serde(deserialize_with = "stage_names")]
    pub stages: Vec<StageName>,
    /// What the stages are told, by stage.
    #[serde(default)]
    pub settings: Stages,
    /// System calls to leave out.
    #[serde(default)]
    pub forget: Vec<String>,
    /// Whether `user` is not the lesson's choice, but joined for its privilege.
    #[serde(skip)]
    pub user_joined: bool,
}

impl Side {
    /// These stages, as they are by default.
    pub fn of(stages: Vec<StageName>) -> Side {
        Side { stages, ..Side::default() }
    }

    /// Whether it has this stage.
    pub fn has(&self, stage: StageName) -> bool {
        self.stages.contains(&stage)
    }

    /// Whether its process gets another root directory.
    pub fn changes_root(&self) -> bool {
        self.has(CHROOT) || self.has(PIVOT_ROOT)
    }

    /// Lets the stage `user` join, for its privilege.
    pub fn join_user(&mut self) {
        if !self.has(USER) {
            self.stages.insert(0, USER);
            self.user_joined = true;
        }
    }

    /// The same on the stand-in host, where everybody is root of its user namespace: the stage that
    /// joins for an ordinary user is not needed there.
    pub fn on_stand_in(&self) -> Side {
        let mut side = self.clone();
        side.stages.retain(|stage| !(side.user_joined && *stage == USER));
        side
    }
}

/// A question, whose right answer is found by looking.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// The question.
    pub ask: String,
    /// The possible answers.
    pub options: Vec<Choice>,
}

/// A possible answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The answer.
    pub says: String,
    /// When it is right.
    pub right_if: Condition,
    /// What to say to those who chose it.
    pub because: String,
}

/// A command that only looks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The command, for a shell.
    pub run: String,
    /// A pattern for what is not compared, such as a number that is new at every run.
    pub ignore: Option<String>,
    /// Why it came out as it did.
    pub note: Option<String>,
    /// Whether it prints a list of names, which may stand beside each other.
    #[serde(default)]
    pub list: bool,
}

/// Commands on the stand-in host, in order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// What it is.
    pub title: String,
    /// Run it on one side only.
    pub only: Option<WhichSide>,
    /// The size of a file on this machine's own disk, for the time of the experiment: the stand-in
    /// host, which lives in memory, sees it as /disk.
    pub disk: Option<Memory>,
    /// No commands: so many containers are made on this machine's disk, and the cost is told.
    pub containers: Option<u32>,
    /// The commands.
    pub steps: Vec<Action>,
}

/// A side of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichSide {
    /// The part's `without`.
    Without,
    /// The part's `with`.
    With,
}

/// A command of an experiment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The name by which claims speak of it; the command itself when there is none.
    pub id: Option<String>,
    /// Where it runs.
    #[serde(rename = "in")]
    pub place: Place,
    /// What the process tries before it starts the command.
    #[serde(default, deserialize_with = "attack")]
    pub attack: Option<&'static Attack>,
    /// Whether it goes on in the background, until the experiment ends. For later commands on the
    /// stand-in host, `$SANDBOX_PID` is its process there.
    #[serde(default)]
    pub stays: bool,
    /// The command, for a shell.
    pub run: String,
    /// Whether it prints a list of names, which may stand beside each other.
    #[serde(default)]
    pub list: bool,
}

impl Action {
    /// A command that does nothing, in a sandbox.
    pub fn nothing() -> Action {
        let (place, run) = (Place::Sandbox, "true".to_owned());
        Action { id: None, place, attack: None, stays: false, run, list: false }
    }

    /// The name by which claims speak of it.
    pub fn name(&self) -> &str {
        self.id.as_ref().unwrap_or(&self.run)
    }
}

/// Where a command of an experiment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On the stand-in host.
    Host,
    /// In a sandbox on the stand-in host, with the stages of the side.
    Sandbox,
    /// In the sandbox that `stays`, which it joins with setns(2).
    Joined,
}

/// A sentence that is checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The sentence.
    pub says: String,
    /// When it is true.
    pub holds_if: Condition,
}

/// Something about a probe or an action, on one side or both. All that is given must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The probe's command or the action's name.
    pub about: String,
    /// Whether the sides differ.
    pub changed: Option<bool>,
    /// What is expected on the side `without`.
    pub without: Option<Expect>,
    /// What is expected on the side `with`.
    pub with: Option<Expect>,
}

/// What is expected of one command. All that is given must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// This is all it printed.
    pub is: Option<String>,
    /// It printed this, among other things, on stdout or stderr.
    pub contains: Option<String>,
    /// It did not print this.
    pub lacks: Option<String>,
    /// What it printed matches this regular expression.
    pub matches: Option<String>,
    /// Its exit status.
    pub status: Option<u8>,
}

fn stage_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<StageName>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = |name: &String| match find(name) {
        Some(stage) => Ok(stage.name()),
        None => Err(de::Error::custom(unknown("stage", name, STAGES.iter().map(|s| s.name())))),
    };
    names.iter().map(known).collect()
}

fn attack<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'static Attack>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = ATTACKS.iter().map(|attack| attack.name);
    let found = attacks::find(&name);
    found.map(Some).ok_or_else(|| de::Error::custom(unknown("attack", &name, known)))
}

/// In the words of serde, which [`super::lint`] reads again.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    format!("unknown {what} `{name}`, expected one of {}", known.join(", "))
}
