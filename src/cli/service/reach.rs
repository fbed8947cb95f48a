//! What the service writes and reads under a config, and whether it can be confined to that.

use std::path::{Path, PathBuf};

use crate::config::{Config, default_path, real};
use crate::service::{HIDDEN, TemplateValues};

/// Folders that a confined service can write to as before.
const AS_BEFORE: [&str; 2] = ["/dev", "/proc"];

/// The state folder, and the folders of the logs that are elsewhere, each with its key in the config.
pub(super) fn written(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut folders = vec![("node.state_dir", real(&config.node.state_dir))];
    for (key, file) in logs(config) {
        if let Some(folder) = log_folder(file)
            && !folders.iter().any(|(_, known)| folder.starts_with(known))
        {
            folders.push((key, folder));
        }
    }
    folders
}

fn logs(config: &Config) -> impl Iterator<Item = (&'static str, &Path)> {
    let log = config.log.file.as_deref().map(|file| ("log.file", file));
    let access = config.access_log.as_ref().map(|log| ("access_log.file", log.file.as_path()));
    log.into_iter().chain(access)
}

/// The folder of a log; `None` if it is one of those in [`AS_BEFORE`].
fn log_folder(file: &Path) -> Option<PathBuf> {
    let stays = |path: &Path| AS_BEFORE.iter().any(|folder| path.starts_with(folder));
    // The last part is not followed yet: /dev/stderr leads elsewhere in the service.
    let named = real(file.parent()?).join(file.file_name()?);
    if stays(&named) {
        return None;
    }
    // A symbolic link's target is the file that is rotated.
    let file = real(&named);
    file.parent().filter(|folder| !stays(folder)).map(Path::to_owned)
}

/// Why the service can't be confined, as the end of a sentence.
pub(super) fn obstacle(config: &Config, values: &TemplateValues, home: &Path) -> Option<String> {
    if config.events.command.is_some() {
        return Some(", because events.command would be too".to_owned());
    }
    hidden(config, values, home).or_else(|| wide(config, home))
}

/// A path that the service could no longer see.
fn hidden(config: &Config, values: &TemplateValues, home: &Path) -> Option<String> {
    let (name, path) = used(config, values).into_iter().find(|(_, path)| is_hidden(path, home))?;
    let folders = HIDDEN.map(|name| format!("~/{name}")).join(" and ");
    Some(format!(": it would not see {folders}, and {name} is there ({})", path.display()))
}

fn is_hidden(path: &Path, home: &Path) -> bool {
    let hidden = HIDDEN.map(|name| real(&home.join(name)));
    path.ancestors().any(|above| hidden.iter().any(|folder| real(above).starts_with(folder)))
}

/// The paths that the service uses, each with its key or name.
fn used(config: &Config, values: &TemplateValues) -> Vec<(&'static str, PathBuf)> {
    let node = &config.node;
    let upstream = config.upstream.to_string();
    let mut paths = vec![("node.state_dir", node.state_dir.clone()), ("the program", values.program.clone())];
    paths.extend(node.auth_key_file.clone().map(|file| ("node.auth_key_file", file)));
    paths.extend(node.client_secret_file.clone().map(|file| ("node.client_secret_file", file)));
    paths.extend(upstream.strip_prefix("unix:").map(|socket| ("upstream.url", socket.into())));
    paths.extend(values.config.clone().or_else(default_path).map(|file| ("the config", file)));
    paths.extend(logs(config).map(|(key, file)| (key, file.to_owned())));
    paths
}

/// Folders that contain the home folder, so that nearly everything of the account would stay writable.
fn wide(config: &Config, home: &Path) -> Option<String> {
    let home = real(home);
    let wide: Vec<_> = written(config)
        .iter()
        .filter(|(_, folder)| home.starts_with(folder))
        .map(|(key, folder)| {
            let is = if *key == "node.state_dir" { "is" } else { "is in" };
            format!("{key} {is} {}", folder.display())
        })
        .collect();
    (!wide.is_empty())
        .then(|| format!(": {}, so it would write to all of your files anyway", wide.join(", ")))
}
