//! `cancel`: ends a request that runs or waits, and the connection that it came on.

use clap::Args;
use http::Method;

use super::args::ConfigArgs;
use super::ask::{ask, refuse_to_ask};
use super::{complain, exit, show};
use crate::admin::CancelAnswer;

pub(super) const HELP: &str = "\
Exit codes:
   0  The request is cancelled
   1  There is no such request, or no longer
   2  The command line is wrong
  69  The running proxy can't be reached
  78  The config is invalid";

/// What `cancel` takes.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// The request, as `top` and `status` name it
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
    // What can't be an id may not be a part of a path either.
    let sound = args.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let asked = match sound {
        true => ask::<CancelAnswer>(&config, Method::POST, &format!("/requests/{}/cancel", args.id)),
        false => Ok((String::new(), CancelAnswer { cancelled: false })),
    };
    match asked {
        Ok((_, CancelAnswer { cancelled: true })) => show(&format!("request {} is cancelled\n", args.id)),
        Ok(_) => {
            complain(&format!(
                "remote-ollama-proxy: no request {:?} runs or waits, or no longer: `remote-ollama-proxy status` lists them",
                args.id
            ));
            exit::FAILURE
        }
        Err(code) => code,
    }
}
