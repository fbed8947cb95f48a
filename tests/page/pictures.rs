//! The screenshots of the page in docs/pictures/, written if `PICTURES` names a folder.

use std::path::PathBuf;

use serde_json::json;

use crate::accessible::screen;
use crate::browser::Browser;
use crate::http::soon;
use crate::scene::Scene;

/// Writes pictures to the folder that `PICTURES` names.
fn keep<const N: usize>(pictures: [(&str, Vec<u8>); N]) {
    let Some(folder) = std::env::var_os("PICTURES").map(PathBuf::from) else { return };
    for (name, picture) in pictures {
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}

async fn look(browser: &Browser, scheme: &str, width: u32, height: u32) -> Vec<u8> {
    screen(browser, scheme, width, height).await;
    browser.picture().await
}

#[tokio::test]
async fn page_is_dark_or_light_and_fits_a_phone() {
    let scene = Scene::new().await;
    let mut running = Vec::new();
    for client in ["studio", "bobs-laptop", "build-7"] {
        running.push(scene.chat(client).await);
    }
    let mut waiting = scene.connect("kiosk").await;
    waiting.send(crate::http::post("/v1/chat/completions", "{}")).await;
    let (browser, _) = scene.open("studio").await;
    browser
        .until("what runs and waits", "document.querySelectorAll('#requests tbody tr').length === 4")
        .await;
    browser.until("Ollama", "document.getElementById('health').innerText.includes('qwen3')").await;
    browser
        .until(
            "what is spent",
            "document.getElementById('peers').innerText.includes('1 of 500 requests a day')",
        )
        .await;
    browser.until("a rate", "/[1-9].* kB.s/.test(document.querySelector('#requests tbody').innerText)").await;
    let (light, dark) = (look(&browser, "light", 1280, 1220).await, look(&browser, "dark", 1280, 1220).await);
    assert_ne!(light, dark);
    let ground = "return getComputedStyle(document.body).backgroundColor;";
    assert_eq!(browser.script(ground).await, "rgb(14, 18, 22)");
    let phone = look(&browser, "light", 360, 1180).await;
    assert_eq!(browser.script(ground).await, "rgb(244, 246, 248)");
    let wide = browser.script("return document.documentElement.scrollWidth;").await;
    assert_eq!(wide, json!(360), "it scrolls sideways");
    browser.script("document.querySelectorAll('details').forEach((one) => one.open = true);").await;
    let wide = browser.script("return document.documentElement.scrollWidth;").await;
    assert_eq!(wide, json!(360), "it scrolls sideways once something is opened");
    keep([("page-light", light), ("page-dark", dark), ("page-phone", phone)]);
    soon("the end", async { drop((running, waiting)) }).await;
}

#[tokio::test]
async fn setup_is_dark_or_light() {
    let scene = Scene::with_setup().await;
    let browser = scene.open_setup("kiosk").await;
    // The hostile name is for other tests.
    browser.script("document.querySelector('.models li:not(:has(a))').remove();").await;
    let (light, dark) = (look(&browser, "light", 1000, 1000).await, look(&browser, "dark", 1000, 1000).await);
    assert_ne!(light, dark);
    keep([("page-setup-light", light), ("page-setup-dark", dark)]);
}
