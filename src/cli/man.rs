//! `sandbox man`: the manual pages.

use std::path::PathBuf;

use clap::Args;

use crate::error::Error;
use crate::show;

#[derive(Args)]
pub(crate) struct ManArgs {
    /// Write a page for every subcommand to this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn man(args: ManArgs, command: clap::Command) -> Result<u8, Error> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(command).render(&mut page);
        rendered.map_err(Error::io("write the manual page"))?;
        show::print(String::from_utf8_lossy(&page))?;
        return Ok(0);
    };
    let doing = format!("write the manual pages to `{}`", dir.display());
    std::fs::create_dir_all(&dir).map_err(Error::io(doing.clone()))?;
    clap_mangen::generate_to(command, &dir).map_err(Error::io(doing))?;
    Ok(0)
}
