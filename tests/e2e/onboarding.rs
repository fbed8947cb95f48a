//! The recipes of docs/onboarding.md, read from that page and tried in a tailnet.

mod proof;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use remote_ollama_proxy::policy::Grant;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::http::*;
use crate::ollama;
use crate::recorder::Recorder;
use crate::tailnet::{Start, Tailnet, World};

const PROXY: &str = "remote-ollama-proxy:11434";

/// A test for each recipe, and the list of recipes: one without a test can't be listed.
macro_rules! recipes {
    ($($heading:literal => $test:ident),+ $(,)?) => {
        const TESTED: &[&str] = &[$($heading),+];

        $(#[tokio::test]
        async fn $test() {
            proof::$test(&Recipe::named($heading)).await;
        })+
    };
}

recipes! {
    "Add a device" => a_device_is_added,
    "Add a CI runner" => a_ci_runner_is_added_and_held_to_its_limits,
    "Give a guest a week" => a_guest_gets_in_until_the_key_expires_or_the_name_is_taken_out,
    "Give a person a weekly quota" => a_person_has_a_weekly_quota,
    "Narrow a peer to one endpoint" => a_peer_is_narrowed_to_one_endpoint,
    "Require a grant of every peer" => every_peer_needs_a_grant,
    "Remove a rule" => a_rule_is_removed,
    "Remove a device" => a_device_is_removed,
    "Expire a key" => a_key_is_expired,
}

#[test]
fn every_recipe_has_a_test() {
    let page = page();
    let headings: Vec<_> = recipes(&page).map(|(heading, _)| heading).collect();
    assert_eq!(headings, TESTED, "docs/onboarding.md and this file have different recipes");
}

#[test]
fn sample_policy_has_the_entries_of_the_first_recipes() {
    let sample = hujson(&read("acl/policy.hujson"));
    for heading in &TESTED[..3] {
        let mut policy = Recipe::named(heading).policy();
        policy.as_object_mut().unwrap().remove("tests"); // there, tests name each other's tags
        assert_eq!(with(&sample, &policy), sample, "{heading}");
    }
}

/// The text under one heading of the page.
struct Recipe {
    text: String,
}

impl Recipe {
    fn named(heading: &str) -> Recipe {
        let page = page();
        let found = recipes(&page).find(|(h, _)| *h == heading);
        let (_, text) = found.unwrap_or_else(|| panic!("docs/onboarding.md has no recipe {heading:?}"));
        Recipe { text: text.to_owned() }
    }

    /// The only code block in a language.
    fn block(&self, language: &str) -> &str {
        let begin = format!("```{language}\n");
        let mut blocks = self.text.split(&begin).skip(1);
        let block = blocks.next().and_then(|b| b.split_once("\n```")).expect("the recipe has such a block").0;
        assert!(blocks.next().is_none(), "the recipe has two blocks of {language}");
        block
    }

    fn policy(&self) -> Value {
        hujson(self.block("hujson"))
    }

    /// A policy that admits `laptop`, with this recipe's entries.
    fn added(&self) -> Value {
        with(&with(&beginning(), &Recipe::named("Add a device").policy()), &self.policy())
    }
}

/// The first policy.
fn beginning() -> Value {
    Recipe { text: section(&page(), "To begin with").to_owned() }.policy()
}

/// A policy and more entries for its sections.
fn with(policy: &Value, more: &Value) -> Value {
    let mut policy = policy.clone();
    for (section, entries) in sections(more) {
        match &mut policy[section] {
            Value::Array(all) => {
                let new: Vec<_> =
                    entries.as_array().unwrap().iter().filter(|e| !all.contains(e)).cloned().collect();
                all.extend(new);
            }
            Value::Object(all) => all.extend(entries.as_object().unwrap().clone()),
            other => panic!("the policy to begin with has no section {section} but {other}"),
        }
    }
    policy
}

fn page() -> String {
    read("docs/onboarding.md")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The text under a heading of the page.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("\n## {heading}\n")).expect(heading);
    after.split_once("\n## ").map_or(after, |(text, _)| text)
}

fn recipes(page: &str) -> impl Iterator<Item = (&str, &str)> {
    section(page, "Recipes").split("\n### ").skip(1).map(|recipe| recipe.split_once('\n').unwrap())
}

fn sections(policy: &Value) -> &Map<String, Value> {
    policy.as_object().unwrap()
}

/// JSON with line comments and trailing commas, which is all that the page uses.
fn hujson(text: &str) -> Value {
    let (mut json, mut chars, mut quoted) = (String::new(), text.chars().peekable(), false);
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => panic!("no escapes, please: {text}"),
            '/' if !quoted && chars.peek() == Some(&'/') => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            ']' | '}' if !quoted => {
                json.truncate(json.trim_end().len());
                if json.ends_with(',') {
                    json.pop();
                }
            }
            _ => {}
        }
        json.push(c);
    }
    serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A tailnet to which the first recipe has added `laptop`.
struct Scene {
    world: World,
    recorder: Recorder,
}

impl Scene {
    async fn new(config: &str) -> Scene {
        let recorder = Recorder::in_front_of(ollama::parallel_url()).await;
        let world = World::new(&recorder.url, config).await;
        let scene = Scene { world, recorder };
        scene.policy(&Recipe::named("Add a device").added()).await;
        scene
    }

    fn tailnet(&self) -> &Tailnet {
        &self.world.tailnet
    }

    /// Applies a policy that `acl --check` accepts.
    async fn policy(&self, policy: &Value) {
        let file = self.tailnet().dir.path().join("checked.hujson");
        std::fs::write(&file, policy.to_string()).unwrap();
        let out = self.command(&["acl", "--check", file.to_str().unwrap()]).await;
        // 65: it is valid, and admits no device.
        let sound = matches!(out.status.code(), Some(0 | 65));
        assert!(sound, "{}", String::from_utf8_lossy(&out.stdout));
        self.tailnet().api("PUT", "/policy", policy.clone()).await;
    }

    /// A device with a tag, or of a user.
    async fn device(&self, name: &str, whose: &str) {
        let mut request = json!({"hostname": name});
        if whose.starts_with("tag:") {
            request["tags"] = json!([whose]);
        } else {
            request["user"] = json!(whose);
        }
        self.tailnet().api("POST", "/clients", request).await;
    }

    /// Waits until a device gets a connection or none: nodes receive a change a moment later.
    async fn reaches(&self, device: &str, wanted: bool) {
        self.tailnet().dials_until(device, PROXY, wanted).await;
    }

    async fn forward(&self, device: &str) -> SocketAddr {
        self.reaches(device, true).await;
        self.tailnet().forward(device, PROXY).await
    }

    /// Waits until Ollama has this many connections.
    async fn open(&self, connections: u64) {
        self.recorder.has_open(connections).await;
    }

    /// Checks that the stream of a device is cut and Ollama freed, that `laptop` goes on, and that new connections of
    /// the device fail. Prints how long the cut took.
    async fn cuts(&self, device: &str, what: &str, change: impl AsyncFnOnce(&Scene)) {
        let at = self.forward(device).await;
        let mut kept = stream(self.world.at).await;
        let _lost = stream(at).await;
        self.open(2).await;
        let begun = Instant::now();
        change(self).await;
        self.open(1).await;
        println!("{what}: Ollama free after {} ms", begun.elapsed().as_millis());
        self.reaches(device, false).await;
        kept.chunk().await.unwrap();
    }

    /// Runs `who` until the peer is as wanted; null is a peer that the tailnet does not have.
    async fn who(&self, device: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        found("the answer of who", async || {
            let answer: Value = serde_json::from_str(&self.who_says(&["--json"]).await).unwrap();
            let named = |p: &&Value| p["node"] == format!("{device}.tailnet.test");
            let peer = answer["peers"].as_array().unwrap().iter().find(named).unwrap_or(&Value::Null);
            wanted(peer).then(|| peer.clone())
        })
        .await
    }

    async fn who_says(&self, arguments: &[&str]) -> String {
        let out = self.command(&[&["who"], arguments].concat()).await;
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Runs a command with the config of the running proxy.
    async fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-ollama-proxy"));
        let config = self.tailnet().dir.path().join("proxy-state.toml");
        command.args(words).arg("--config").arg(config).output().await.unwrap()
    }

    /// Waits for a line in the journal.
    async fn journal(&self, device: &str, access: &str) -> Value {
        let path = self.tailnet().dir.path().join("proxy-state/journal.jsonl");
        found("the line in the journal", async || {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
            let node = format!("{device}.tailnet.test");
            lines.find(|l| l["node"] == node && l["access"] == access)
        })
        .await
    }

    /// Waits for a line of the access log that has these words.
    async fn logged(&mut self, words: &[&str]) -> Value {
        let words = [&["\"target\":\"access\""], words].concat();
        serde_json::from_str(&self.world.proxy.process.line(&words).await).unwrap()
    }
}

async fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(request).await;
    client.answer().await
}

fn chat() -> String {
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "go!"}], "stream": true});
    post("/v1/chat/completions", &body.to_string())
}

/// An endless stream on its own connection.
async fn stream(at: SocketAddr) -> Client<TcpStream> {
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    client.send(chat()).await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    client.chunk().await.unwrap();
    client
}

fn refused(answer: &Answer, status: u16, rule: &str) {
    let named = answer.text().contains(&format!("(rule: {rule})"));
    assert!(answer.status() == status && named, "{} {}", answer.head, answer.text());
}

/// The names in the first column of the table under a heading of the page, without backticks.
fn first_column(page: &str, heading: &str) -> BTreeSet<String> {
    let rows = section(page, heading).lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The error for an unknown key lists the known ones.
#[test]
fn documented_grant_fields_are_those_of_a_grant() {
    let error = Grant::parse(&json!({"?": 0})).unwrap_err();
    let (_, known) = error.split_once("expected one of ").unwrap();
    let known: BTreeSet<_> = known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(first_column(&read("docs/grants.md"), "Keys"), known);
}

#[tokio::test]
async fn documented_record_fields_are_those_of_the_logs() {
    let scene = Scene::new("metrics.usage = true\nmodels.allow = [\"tiny\"]\n").await;
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let chat = |model: &str| {
        let messages = json!([{"role": "user", "content": "hi"}]);
        post("/v1/chat/completions", &json!({"model": model, "messages": messages}).to_string())
    };
    assert_eq!(scene.world.ask(&chat("tiny")).await.status(), 200);
    refused(&scene.world.ask(&get("/secret")).await, 403, "allowlist");
    refused(&scene.world.ask(&chat("slow")).await, 404, "model");
    // An answer without token counts.
    let streamed = json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": true});
    assert_eq!(scene.world.ask(&post("/v1/chat/completions", &streamed.to_string())).await.status(), 200);
    let log = scene.tailnet().dir.path().join("proxy-state/access.jsonl");
    let records = found("the records", async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let records: Vec<_> = lines.filter(|line| line["event"] == "request").collect();
        Some(records).filter(|records| records.len() == 4)
    })
    .await;
    let all: BTreeSet<_> = records.iter().flat_map(keys).collect();
    assert_eq!(first_column(&read("docs/access-log.md"), "`request`"), all);
    let line = scene.journal("laptop", "gained").await;
    assert_eq!(first_column(&read("docs/access-log.md"), "The journal"), keys(&line));
}

/// docs/migration.md: clients still use the former name.
#[tokio::test]
async fn former_names_still_work() {
    let page = Recipe { text: read("docs/migration.md") };
    let tailnet = Tailnet::new().await;
    let key = Some(tailnet.key(json!({})).await);
    let config = page.block("toml").to_owned();
    let proxy = Start { key, config, ..Start::new(&tailnet, ollama::url()) }.up().await;
    tailnet.client("laptop", &["tag:ai-client"]).await;
    let at = tailnet.forward("laptop", "gpu-box:11434").await;
    let asked = async |what: &str, host: &str| {
        ask(at, &format!("{what} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")).await
    };
    let Value::String(name) = &proxy.listening["name"] else { panic!("{}", proxy.listening) };
    for host in ["gpu-box:11434", "ollama.lan:11434", &name[..]] {
        assert_eq!(asked("GET /v1/models", host).await.status(), 200, "{host}");
    }
    refused(&asked("GET /v1/models", "other.lan:11434").await, 421, "host");
    // The refusals that the page shows.
    for (what, rule) in [("POST /api/pull", "management"), ("POST /api/chat", "endpoint-off")] {
        let answer = asked(what, "gpu-box:11434").await;
        refused(&answer, 403, rule);
        // The page has an ellipsis in place of the id.
        let mut shown: Value = serde_json::from_str(answer.text()).unwrap();
        shown["request_id"] = json!("…");
        assert!(page.text.contains(&shown.to_string()), "docs/migration.md does not show {shown}");
    }
}
