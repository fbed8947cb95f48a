//! `reload`: has the running proxy take its config anew.

use http::Method;

use super::ask::ask;
use super::{ConfigArgs, complain, exit, show};
use crate::admin::Reload;

const KEPT: &str = "remote-ollama-proxy: the new config is not taken, the old one stays in force";

pub(super) fn reload(args: &ConfigArgs) -> u8 {
    // Where its socket is stands in the config, too.
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => {
            complain(&faults.to_string());
            complain(KEPT);
            return exit::CONFIG;
        }
    };
    match ask::<Reload>(&config, Method::POST, "/reload") {
        Ok((_, Reload { faults, .. })) if !faults.is_empty() => {
            faults.iter().for_each(|fault| complain(fault));
            complain(KEPT);
            exit::CONFIG
        }
        Ok((_, Reload { restart, .. })) if restart.is_empty() => show("the new config is in force\n"),
        Ok((_, Reload { restart, .. })) => {
            let keys = restart.join(", ");
            show(&format!(
                "the new config is in force, but for what takes effect at the next start only: {keys}\n"
            ))
        }
        Err(code) => code,
    }
}
