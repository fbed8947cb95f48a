//! The page as a whole: what it shows, that it updates, and that it sends nothing elsewhere.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::browser::Browser;
use crate::http::*;
use crate::scene::{Scene, policy};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

/// Checks that the page has a stream.
const LIVE: &str = "document.getElementById('stream').textContent === 'Live'";

/// The number of rows of a table.
fn rows(table: &str) -> String {
    format!("document.querySelectorAll('#{table} tbody tr').length")
}

/// Checks that the console is empty and that all requests went to the page at `url`.
async fn clean(browser: &Browser, url: &str) {
    let said = browser.log("browser").await;
    assert!(said.is_empty(), "the console: {said:#?}");
    let events: Vec<Value> = browser
        .log("performance")
        .await
        .iter()
        .map(|entry| serde_json::from_str(entry["message"].as_str().unwrap()).unwrap())
        .collect();
    let sent = events.iter().filter(|e| e["message"]["method"] == "Network.requestWillBeSent");
    // The browser's start page sends its own requests.
    let ours = sent.map(|e| &e["message"]["params"]).filter(|sent| sent["documentURL"] == url);
    let asked: Vec<_> = ours.map(|sent| sent["request"]["url"].as_str().unwrap()).collect();
    assert!(asked.iter().any(|asked| asked.ends_with("/events")), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.starts_with(url)), "{asked:?}");
}

/// Presses Tab until the focused element fits; fails if none does.
async fn tab_to(browser: &Browser, what: &str) {
    for _ in 0..60 {
        browser.press(TAB).await;
        // The focus is visible wherever it is, unless it has left the page.
        let script = format!(
            "const at = document.activeElement; \
             return [at.matches({}), at === document.body || getComputedStyle(at).outlineStyle];",
            json!(what)
        );
        let state = browser.script(&script).await;
        assert!(state[1] == true || state[1] == "solid", "no visible focus on the way to {what}: {state}");
        if state[0] == true {
            return;
        }
    }
    panic!("no Tab leads to {what}");
}

#[tokio::test]
async fn admin_sees_everything_and_cancels_by_keyboard() {
    let scene = Scene::new().await;
    let (browser, url) = scene.open("studio").await;
    assert!(browser.text("#you").await.contains("alice@example.com, on studio: you see everything"));
    browser.until("Ollama", "document.getElementById('health').innerText.includes('0.12.6')").await;
    browser
        .until("the preload", "document.getElementById('health').innerText.includes('1 of 1 loaded')")
        .await;
    browser.until("who may", &format!("{} === 4", rows("peers"))).await;
    browser.until("the past", &format!("{} >= 4", rows("days"))).await;
    assert!(browser.text("#requests-empty").await.contains("No request runs"));

    // The sender of a request chose its path.
    browser
        .until("the hostile one", "document.getElementById('refusals').innerText.includes('<img src=x')")
        .await;
    assert!(browser.text("#refusals tbody").await.contains("at Ollama"));
    let days = browser.text("#days tbody").await;
    assert!(days.contains("answers without a count") && days.contains('–'), "{days}");
    let models = browser.text("#models tbody").await;
    assert!(models.contains("qwen3:8b") && models.contains("answers without a count"), "{models}");
    assert_eq!(browser.script("return document.images.length + document.scripts.length;").await, json!(1));

    // The request appears and disappears without a reload.
    let bob = scene.chat("bobs-laptop").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    let row = browser.text("#requests tbody tr").await;
    assert!(row.contains("bobs-laptop") && row.contains("v1_chat_completions"), "{row}");
    browser
        .until(
            "the quota",
            "document.getElementById('peers').innerText.includes('0 of 500 requests a day used')",
        )
        .await;
    drop(bob);
    browser.until("its end", &format!("{} === 0", rows("requests"))).await;

    let build = scene.chat("build-7").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    browser
        .until(
            "what is spent",
            "document.getElementById('peers').innerText.includes('1 of 500 requests a day used')",
        )
        .await;
    tab_to(&browser, ".skip").await;
    browser.press(ENTER).await;
    tab_to(&browser, "#requests button").await;
    // A mistake: nothing is cancelled, and the focus returns.
    browser.press(ENTER).await;
    browser.until("the question", "document.getElementById('cancel-dialog').open").await;
    assert!(browser.text("#cancel-what").await.contains("build-7"));
    assert_eq!(browser.script("return document.activeElement.id;").await, json!("cancel-no"));
    browser.press(ESCAPE).await;
    browser.until("the page", "!document.getElementById('cancel-dialog').open").await;
    // The focus stays there when the next events arrive.
    let shown = "document.querySelector('#requests tbody').innerText";
    let before = browser.script(&format!("return {shown};")).await;
    browser.until("the next event", &format!("{shown} !== {before}")).await;
    let held = "return document.activeElement.matches('#requests button');";
    assert_eq!(browser.script(held).await, json!(true));

    // The question disappears with its request.
    browser.press(ENTER).await;
    browser.until("the question", "document.getElementById('cancel-dialog').open").await;
    drop(build);
    browser.until("no question", "!document.getElementById('cancel-dialog').open").await;
    assert_eq!(browser.script("return document.activeElement.id;").await, json!("requests-title"));
    assert_eq!(browser.text("#notice").await, "The request has ended.");

    let mut build = scene.chat("build-7").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    tab_to(&browser, "#requests button").await;
    browser.press(ENTER).await;
    browser.until("the question", "document.getElementById('cancel-dialog').open").await;
    tab_to(&browser, "#cancel-yes").await;
    browser.press(ENTER).await;
    let cancelled = "document.getElementById('notice').textContent === 'The request is cancelled.'";
    browser.until("the word", cancelled).await;
    build.rest().await;
    browser.until("its end", &format!("{} === 0", rows("requests"))).await;
    assert_eq!(browser.script("return document.activeElement.id;").await, json!("requests-title"));
    clean(&browser, &url).await;
}

#[tokio::test]
async fn lost_log_lines_are_shown_until_a_restart() {
    let scene = Scene::new().await;
    let (browser, url) = scene.open("studio").await;
    let card = "document.querySelector('#health > [data-key=\"Log\"]')";
    assert_eq!(browser.script(&format!("return {card} === null;")).await, json!(true));
    let log = scene.world.tailnet.dir.path().join("past.jsonl");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    drop(scene.chat("bobs-laptop").await);
    browser.until("the card", &format!("{card} !== null && {card}.className === 'bad'")).await;
    let said = browser.text("#health > [data-key=\"Log\"]").await;
    assert!(said.contains("lost") && said.contains("past.jsonl: can't be written: Is a directory"), "{said}");
    std::fs::remove_dir(&log).unwrap();
    browser.until("the end of it", &format!("{card}.className === 'warn'")).await;
    let said = browser.text("#health > [data-key=\"Log\"]").await;
    assert!(said.contains("lost, the last") && !said.contains("can't"), "{said}");
    clean(&browser, &url).await;
}

#[tokio::test]
async fn viewer_sees_only_their_own_until_the_grant_is_revoked() {
    let scene = Scene::new().await;
    let _others = (scene.chat("studio").await, scene.chat("build-7").await);
    let _own = scene.chat("bobs-laptop").await;
    let (browser, url) = scene.open("bobs-laptop").await;
    browser.until("the own request", &format!("{} === 1", rows("requests"))).await;
    browser.until("the own past", &format!("{} === 1", rows("days"))).await;
    let text = browser.text("body").await;
    assert!(text.contains("You are bob@example.com, on bobs-laptop: you see what is yours."), "{text}");
    for other in ["alice", "studio", "build-7", "kiosk", "tag:ai-ci", "qwen3"] {
        assert!(!text.contains(other), "{other}: {text}");
    }
    assert!(!text.contains("Nothing to report") && !text.contains("Usage by model"), "{text}");
    assert!(text.contains("3 of 3 running") && text.contains("DELETE /api/delete"), "{text}");
    let seen = "return [...document.querySelectorAll('button')].filter((b) => b.checkVisibility()).length;";
    assert_eq!(browser.script(seen).await, json!(0), "something to cancel with");
    clean(&browser, &url).await;

    // Alice's grant is narrowed to her own requests; the page updates by itself.
    let (alice, alices) = scene.open("studio").await;
    alice.until("all requests", &format!("{} === 3", rows("requests"))).await;
    scene.world.tailnet.api("PUT", "/policy", policy("view")).await;
    alice
        .until("what is hers", "document.getElementById('you').textContent.endsWith('what is yours.')")
        .await;
    alice.until("her request", &format!("{} === 1", rows("requests"))).await;
    alice.until("no other in the past", &format!("{} === 1", rows("days"))).await;

    // The `who` command shows the same rights.
    let who = String::from_utf8(scene.world.run("who", &[]).await.stdout).unwrap();
    assert!(who.contains("page on port 80"), "{who}");
    assert!(who.contains("    page         shows what belongs to its identity\n"), "{who}");

    // After the grant is revoked the page shows nothing, and no question.
    alice.script("document.querySelector('#requests button').click();").await;
    let mut none = policy("view");
    none["grants"][1]["app"] = json!({});
    scene.world.tailnet.api("PUT", "/policy", none).await;
    alice
        .until("the refusal", "document.getElementById('stream').textContent.includes('(rule: grant)')")
        .await;
    alice.until("nothing", "document.getElementById('main').hidden").await;
    assert_eq!(alice.script(&format!("return {};", rows("days"))).await, json!(0));
    let left = "return [document.getElementById('cancel-dialog').open, document.activeElement.id];";
    assert_eq!(alice.script(left).await, json!([false, "title"]));

    // A later visitor gets a text, and only the status on the console.
    alice.log("browser").await;
    alice.go(&alices).await;
    assert!(alice.text("body").await.contains("(rule: grant)"));
    let said = alice.log("browser").await;
    let status = |entry: &Value| entry["message"].as_str().unwrap().contains("status of 403");
    assert!(said.iter().all(status), "{said:#?}");
}

#[tokio::test]
async fn disconnected_page_says_so() {
    let scene = Scene::new().await;
    let _running = scene.chat("build-7").await;
    let (browser, _) = scene.open("studio").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    scene.world.proxy.process.signal(rustix::process::Signal::STOP);
    // The message about a cancelled request disappears after its time, which is short here.
    browser.script("const timeout = AbortSignal.timeout.bind(AbortSignal); AbortSignal.timeout = (ms) => timeout(ms / 100);").await;
    browser
        .script(
            "document.querySelector('#requests button').click(); document.getElementById('cancel-yes').click();",
        )
        .await;
    let unknown = "document.getElementById('notice').textContent.endsWith('whether the request is cancelled is not known.')";
    browser.until("an unknown state", unknown).await;
    // No event and no end arrives, and a minute of the page's clock passes.
    browser.script("const now = Date.now; Date.now = () => now() + 60_000;").await;
    let silent = "document.getElementById('stream').textContent.startsWith('No event from the node')";
    browser.until("a word", silent).await;
    let stale = "return document.getElementById('main').className;";
    assert_eq!(browser.script(stale).await, json!("stale"));
    scene.world.proxy.process.signal(rustix::process::Signal::CONT);
    browser.until("the stream", "document.getElementById('stream').textContent === 'Live'").await;
    assert_eq!(browser.script(stale).await, json!(""));
}

#[tokio::test]
async fn hidden_tab_disconnects_and_refused_tab_backs_off() {
    let scene = Scene::new().await;
    let (browser, url) = scene.open("studio").await;
    // Each back-off is shown, and ends at once here.
    let source = "window.waits = []; const later = setTimeout; \
                  window.setTimeout = (then, ms) => { waits.push(ms); return later(then, 0); };";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    browser.go(&url).await;
    browser.until("the stream", LIVE).await;
    let shown = async |is: bool| {
        let hidden =
            format!("Object.defineProperty(document, 'hidden', {{ configurable: true, value: {} }});", !is);
        browser.script(&format!("{hidden} document.dispatchEvent(new Event('visibilitychange'));")).await;
    };
    let says = |what: &str| format!("document.getElementById('stream').textContent.includes('{what}')");
    shown(false).await;
    browser.until("a pause", &says("Paused while it is not shown.")).await;

    // All streams are free after it has disconnected.
    let at = scene.forward("studio", 80).await;
    let mut open = Vec::new();
    while open.len() < 4 {
        let mut client = Client::new(soon("a connection", TcpStream::connect(at)).await.unwrap());
        client.send(get("/events")).await;
        let head = soon("an answer", client.head()).await.unwrap();
        if head.starts_with("HTTP/1.1 200") {
            open.push(client);
        }
    }
    assert_eq!(browser.script("return waits;").await, json!([]));
    shown(true).await;
    browser.until("the refusal", &says("(rule: page-open)")).await;
    browser.until("waits", "waits.length >= 9").await;
    let waits = "return waits.slice(0, 9).map((ms) => ms / 1000);";
    assert_eq!(browser.script(waits).await, json!([3, 6, 12, 24, 48, 96, 192, 300, 300]));
    drop(open);
    browser.until("the stream", LIVE).await;
}

/// What a screen reader and a person with low vision need.
const NAMES: &str = r#"
    const wrong = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    const check = (ok, what) => { if (!ok) wrong.push(what); };
    check(document.documentElement.lang, "no language");
    check(document.title, "no title");
    check(all("h1").length === 1 && all("main").length === 1, "one h1, one main");
    let level = 1;
    for (const heading of all("h1, main h2, main h3")) {
      const own = Number(heading.tagName[1]);
      check(own <= level + 1, `${heading.textContent} skips a level`);
      level = own;
    }
    const ids = all("[id]").map((one) => one.id);
    check(new Set(ids).size === ids.length, "an id twice");
    for (const name of ["aria-labelledby", "aria-describedby"])
      for (const one of all(`[${name}]`))
        check(document.getElementById(one.getAttribute(name)), `${name} of nothing`);
    for (const one of all("section, table, dialog"))
      check(one.getAttribute("aria-labelledby"), `${one.tagName} without a name`);
    for (const one of all("button, a, summary")) check(one.textContent.trim(), "a control without a name");
    for (const one of all("svg")) check(one.getAttribute("aria-label"), "a picture without words");
    for (const one of all("thead th")) check(one.scope === "col" && one.textContent.trim(), "a column without a name");
    for (const one of all("tbody tr")) check(one.querySelector("th[scope=row]"), "a row without a name");
    check(all("[style]").length === 0, "a style in the markup");
    check(all("[tabindex]").every((one) => one.tabIndex === -1), "an order of its own for Tab");

    const channel = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const parts = (color) => color.match(/[\d.]+/g).map(Number);
    const ground = (one) => {
      for (; one; one = one.parentElement) {
        const color = parts(getComputedStyle(one).backgroundColor);
        if (color[3] !== 0) return color;
      }
      return [255, 255, 255];
    };
    for (const one of all("body *")) {
      const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || !one.checkVisibility()) continue;
      const [a, b] = [light(parts(getComputedStyle(one).color)), light(ground(one))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      check(ratio >= 4.5, `${one.className || one.tagName} "${one.textContent}": contrast ${ratio.toFixed(2)}`);
    }
    return [...new Set(wrong)];
"#;

#[tokio::test]
async fn page_is_accessible() {
    let scene = Scene::new().await;
    let _running = scene.chat("build-7").await;
    let (browser, url) = scene.open("studio").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    browser.until("the past", &format!("{} >= 4", rows("days"))).await;
    for scheme in ["light", "dark"] {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        assert_eq!(browser.script(NAMES).await, json!([]), "{scheme}");
    }
    clean(&browser, &url).await;
}

/// A page of another site in the same browser can neither read nor change anything.
#[tokio::test]
async fn other_site_cannot_read_or_cancel() {
    let scene = Scene::new().await;
    let mut running = scene.chat("build-7").await;
    let (browser, url) = scene.open("studio").await;
    browser.until("the request", &format!("{} === 1", rows("requests"))).await;
    let id = browser.script("return document.querySelector('#requests tbody tr').dataset.key;").await;
    browser.go(&browser.foreign()).await;
    let script = format!(
        r#"
        const tried = async (path, more) => {{
          try {{ const answer = await fetch({url:?} + path, more); return `${{answer.type}} ${{answer.status}}`; }}
          catch {{ return "no"; }}
        }};
        const cancel = {{ method: "POST" }};
        const own = {{ "X-Remote-Ollama-Proxy": "page" }};
        return Promise.all([
          tried("page.js"),
          tried("page.js", {{ mode: "no-cors" }}),
          tried("requests/" + {id} + "/cancel", cancel),
          tried("requests/" + {id} + "/cancel", {{ ...cancel, headers: own }}),
          tried("requests/" + {id} + "/cancel", {{ ...cancel, headers: own, mode: "no-cors" }}),
        ]);
        "#
    );
    let results = browser.script(&script).await;
    assert_eq!(results, json!(["no", "no", "no", "no", "no"]));
    // The request still runs.
    assert!(running.chunk().await.is_some_and(|chunk| !chunk.is_empty()));
    let requests = scene.world.admin("GET", "/requests").await;
    assert!(requests.text().contains("build-7"), "{}", requests.text());
}
