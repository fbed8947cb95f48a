//! The set-up for peers, in a browser and with curl.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::accessible::screen;
use crate::browser::Browser;
use crate::real;
use crate::scene::{NAME, Scene};
use crate::tailnet::World;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const SHIFT: &str = "\u{e008}";
const CONTROL: &str = "\u{e009}";

/// The lines of a client's first box.
async fn lines(browser: &Browser, id: &str) -> String {
    let script = format!("return document.querySelector('section[aria-labelledby={id}] pre').textContent;");
    browser.script(&script).await.as_str().unwrap().to_owned()
}

/// What the clipboard holds, by pasting it.
async fn clipboard(browser: &Browser) -> Value {
    browser
        .script("const to = document.createElement('textarea'); document.body.append(to); to.focus();")
        .await;
    browser.press(&format!("{CONTROL}v")).await;
    let pasted = "document.querySelector('textarea').value !== ''";
    browser.until("the pasted text", pasted).await;
    browser.script("const to = document.querySelector('textarea'); to.remove(); return to.value;").await
}

/// Nothing on the console, and every request to this node.
async fn assert_quiet(browser: &Browser) {
    let said = browser.log("browser").await;
    assert!(said.is_empty(), "the console: {said:#?}");
    let asked = "return performance.getEntriesByType('resource').map((one) => new URL(one.name).origin === location.origin);";
    let own = browser.script(asked).await;
    assert!(own.as_array().is_some_and(|own| own.len() >= 2 && own.iter().all(|own| own == true)), "{own}");
}

#[tokio::test]
async fn setup_has_lines_for_each_client_and_copies_them() {
    let scene = Scene::with_setup().await;
    let browser = scene.open_setup("kiosk").await;
    let page = browser.text("body").await;
    assert!(page.contains("Ollama is at http://remote-ollama-proxy:11434."), "{page}");
    // A hostile name is text.
    assert!(page.contains("<b>hostile</b>") && !page.contains("What the node does now"), "{page}");
    let ids = "return [...document.querySelectorAll('main nav a')].map((one) => one.textContent);";
    let clients = [
        "curl",
        "OpenAI SDKs",
        "Anthropic SDKs",
        "Claude Code",
        "Codex",
        "opencode",
        "Continue",
        "VS Code",
        "Open WebUI",
    ];
    assert_eq!(browser.script(ids).await, json!(clients));

    // A page of plain HTTP has no navigator.clipboard.
    let context = browser.script("return [isSecureContext, 'clipboard' in navigator];").await;
    assert_eq!(context, json!([false, false]));
    for (id, part) in
        [("codex", "wire_api = \"responses\"\n"), ("claude-code", "ANTHROPIC_MODEL=qwen3:30b claude")]
    {
        let shown = lines(&browser, id).await;
        assert!(shown.contains(part), "{shown}");
        let button = format!("section[aria-labelledby={id}] button");
        browser.click(&button).await;
        assert!(browser.text(&button).await.starts_with("Copied"), "{}", browser.text(&button).await);
        assert_eq!(clipboard(&browser).await, json!(shown));
    }
    assert_eq!(browser.text("#copied").await, "Copied the lines for Claude Code: In a shell");
    // Both words go after their time, so that the next copy is read out again.
    browser.script("later();").await;
    let button = "section[aria-labelledby=claude-code] button";
    assert!(browser.text(button).await.starts_with("Copy\n"), "{}", browser.text(button).await);
    assert_eq!(browser.text("#copied").await, "");

    // Where the browser refuses to copy, the lines are selected.
    browser.script("document.execCommand = () => false;").await;
    browser.click("section[aria-labelledby=codex] button").await;
    assert_eq!(browser.text("#copied").await, "Selected the lines for Codex: In ~/.codex/config.toml");
    let selected = browser.script("return getSelection().toString().trim();").await;
    assert_eq!(selected, json!(lines(&browser, "codex").await.trim()));

    // Another model, by its link.
    browser.script("[...document.querySelectorAll('.models a')].at(-1).click();").await;
    browser.until("the other model", "document.querySelector('pre').textContent.includes('gemma3:4b')").await;
    assert_eq!(browser.text(".models [aria-current]").await, "gemma3:4b");
    assert_quiet(&browser).await;
}

#[tokio::test]
async fn setup_is_usable_by_keyboard() {
    let scene = Scene::with_setup().await;
    let browser = scene.open_setup("kiosk").await;
    let focused = |script: &str| format!("return document.activeElement.{script};");
    browser.press(TAB).await;
    assert_eq!(browser.script(&focused("className")).await, json!("skip"));
    browser.press(ENTER).await;
    assert_eq!(browser.script(&focused("id")).await, json!("clients"));

    // Tab leads to each link and each button in the order of the page, with a visible focus.
    let reached = "matches('.lines button, nav a')";
    let mut names = Vec::new();
    browser.press(TAB).await;
    while browser.script(&focused(reached)).await == json!(true) {
        names.push(browser.script(&focused("textContent")).await.as_str().unwrap().to_owned());
        let outline = "return getComputedStyle(document.activeElement).outlineStyle;";
        assert_eq!(browser.script(outline).await, json!("solid"), "{names:?}");
        browser.press(TAB).await;
    }
    let all = "return [...document.querySelectorAll('nav a, .lines button')].map((one) => one.textContent);";
    assert_eq!(json!(names), browser.script(all).await);

    // Back to the last button, which copies and keeps the focus.
    browser.press(&format!("{SHIFT}{TAB}")).await;
    browser.press(ENTER).await;
    browser.until("the word", "document.activeElement.textContent.startsWith('Copied')").await;
    let status =
        "return [document.getElementById('copied').role, document.getElementById('copied').textContent];";
    let told = "Copied the lines for Open WebUI: In the environment of its server";
    assert_eq!(browser.script(status).await, json!(["status", told]), "what a screen reader says");
    let shown = lines(&browser, "open-webui").await;
    assert_eq!(clipboard(&browser).await, json!(shown));
}

#[tokio::test]
async fn setup_fits_a_phone_and_names_what_is_missing() {
    let scene = Scene::with_setup().await;
    let browser = scene.open_setup("bobs-laptop").await;
    let text = browser.text("body").await;
    assert!(text.contains("What the node does now") && text.contains("Not open to you"), "{text}");
    assert!(text.contains("v1_responses: the tailnet policy does not grant you this endpoint"), "{text}");
    for width in [360, 320] {
        screen(&browser, "light", width, 740).await;
        let wide = browser.script("return document.documentElement.scrollWidth;").await;
        assert_eq!(wide, json!(width), "it scrolls sideways");
    }
    assert_quiet(&browser).await;

    let browser = scene.open_setup("build-7").await;
    let text = browser.text("body").await;
    assert!(text.contains("You may not list the models. v1_models: the tailnet policy"), "{text}");
    assert!(text.contains("Write the name of a model for MODEL") && !text.contains("qwen3"), "{text}");

    // The page leads to the set-up, and back.
    let (browser, _) = scene.open("bobs-laptop").await;
    browser.script("document.querySelector('#setup a').click();").await;
    browser.until("the set-up", "location.pathname === '/setup' && document.querySelector('pre')").await;
    browser.script("document.querySelector('header a').click();").await;
    browser.until("the page", "document.getElementById('stream')?.textContent === 'Live'").await;
}

/// The text for curl, and its first lines, run as they are against a real Ollama.
#[tokio::test]
async fn line_for_curl_works_as_it_is() {
    let world = World::new(real::url(), "page.port = 80\npage.setup = true\n").await;
    let grant = json!({"src": ["tag:ai-client"], "dst": ["tag:ai-server"], "ip": ["tcp:11434", "tcp:80"]});
    let owners = json!({"tag:ai-server": [], "tag:ai-client": []});
    world.tailnet.api("PUT", "/policy", json!({"tagOwners": owners, "grants": [grant]})).await;
    world.tailnet.dials_until("laptop", &format!("{NAME}:80"), true).await;
    let page = world.tailnet.forward("laptop", &format!("{NAME}:80")).await;

    // curl resolves the names as MagicDNS would.
    let home = TempDir::new().unwrap();
    let connect = |port: u16, at: std::net::SocketAddr| format!("connect-to = \"{NAME}:{port}:{at}\"\n");
    let config =
        format!("silent\nfail-with-body\nnoproxy = *\n{}{}", connect(80, page), connect(11434, world.at));
    std::fs::write(home.path().join(".curlrc"), config).unwrap();
    let sh = async |script: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).env("CURL_HOME", home.path()).kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{script}: {} {text}", output.status);
        text
    };
    let text = sh(&format!("curl http://{NAME}/")).await;
    for path in ["setup", "setup.txt"] {
        assert_eq!(text, sh(&format!("curl http://{NAME}/{path}")).await, "{path}");
    }
    let tiny = sh(&format!("curl \"http://{NAME}/setup?model=tiny\"")).await;
    assert!(tiny.contains("\n#   tiny:latest  (in the lines below"), "{tiny}");
    assert!(text.contains("\n#   tiny:latest"), "{text}");
    let client = text.split("\n\n").find(|part| part.starts_with("# curl\n")).unwrap();
    let chosen = text.lines().find(|line| line.contains("in the lines below")).unwrap();
    let answer: Value = serde_json::from_str(&sh(client).await).unwrap();
    let model = answer["model"].as_str().unwrap();
    assert!(chosen.contains(model) && answer["choices"][0]["message"]["role"] == "assistant", "{answer}");

    // The set-up is switched off while the proxy runs.
    let config = world.tailnet.dir.path().join("proxy-state.toml");
    let without =
        std::fs::read_to_string(&config).unwrap().replace("page.setup = true", "page.setup = false");
    std::fs::write(&config, without).unwrap();
    assert!(world.run("reload", &[]).await.status.success());
    let refused = sh(&format!("curl http://{NAME}/setup || true")).await;
    assert!(refused.contains("(rule: grant)"), "{refused}");
}
