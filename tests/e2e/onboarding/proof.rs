//! What each recipe says, tried in a tailnet.

use remote_ollama_proxy::config::CAPABILITY;

use super::*;

pub(super) async fn a_device_is_added(recipe: &Recipe) {
    let scene = Scene::new("").await;
    // Only the recipe grants access.
    scene.policy(&beginning()).await;
    scene.reaches("laptop", false).await;
    scene.policy(&recipe.added()).await;
    scene.reaches("laptop", true).await;
    scene.device("phone", "tag:ai-client").await;
    let at = scene.forward("phone").await;
    assert_eq!(ask(at, &get("/v1/models")).await.status(), 200);
    scene.journal("phone", "gained").await;
    // The device of a user without the tag gets no access.
    scene.device("visitor", "eve@example.com").await;
    scene.reaches("visitor", false).await;
}

pub(super) async fn a_ci_runner_is_added_and_held_to_its_limits(recipe: &Recipe) {
    let mut scene = Scene::new("").await;
    scene.policy(&recipe.added()).await;
    scene.device("runner", "tag:ai-ci").await;
    let at = scene.forward("runner").await;
    scene.who("runner", |p| p["max_concurrent"] == 2 && p["requests_per_minute"] == 60).await;

    assert_eq!(ask(at, &get("/v1/models")).await.status(), 200);
    refused(&ask(at, &get("/api/tags")).await, 403, "grant");
    let running = (stream(at).await, stream(at).await);
    let third = ask(at, &chat()).await;
    refused(&third, 429, "concurrency");
    assert_eq!(third.header("retry-after"), Some("1"));
    drop(running);
    scene.open(0).await;

    // One connection, so that sixty requests take much less than a minute.
    let mut client = Client::new(TcpStream::connect(at).await.unwrap());
    let mut begun = 3;
    let last = found("the end of the rate", async || {
        client.send(get("/v1/models")).await;
        let answer = client.answer().await;
        match answer.status() {
            200 => begun += 1,
            // The slots of the two streams become free a moment after Ollama.
            429 if answer.text().contains("(rule: concurrency)") => {}
            _ => return Some(answer),
        }
        None
    })
    .await;
    refused(&last, 429, "rate");
    assert!(last.header("retry-after").is_some() && begun >= 60, "{begun}: {}", last.head);

    scene.logged(&["runner.tailnet.test", "\"rule\":\"grant\"", "\"status\":403"]).await;
    scene.logged(&["runner.tailnet.test", "\"rule\":\"concurrency\"", "\"status\":429"]).await;
    scene.logged(&["runner.tailnet.test", "\"rule\":\"rate\"", "\"status\":429"]).await;
    let shown = scene.who_says(&[]).await;
    assert!(shown.contains("rights from  grants, at most 2 at once, at most 60 per minute"), "{shown}");
}

pub(super) async fn a_guest_gets_in_until_the_key_expires_or_the_name_is_taken_out(recipe: &Recipe) {
    let mut scene = Scene::new("").await;
    scene.policy(&recipe.added()).await;
    scene.device("tablet", "guest@example.com").await;
    scene.device("visitor", "eve@example.com").await;
    let at = scene.forward("tablet").await;
    assert_eq!(ask(at, &get("/v1/models")).await.status(), 200);
    refused(&ask(at, &get("/api/tags")).await, 403, "grant");
    scene.reaches("visitor", false).await;

    // A week before the expiry nothing changes; when it passes, all sessions end.
    let expiry = async |scene: &Scene, after: &str| {
        scene.tailnet().api("POST", "/nodes/tablet/key-expiry", json!({"in": after})).await;
    };
    expiry(&scene, "168h").await;
    assert_eq!(ask(at, &get("/v1/models")).await.status(), 200);
    scene.cuts("tablet", "key expired by the clock", async |scene| expiry(scene, "1s").await).await;
    scene.logged(&["tablet.tailnet.test", "\"ended\":\"revoked\""]).await;
    scene.journal("tablet", "lost").await;

    // The guest is back, with a key that does not expire: only removing the name ends the access.
    expiry(&scene, "never").await;
    scene
        .cuts("tablet", "name taken out", async |scene| {
            let mut policy = recipe.added();
            policy["groups"]["group:ai-guests"] = json!([]);
            scene.policy(&policy).await;
        })
        .await;
}

pub(super) async fn a_person_has_a_weekly_quota(recipe: &Recipe) {
    let scene = Scene::new("").await;
    scene.policy(&recipe.added()).await;
    scene.device("tablet", "anna@example.com").await;
    let at = scene.forward("tablet").await;
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "hi"}]});
    let answer = ask(at, &post("/v1/chat/completions", &body.to_string())).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("200000"), "{}", answer.head);
    let peer = scene.who("tablet", |p| p["quotas"][0]["used"].as_u64() > Some(0)).await;
    assert_eq!(peer["quotas"][0]["key"], "tokens_per_week");
    // A tagged device is no person's.
    let answer = ask(scene.world.at, &get("/v1/models")).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), None, "{}", answer.head);
    // A grant without the key lifts the quota.
    let mut policy = recipe.added();
    let mut more = policy["grants"][1].clone();
    more["app"][CAPABILITY] = json!([{"max_concurrent": 2}]);
    policy["grants"].as_array_mut().unwrap().push(more);
    scene.policy(&policy).await;
    scene.who("tablet", |p| p["quotas"].as_array().is_none_or(Vec::is_empty)).await;
}

pub(super) async fn a_peer_is_narrowed_to_one_endpoint(recipe: &Recipe) {
    let scene = Scene::new("").await;
    scene.policy(&recipe.added()).await;
    scene.device("kiosk", "tag:ai-chat").await;
    let at = scene.forward("kiosk").await;
    drop(stream(at).await);
    for request in [get("/v1/models"), get("/api/tags"), get("/api/version"), post("/v1/messages", "{}")] {
        refused(&ask(at, &request).await, 403, "grant");
    }
    let peer = scene.who("kiosk", |p| p["through"] == "grants").await;
    assert_eq!(peer["endpoints"], json!(["v1_chat_completions"]));
    // The others keep their access.
    assert_eq!(ask(scene.world.at, &get("/api/tags")).await.status(), 200);
}

pub(super) async fn every_peer_needs_a_grant(recipe: &Recipe) {
    let scene = Scene::new(recipe.block("toml")).await;
    let at = scene.world.at;
    scene.who("laptop", |p| p["may_connect"] == true && p["through"] == "nothing").await;
    refused(&ask(at, &get("/v1/models")).await, 403, "grant");
    scene.policy(&recipe.added()).await;
    scene.who("laptop", |p| p["through"] == "grants").await;
    assert_eq!(ask(at, &get("/v1/models")).await.status(), 200);
}

pub(super) async fn a_rule_is_removed(recipe: &Recipe) {
    let added = Recipe::named("Add a CI runner");
    // The entries to remove are those that were added, except the tag's owners.
    let mut rest = added.policy();
    for (section, entries) in sections(&recipe.policy()) {
        assert_eq!(&rest[section], entries, "section {section}");
        rest.as_object_mut().unwrap().remove(section);
    }
    assert_eq!(sections(&rest).keys().collect::<Vec<_>>(), ["tagOwners"]);
    let without = with(&Recipe::named("Add a device").added(), &rest);

    let mut scene = Scene::new("").await;
    scene.policy(&added.added()).await;
    scene.device("runner", "tag:ai-ci").await;
    scene.cuts("runner", "rule removed", async |scene| scene.policy(&without).await).await;
    scene.logged(&["runner.tailnet.test", "\"ended\":\"revoked\""]).await;
    scene.journal("runner", "lost").await;
    // With the entries restored, all is as before.
    scene.policy(&added.added()).await;
    scene.reaches("runner", true).await;
}

pub(super) async fn a_device_is_removed(_: &Recipe) {
    let mut scene = Scene::new("").await;
    scene.device("phone", "tag:ai-client").await;
    scene
        .cuts("phone", "device removed", async |scene| {
            scene.tailnet().api("DELETE", "/nodes/phone", Value::Null).await;
        })
        .await;
    scene.who("phone", Value::is_null).await;
    scene.logged(&["phone.tailnet.test", "\"ended\":\"revoked\""]).await;
    scene.journal("phone", "lost").await;
}

pub(super) async fn a_key_is_expired(_: &Recipe) {
    let mut scene = Scene::new("").await;
    scene.device("phone", "tag:ai-client").await;
    scene
        .cuts("phone", "key expired", async |scene| {
            scene.tailnet().api("POST", "/nodes/phone/expire", Value::Null).await;
        })
        .await;
    scene.logged(&["phone.tailnet.test", "\"ended\":\"revoked\""]).await;
    scene.journal("phone", "lost").await;
    let shown = scene.who_says(&[]).await;
    assert!(shown.contains("phone.tailnet.test (tag:ai-client): its key has expired"), "{shown}");
}
