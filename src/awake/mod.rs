//! Keeps the machine from idle-sleeping while a request runs or waits. One task watches the admission; the system's own
//! tool holds the lock.

mod keeper;
mod state;
mod tool;

pub use keeper::{Inhibitor, Keeper};
pub use state::AwakeState;
pub use tool::{InhibitorTool, ToolLock};
