//! `service status`.

use super::super::{exit, show};
use crate::service::{Fault, Last, Part, Run, Service, State};

pub(super) fn status([ollama, proxy]: &[Service; 2]) -> Result<u8, Fault> {
    let state = proxy.state()?;
    let mut text = told(proxy, &state);
    let ollamas = ollama.state()?;
    if ollamas.is_installed() {
        text += &format!("\n{}", told(ollama, &ollamas));
    }
    let code = match (state.is_installed(), state.is_running()) {
        (false, _) => exit::NOT_INSTALLED,
        (true, false) => exit::NOT_RUNNING,
        (true, true) => exit::OK,
    };
    Ok(show(&text).max(code))
}

fn told(service: &Service, state: &State) -> String {
    let (what, meaning): (_, fn(u8) -> &'static str) = match service.part {
        Part::Ollama => ("ollama", |_| ""),
        Part::Proxy => ("proxy", exit::meaning),
    };
    let Some(file) = &state.file else { return format!("{what:<10} not installed\n") };
    let mut text = format!("{what:<10} installed: {}\n", file.display());
    text += &match &state.run {
        Run::Pid(pid) => format!("runs       yes, process {pid}\n"),
        Run::No(instead) => format!("runs       no: {instead}\n"),
    };
    text += &match &state.last {
        Some(Last::Code(code)) => {
            format!("last end   exit code {code} {}", meaning(*code)).trim_end().to_owned() + "\n"
        }
        Some(Last::Signal(signal)) => format!("last end   by signal {signal}\n"),
        None => String::new(),
    };
    text + &format!("log        {}\n", service.log())
}
