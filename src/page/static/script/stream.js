// The stream of events, and what the page says about it. An EventSource does not say why there is no stream, so the page
// reads the stream itself.

/** Without an event for this time, in ms, the page is out of date. The node sends one every 10 s at least. */
const OUT_OF_DATE = 25_000;

/** The time, in ms, until the next attempt: at first, */
const RETRY_FIRST = 3_000;
/** and, doubled each time, at most, while the node refuses the stream (each refusal is a line in its log), */
const RETRY_REFUSED = 300_000;
/** and while the node does not answer. */
const RETRY_LOST = 30_000;

let lastEvent = 0;
let isStreaming = false;
let retryDelay = RETRY_FIRST;
let retryTimer;
let stream = new AbortController();

/** In this order, since later sections use what earlier ones say. */
const SHOW = {
  health: showHealth,
  you: showYou,
  requests: showRequests,
  peers: showPeers,
  days: showDays,
  models: showModels,
  refusals: showRefusals,
  changes: showChanges,
};

function showYou({ node, principal, page, setup }) {
  const all = page === "admin";
  $("setup").hidden = !setup;
  document.body.classList.toggle("viewer", !all);
  const you = principal === node ? principal : `${principal}, on ${shortName(node)}`;
  setText($("you"), all ? `You are ${you}: you see everything.` : `You are ${you}: you see what is yours.`);
  setText($("requests-title"), all ? "Requests" : "Your requests");
  setText($("peers-title"), all ? "Peers and their rights" : "Your rights");
  setText($("days-title"), all ? "The last 14 days" : "Your last 14 days");
  setText($("refusals-title"), all ? "Refused" : "Refused to you");
  setText($("changes-title"), all ? "Access gained and lost" : "Your access gained and lost");
}

function setStreamState(isLive, text) {
  const pill = $("stream");
  setText(pill, text);
  pill.classList.toggle("live", isLive);
  pill.classList.toggle("lost", !isLive);
  $("main").classList.toggle("stale", !isLive);
}

function setLost(why) {
  const age = lastEvent === 0 ? "" : ` Last update at ${new Date(lastEvent).toLocaleTimeString()}.`;
  setStreamState(false, `${why}${age}`);
}

function takeEvent(data) {
  const { now: at, ...changed } = JSON.parse(data);
  clockSkew = Date.parse(at) - Date.now();
  lastEvent = Date.now();
  retryDelay = RETRY_FIRST;
  Object.assign(sections, changed);
  for (const [name, show] of Object.entries(SHOW)) if (name in changed) show(changed[name]);
  $("main").hidden = false;
  setStreamState(true, "Live");
}

/** A refusal's text without the program and the request at its start. */
const reason = (error) => error.replace(/^remote-ollama-proxy: \S+ \S+: /, "");

/** Removes all that is shown, after the right to the page is lost. */
function clearPage() {
  sections = {};
  closeCancelDialog($("title"));
  $("main").hidden = true;
  for (const table of document.querySelectorAll("table")) table.tBodies[0].replaceChildren();
  $("health").replaceChildren();
  setText($("you"), "");
}

/** Reads a stream to its end (HTML standard, "Server-sent events"; the node sends only `data` fields of one line). */
async function readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) takeEvent(event.slice("data: ".length));
  }
}

/** Reads a stream while the tab is visible, and tries again when it ends. */
async function listen() {
  clearTimeout(retryTimer);
  stream.abort();
  isStreaming = false;
  if (document.hidden) return setLost("Paused while it is not shown.");
  const { signal } = (stream = new AbortController());
  let longest = RETRY_LOST;
  try {
    // With the cache, a second tab would wait until the stream of the first ends.
    const answer = await fetch("events", { signal, cache: "no-store", headers: { Accept: "text/event-stream" } });
    if (answer.ok) {
      isStreaming = true;
      await readEvents(answer.body);
      setLost("Connection lost, trying again…");
    } else {
      const { error } = await answer.json();
      if (answer.status === 403) clearPage();
      setStreamState(false, reason(error));
      longest = RETRY_REFUSED;
    }
  } catch (error) {
    if (signal.aborted) return;
    console.error(error);
    setLost("Connection lost, trying again…");
  }
  isStreaming = false;
  retryTimer = setTimeout(listen, retryDelay);
  retryDelay = Math.min(2 * retryDelay, longest);
}

/** Updates ages, rates and times. */
function tick() {
  if (lastEvent === 0) return;
  sampleRates();
  for (const name of ["requests", "days", "refusals", "changes"]) if (sections[name]) SHOW[name](sections[name]);
  if (sections.health) showKeyExpiry(sections.health.node.key_expiry);
  if (isStreaming && Date.now() - lastEvent > OUT_OF_DATE) setLost("No event from the node, waiting…");
}

document.addEventListener("visibilitychange", () => {
  retryDelay = RETRY_FIRST;
  listen();
});
setInterval(tick, 1000);
listen();
