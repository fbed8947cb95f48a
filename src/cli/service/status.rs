//! `service status`: shows the state of the services.

use super::super::{exit, show};
use crate::service::{LastExit, ManagedService, Part, RunState, ServiceFault, ServiceState};

pub(super) fn status([ollama, proxy]: &[ManagedService; 2]) -> Result<u8, ServiceFault> {
    let state = proxy.state()?;
    let mut text = describe(proxy, &state);
    let ollama_state = ollama.state()?;
    if ollama_state.is_installed() {
        text += &format!("\n{}", describe(ollama, &ollama_state));
    }
    let code = match (state.is_installed(), state.is_running()) {
        (false, _) => exit::NOT_INSTALLED,
        (true, false) => exit::NOT_RUNNING,
        (true, true) => exit::OK,
    };
    Ok(show(&text).max(code))
}

fn describe(service: &ManagedService, state: &ServiceState) -> String {
    let (what, meaning): (_, fn(u8) -> &'static str) = match service.part {
        Part::Ollama => ("ollama", |_| ""),
        Part::Proxy => ("proxy", exit::meaning),
    };
    let Some(file) = &state.file else { return format!("{what:<10} not installed\n") };
    let mut text = format!("{what:<10} installed: {}\n", file.display());
    text += &match &state.run {
        RunState::Running(pid) => format!("running    yes, process {pid}\n"),
        RunState::Stopped(instead) => format!("running    no: {instead}\n"),
    };
    text += &match &state.last {
        Some(LastExit::Code(code)) => {
            format!("last exit  code {code} {}", meaning(*code)).trim_end().to_owned() + "\n"
        }
        Some(LastExit::Signal(signal)) => format!("last exit  by signal {signal}\n"),
        None => String::new(),
    };
    text + &format!("log        {}\n", service.log())
}
