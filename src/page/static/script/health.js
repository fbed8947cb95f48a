// The section about Ollama, the models to preload, the node, the queue and the logs: a card for each.

const SOON = 7 * 86_400_000;

function findCard(name) {
  return document.querySelector(`#health > [data-key="${name}"]`);
}

function showCard(name, kind, value, details) {
  let card = findCard(name);
  if (!card) {
    const parts = [element("dt"), element("dd", { class: "value" }), element("dd", { class: "details" })];
    card = element("div", { "data-key": name }, ...parts);
    $("health").append(card);
  }
  setAttribute(card, "class", kind);
  [name, value, details].forEach((text, part) => setText(card.children[part], text));
}

function showHealth(health) {
  showNames(health.node.name);
  showOllama(health.ollama);
  showTailnet(health);
  showKeyExpiry(health.node.key_expiry);
  showPreload(health.preload ?? []);
  showLogs(health.logs ?? []);
  const waiting = health.waiting > 0 ? `${numbers.format(health.waiting)} waiting for a slot` : "No request waits";
  showCard("Queue", "idle", `${health.running} of ${health.running_max} running`, waiting);
  setText($("about-proxy"), `remote-ollama-proxy ${health.version}, running since ${absolute(health.since)}.`);
}

function showNames(name) {
  setText($("name"), name.split(".")[0] || "remote-ollama-proxy");
  setText($("domain"), name.includes(".") ? name.slice(name.indexOf(".")) : "");
  document.title = `${shortName(name) || "remote-ollama-proxy"} · remote-ollama-proxy`;
}

function showOllama(ollama) {
  if (!ollama) return showCard("Ollama", "idle", "Checking…", "");
  if (!ollama.version) return showCard("Ollama", "bad", "Does not answer", ollama.fault ?? "");
  const models = ollama.models?.map((model) => `${model.name} (${bytes(model.bytes)})`).join(", ");
  const loaded = models === undefined ? "" : models === "" ? ", no model loaded" : `, ${models} loaded`;
  const fault = ollama.fault ? `; ${ollama.fault}` : "";
  return showCard("Ollama", fault ? "warn" : "good", "Answers", `Version ${ollama.version}${loaded}${fault}`);
}

function showTailnet({ node, stopping }) {
  const warnings = node.warnings ?? [];
  const problems = [node.error, ...warnings].filter(Boolean).join("; ");
  const state = node.state === "Running" ? "Connected" : node.state;
  const kind = !node.running ? "bad" : warnings.length > 0 || stopping ? "warn" : "good";
  // The warnings are sent to admins only, so a viewer cannot tell that there are none.
  const calm = stopping ? "Running requests may finish" : node.running && isAdmin() ? "Nothing to report" : "";
  showCard("Tailnet", kind, stopping ? "Stopping" : state, problems || calm);
}

function showKeyExpiry(at) {
  if (!at) return showCard("Node key", "good", "Does not expire", "");
  const left = Date.parse(at) - now();
  if (left <= 0) return showCard("Node key", "bad", "Has expired", absolute(at));
  return showCard("Node key", left < SOON ? "warn" : "good", `Expires in ${duration(left)}`, absolute(at));
}

/** A card for the models of models.preload, if there are any. */
function showPreload(models) {
  if (models.length === 0) return findCard("Preload")?.remove();
  const loaded = models.filter(({ state }) => state === "loaded").length;
  const isBad = models.some(({ state }) => state === "failed" || state === "unloaded");
  const kind = isBad ? "warn" : loaded === models.length ? "good" : "idle";
  const details = models.map(({ model, state, reason }) => `${model} ${state}${reason ? ` (${reason})` : ""}`);
  showCard("Preload", kind, `${loaded} of ${models.length} loaded`, details.join(", "));
}

/** A card for the logs, while one of them has a fault. */
function showLogs(logs) {
  if (logs.length === 0) return findCard("Log")?.remove();
  const details = logs.map(({ name, to, lost, last_lost, fault, grows, unremoved }) => {
    const faults = [
      fault && `can't be written: ${fault}`,
      grows && `can't be rotated, so it grows: ${grows}`,
      unremoved && `an old file can't be removed: ${unremoved}`,
      last_lost && `${numbers.format(lost)} lost, the last ${absolute(last_lost)}`,
    ];
    return `The ${name}, ${to}: ${faults.filter(Boolean).join("; ")}`;
  });
  const lost = logs.reduce((sum, log) => sum + log.lost, 0);
  const otherwise = logs.some((log) => log.grows) ? "Is not rotated" : "An old file is not removed";
  const value = lost > 0 ? `${count(lost, "line")} lost` : otherwise;
  showCard("Log", logs.some((log) => log.fault) ? "bad" : "warn", value, details.join(". "));
}
