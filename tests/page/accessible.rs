//! Accessibility: axe-core's rules, in both colour schemes, on a desktop's and a phone's screen. It can't tell whether the
//! keyboard reaches everything; other tests do.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;

use crate::browser::Browser;
use crate::scene::Scene;

/// Sets the colour scheme and the size of the window.
pub(crate) async fn screen(browser: &Browser, scheme: &str, width: u32, height: u32) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    let phone = width < 500;
    let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
    browser.devtools("Emulation.setDeviceMetricsOverride", screen).await;
}

/// axe-core, installed once.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/axe/install.sh");
        let output = Command::new(install).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
    })
}

/// Checks the open page in each colour scheme and size.
async fn check(browser: &Browser, what: &str) {
    for (scheme, width, height) in
        [("light", 1280, 900), ("dark", 1280, 900), ("light", 360, 740), ("dark", 360, 740)]
    {
        screen(browser, scheme, width, height).await;
        // The driver runs this outside of the page's Content-Security-Policy.
        let script = format!(
            "{}; const {{ passes, violations }} = await axe.run(); \
             const found = violations.flatMap(({{ id, help, nodes }}) => \
               nodes.map((node) => `${{id}}: ${{help}}: ${{node.html}}: ${{node.failureSummary}}`)); \
             return [passes.length, found];",
            axe()
        );
        let result = browser.script(&format!("return (async () => {{ {script} }})();")).await;
        assert_eq!(result[1], json!([]), "{what}, {scheme}, {width} pixels wide");
        assert!(result[0].as_u64().is_some_and(|passes| passes >= 10), "{what}: {result}");
    }
}

#[tokio::test]
async fn page_passes_axe() {
    let scene = Scene::with_setup().await;
    let mut running =
        vec![scene.chat("build-7").await, scene.chat("studio").await, scene.chat("bobs-laptop").await];
    let (browser, _) = scene.open("studio").await;
    let rows = |table: &str| format!("document.querySelectorAll('#{table} tbody tr').length");
    browser.until("the requests", &format!("{} === 3", rows("requests"))).await;
    browser.until("the past", &format!("{} >= 4", rows("days"))).await;
    browser.until("Ollama", "document.getElementById('health').innerText.includes('qwen3')").await;
    check(&browser, "an admin's page").await;
    browser.script("document.querySelectorAll('details').forEach((one) => one.open = true);").await;
    check(&browser, "an admin's page with all details").await;
    browser.script("document.querySelector('#requests button').click();").await;
    check(&browser, "the question").await;

    let (browser, _) = scene.open("bobs-laptop").await;
    browser.until("the own request", &format!("{} === 1", rows("requests"))).await;
    check(&browser, "a viewer's page").await;
    running.clear();
    browser.until("no request", &format!("{} === 0", rows("requests"))).await;
    check(&browser, "a viewer's page without requests").await;
    // No event arrives, and a minute of the page's clock passes.
    scene.world.proxy.process.signal(rustix::process::Signal::STOP);
    browser.script("const now = Date.now; Date.now = () => now() + 60_000;").await;
    let silent = "document.getElementById('stream').textContent.startsWith('No event from the node')";
    browser.until("the loss", silent).await;
    check(&browser, "a page without its node").await;
}

#[tokio::test]
async fn setup_and_refusal_pass_axe() {
    let scene = Scene::with_setup().await;
    for (client, what) in [
        ("kiosk", "the whole set-up"),
        ("bobs-laptop", "a set-up with clients that are missing"),
        ("build-7", "a set-up without models"),
    ] {
        let browser = scene.open_setup(client).await;
        check(&browser, what).await;
        browser.click(".lines button").await;
        assert!(browser.text("#copied").await.starts_with("Copied"));
        check(&browser, "a set-up that was copied from").await;
    }
    let at = scene.forward("kiosk", 80).await;
    let browser = Browser::new(crate::scene::NAME).await;
    browser.go(&format!("http://{}:{}/nowhere", crate::scene::NAME, at.port())).await;
    assert!(browser.text("body").await.contains("(rule: grant)"));
    check(&browser, "a refusal").await;
}
