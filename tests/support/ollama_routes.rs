//! The routes of Ollama by version, from `ollama-routes.tsv`.

/// One route.
pub(crate) struct Route {
    /// The method; `*` is any.
    pub(crate) method: &'static str,
    /// The path. `:name` stands for one segment, `*name` for the rest.
    pub(crate) path: &'static str,
    /// The first version that has it.
    #[allow(dead_code, reason = "each test binary uses a part of this file")]
    pub(crate) first: &'static str,
    /// The last version that has it; `None`: the newest version read has it.
    #[allow(dead_code, reason = "each test binary uses a part of this file")]
    pub(crate) last: Option<&'static str>,
}

const LIST: &str = include_str!("ollama-routes.tsv");

/// Every route of every version read.
pub(crate) fn all() -> Vec<Route> {
    let routes: Vec<_> = LIST.lines().filter(|line| !line.starts_with('#')).map(route).collect();
    assert!(routes.len() > 30, "ollama-routes.tsv has only {} routes", routes.len());
    routes
}

fn route(line: &'static str) -> Route {
    let fields: Vec<_> = line.split('\t').collect();
    let &[method, path, first, last] = fields.as_slice() else { panic!("ollama-routes.tsv: {line:?}") };
    Route { method, path, first, last: Some(last).filter(|last| *last != "-") }
}

/// The versions read, oldest first.
#[allow(dead_code, reason = "each test binary uses a part of this file")]
pub(crate) fn versions() -> Vec<&'static str> {
    let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    let comments = LIST.lines().filter_map(|line| line.strip_prefix("# "));
    comments
        .filter(|line| line.split(' ').all(|word| is_version(&word)))
        .flat_map(|line| line.split(' '))
        .collect()
}

impl Route {
    /// A path that the route serves.
    pub(crate) fn sample(&self) -> String {
        let segment = |segment: &str| match segment {
            ":model" => "tiny".to_owned(),
            ":digest" => "sha256:00".to_owned(),
            "*path" => "v1/responses".to_owned(),
            _ => segment.replace(':', ""),
        };
        self.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}
