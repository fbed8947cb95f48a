//! `reload`: has the running proxy take its config anew.

use http::Method;

use super::ask::ask;
use super::{ConfigArgs, refuse_over, show};
use crate::admin::Reload;

const KEPT: &str = "the old one stays in force";

pub(super) fn reload(args: &ConfigArgs) -> u8 {
    // Where its socket is stands in the config, too.
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse_over(&faults.faults, KEPT),
    };
    match ask::<Reload>(&config, Method::POST, "/reload") {
        Ok((_, Reload { faults, .. })) if !faults.is_empty() => refuse_over(&faults, KEPT),
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
