//! uts: a hostname of one's own.
//!
//! UTS stands for the structure that uname(2) fills in. Of its fields two can be set, the hostname
//! and the NIS domain name, and these are what the namespace holds.

// ANCHOR: stage
use std::fmt;
use std::str::FromStr;

use clap::Args;
use nix::sched::CloneFlags;
use serde::{Deserialize, Serialize};

use super::names::UTS;
use super::spec::Spec;
use super::stage::{About, Stage};
use crate::error::Error;
use crate::plan::step::{Because, StageName, Step};
use crate::scalar::scalar;
use crate::syscall::{Sethostname, Unshare};

#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[command(next_help_heading = "The stage uts")]
#[serde(default, deny_unknown_fields)]
pub struct Uts {
    /// The name that the sandbox gets [default: sandbox]
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<Hostname>,
}

impl Stage for Uts {
    fn name(&self) -> StageName {
        UTS
    }

    fn about(&self) -> About {
        About {
            title: "a hostname of one's own",
            isolates: "the hostname and the NIS domain name",
            leaks: "everything else",
            since: "Linux 2.6.19 (2006)",
            see: &["uts_namespaces(7)", "sethostname(2)"],
        }
    }

    fn look(&mut self, spec: &mut Spec) -> Result<(), Error> {
        spec.hostname = Some(self.name_of_sandbox());
        Ok(())
    }

    fn enter(&self, _: &Spec) -> Vec<Step> {
        vec![
            Unshare(CloneFlags::CLONE_NEWUTS).because("take a private copy of the host's name"),
            Sethostname(self.name_of_sandbox()).because("rename the copy; the host keeps its own"),
        ]
    }
}
// ANCHOR_END: stage

impl Uts {
    fn name_of_sandbox(&self) -> String {
        self.hostname.as_ref().map_or("sandbox".to_owned(), Hostname::to_string)
    }
}

/// A hostname, as sethostname(2) takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hostname(String);

impl FromStr for Hostname {
    type Err = String;

    fn from_str(text: &str) -> Result<Hostname, String> {
        if text.is_empty() || text.len() > 64 {
            return Err("a hostname has 1 to 64 bytes".to_owned());
        }
        Ok(Hostname(text.to_owned()))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

scalar!(Hostname);
