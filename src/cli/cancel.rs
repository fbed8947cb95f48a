//! `cancel`: ends a running or waiting request, and its connection.

use clap::Args;
use http::Method;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask};
use super::{complain, exit, show};
use crate::admin::CancelAnswer;

pub(super) const HELP: &str = "\
Exit codes:
   0  The request is cancelled
   1  No such request runs or waits
   2  The command line is wrong
  69  The running proxy can't be reached
  78  The config is invalid";

/// What `cancel` takes.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The request's ID, as `top` and `status` show it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn cancel(args: &CancelArgs) -> u8 {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(faults) => return refuse_to_ask(&faults),
    };
    // The ID becomes part of a path, so other characters are not sent.
    if !args.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return no_such_request(&args.id);
    }
    match ask::<CancelAnswer>(&config, Method::POST, &format!("/requests/{}/cancel", args.id)) {
        Ok(answer) if answer.value.cancelled => show(&format!("request {} is cancelled\n", args.id)),
        Ok(_) => no_such_request(&args.id),
        Err(code) => code,
    }
}

fn no_such_request(id: &str) -> u8 {
    complain(&format!(
        "remote-ollama-proxy: no request {id:?} runs or waits: `remote-ollama-proxy status` lists the requests"
    ));
    exit::FAILURE
}
