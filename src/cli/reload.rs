//! `reload`: makes the running proxy read its config again.

use http::Method;

use super::ask::ask;
use super::{ConfigArgs, refuse_over, show};
use crate::admin::Reload;

const KEPT: &str = "the old config stays in force";

pub(super) fn reload(args: &ConfigArgs) -> u8 {
    // The config says where the admin socket is.
    let config = match args.load() {
        Ok(config) => config,
        Err(faults) => return refuse_over(&faults.faults, KEPT),
    };
    let Reload { faults, restart } = match ask(&config, Method::POST, "/reload") {
        Ok(answer) => answer.value,
        Err(code) => return code,
    };
    if !faults.is_empty() {
        return refuse_over(&faults, KEPT);
    }
    if restart.is_empty() {
        return show("the new config is in force\n");
    }
    let keys = restart.join(", ");
    show(&format!(
        "the new config is in force, except these keys, which take effect at the next start: {keys}\n"
    ))
}
