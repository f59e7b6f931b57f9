//! `sandbox book`: the book of the lessons, with commands that run.

use std::net::IpAddr;

use clap::Args;

use super::global::Global;
use crate::error::Error;
use crate::serve::{Options, serve};

#[derive(Args)]
pub(crate) struct BookArgs {
    /// The port; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value = "7171")]
    port: u16,
    /// Open the book in the browser
    #[arg(long)]
    open: bool,
    /// Let readers run the parts of lessons, but open no terminals
    #[arg(long)]
    no_terminal: bool,
    /// Serve others too, on this address of the machine: with a password, and never as root
    #[arg(long, value_name = "ADDR")]
    listen: Option<IpAddr>,
}

pub(crate) fn book(args: &BookArgs, global: &Global) -> Result<u8, Error> {
    if global.json()? {
        return Err(Error::usage(
            "a served book is nothing to print as JSON",
            "leave out `--format`",
        ));
    }
    let (port, listen, open) = (args.port, args.listen, args.open);
    serve(&Options { port, listen, terminal: !args.no_terminal, open, dry_run: global.dry_run })
}
