// Shows what /events tells. Whatever comes from there is shown as text, never read as markup.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  /** After how long without an event, in ms, what is shown counts as old. The node says something every ten seconds. */
  const PATIENCE = 25_000;
  /** How long, in ms, until a stream is asked for again, at first and, each time twice as long, at the longest: */
  const AGAIN = 3_000;
  /** while the node refuses it, */
  const LONGEST = 300_000;
  /** and while there is no answer. */
  const LONGEST_LOST = 30_000;
  /** How long, in ms, the node has to say that a request is cancelled. */
  const CANCEL_TIME = 10_000;
  /** How many seconds a rate is taken over. */
  const RATE_OVER = 5;

  /** While the node reads its files of before. */
  const READING = "Still reading what was before…";

  /** What is known, by section. */
  let known = {};
  /** The node's clock minus ours, in ms. */
  let skew = 0;
  let lastEvent = 0;
  /** Whether there is a stream, and how long until the next is asked for if it ends. */
  let listening = false;
  let wait = AGAIN;

  // --- text -----------------------------------------------------------------------------------------------------------

  const now = () => Date.now() + skew;
  const numbers = new Intl.NumberFormat("en");
  const count = (n, one) => `${numbers.format(n)} ${n === 1 ? one : `${one}s`}`;

  function bytes(n) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let at = 0;
    while (n >= 999.5 && at < units.length - 1) {
      n /= 1000;
      at += 1;
    }
    return `${at === 0 || n >= 99.5 ? Math.round(n) : n.toFixed(1)} ${units[at]}`;
  }

  function span(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
    return count(Math.floor(s / 86400), "day");
  }

  function ago(ms) {
    const s = Math.floor(ms / 1000);
    if (s < 10) return "just now";
    if (s < 60) return `${s} s ago`;
    if (s < 3600) return `${Math.floor(s / 60)} min ago`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
    return `${count(Math.floor(s / 86400), "day")} ago`;
  }

  const absolute = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });

  /** A device's name without the domain that it shares with this node. */
  function short(name) {
    const own = known.health?.node.name ?? "";
    const domain = own.includes(".") ? own.slice(own.indexOf(".")) : "";
    return domain && name.endsWith(domain) ? name.slice(0, -domain.length) : name;
  }

  // --- elements -------------------------------------------------------------------------------------------------------

  function element(name, more = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /** Touches the document only if something is new, so that nothing jumps and no selection is lost. */
  function say(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function mark(node, name, value) {
    if (value === undefined) node.removeAttribute(name);
    else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }

  /** Shows rows in a table, each made once for its key and filled whenever it changes. */
  function rows(table, items, key, make, fill) {
    const body = table.tBodies[0];
    const before = new Map([...body.rows].map((row) => [row.dataset.key, row]));
    let place = body.firstElementChild;
    for (const item of items) {
      const name = key(item);
      let row = before.get(name);
      before.delete(name);
      if (!row) {
        row = make(item);
        row.dataset.key = name;
        row.setAttribute("role", "row");
      }
      if (row === place) place = place.nextElementSibling;
      else body.insertBefore(row, place);
      fill(row, item);
    }
    for (const row of before.values()) {
      // Whoever was in it with the keyboard goes on from the heading.
      const held = row.contains(document.activeElement);
      row.remove();
      if (held) heading(table).focus();
    }
    table.hidden = items.length === 0;
    $(`${table.id}-empty`).hidden = items.length > 0;
  }

  function heading(table) {
    const title = $(`${table.id}-title`);
    title.tabIndex = -1;
    return title;
  }

  function row(table, ...classes) {
    const made = element("tr");
    const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    labels.forEach((label, at) => {
      const role = at === 0 ? "rowheader" : "cell";
      const cell = element(at === 0 ? "th" : "td", { role, "data-label": label, class: classes[at] ?? "" });
      if (at === 0) cell.scope = "row";
      made.append(cell);
    });
    return made;
  }

  function peer(cell, node, principal) {
    if (!cell.firstChild) cell.append(element("span", { class: "name" }), element("span", { class: "sub" }));
    say(cell.firstChild, short(node));
    mark(cell.firstChild, "title", node);
    say(cell.lastChild, principal === node ? "" : principal);
  }

  function tag(cell, text, kind) {
    if (!cell.firstChild) cell.append(element("span"));
    say(cell.firstChild, text);
    mark(cell.firstChild, "class", `tag ${kind}`);
  }

  function time(cell, at) {
    if (!cell.firstChild) cell.append(element("time", { class: "nowrap" }));
    const shown = cell.firstChild;
    mark(shown, "datetime", at);
    mark(shown, "title", absolute(at));
    say(shown, ago(now() - Date.parse(at)));
  }

  function number(cell, text, zero) {
    say(cell, text);
    cell.classList.toggle("zero", zero);
  }

  /** What stands in place of a table of the past that has no rows. */
  const none = (id, text) => say($(`${id}-empty`), known.reading ? READING : text);

  function more(id, text) {
    say($(id), text);
    $(id).hidden = text === "";
  }

  // --- sections -------------------------------------------------------------------------------------------------------

  const admin = () => known.you?.page === "admin";

  function showYou({ node, principal, page }) {
    document.body.classList.toggle("viewer", page !== "admin");
    const who = principal === node ? principal : `${principal}, on ${short(node)}`;
    say($("you"), page === "admin" ? `You are ${who}: you see everything.` : `You are ${who}: you see what is yours.`);
    const own = page !== "admin";
    say($("requests-title"), own ? "Your requests" : "Requests");
    say($("peers-title"), own ? "What you may do here" : "Who may reach this node");
    say($("days-title"), own ? "Your last 14 days" : "The last 14 days");
    say($("refusals-title"), own ? "Refused to you" : "Refused");
    say($("changes-title"), own ? "Your access gained and lost" : "Access gained and lost");
  }

  function card(name, kind, value, rest) {
    let shown = document.querySelector(`#health > [data-key="${name}"]`);
    if (!shown) {
      const [value, rest] = [element("dd", { class: "value" }), element("dd", { class: "more-of-it" })];
      shown = element("div", { "data-key": name }, element("dt"), value, rest);
      $("health").append(shown);
    }
    const [term, first, second] = shown.children;
    mark(shown, "class", kind);
    say(term, name);
    say(first, value);
    say(second, rest);
  }

  function showHealth(health) {
    const { node, ollama } = health;
    say($("name"), node.name.split(".")[0] || "remote-ollama-proxy");
    say($("domain"), node.name.includes(".") ? node.name.slice(node.name.indexOf(".")) : "");
    document.title = `${short(node.name) || "remote-ollama-proxy"} · remote-ollama-proxy`;
    if (!ollama) card("Ollama", "idle", "Being asked…", "");
    else if (ollama.version) {
      const models = ollama.models?.map((model) => `${model.name} (${bytes(model.bytes)})`).join(", ");
      const loaded = models === undefined ? "" : models === "" ? ", no model loaded" : `, ${models} loaded`;
      const fault = ollama.fault ? `; ${ollama.fault}` : "";
      card("Ollama", fault ? "warn" : "good", "Answers", `Version ${ollama.version}${loaded}${fault}`);
    } else card("Ollama", "bad", "Does not answer", ollama.fault ?? "");

    const warnings = node.warnings ?? [];
    const trouble = [node.error, ...warnings].filter(Boolean).join("; ");
    const state = node.state === "Running" ? "Connected" : node.state;
    const kind = !node.running ? "bad" : warnings.length > 0 || health.stopping ? "warn" : "good";
    // A viewer is not sent the warnings.
    const calm = health.stopping ? "Requests that run may end" : node.running && admin() ? "Nothing to report" : "";
    card("Tailnet", kind, health.stopping ? "Stopping" : state, trouble || calm);
    showExpiry(node.key_expiry);
    showLogs(health.logs ?? []);
    const waiting = health.waiting > 0 ? `${numbers.format(health.waiting)} waiting for a turn` : "Nobody waits";
    card("Queue", "idle", `${health.running} of ${health.running_max} running`, waiting);
    say($("about-proxy"), `remote-ollama-proxy ${health.version}, running since ${absolute(health.since)}.`);
  }

  /** A card for the log and the journal, as long as something is wrong with either. */
  function showLogs(logs) {
    if (logs.length === 0) return document.querySelector('#health > [data-key="Log"]')?.remove();
    const told = logs.map(({ name, to, lost, last_lost, fault, grows, unremoved }) => {
      const all = [
        fault && `can't be written: ${fault}`,
        grows && `can't be set aside, so it grows: ${grows}`,
        unremoved && `an old file can't be removed: ${unremoved}`,
        last_lost && `${numbers.format(lost)} lost, the last ${absolute(last_lost)}`,
      ];
      return `The ${name}, ${to}: ${all.filter(Boolean).join("; ")}`;
    });
    const lost = logs.reduce((sum, log) => sum + log.lost, 0);
    const otherwise = logs.some((log) => log.grows) ? "Is not set aside" : "An old file is not removed";
    const value = lost > 0 ? `${numbers.format(lost)} ${lost === 1 ? "line" : "lines"} lost` : otherwise;
    card("Log", logs.some((log) => log.fault) ? "bad" : "warn", value, told.join(". "));
  }

  function showExpiry(at) {
    if (!at) return card("Node key", "good", "Does not expire", "");
    const left = Date.parse(at) - now();
    if (left <= 0) return card("Node key", "bad", "Has expired", absolute(at));
    return card("Node key", left < 7 * 86_400_000 ? "warn" : "good", `Expires in ${span(left)}`, absolute(at));
  }

  /** Bytes received by each request, once a second. */
  const samples = new Map();

  function sample() {
    const running = (known.requests?.rows ?? []).filter((request) => request.state === "running");
    const ids = new Set(running.map((request) => request.id));
    for (const id of samples.keys()) if (!ids.has(id)) samples.delete(id);
    for (const { id, bytes_out } of running) {
      const own = samples.get(id) ?? [];
      own.push({ at: performance.now(), bytes: bytes_out });
      if (own.length > RATE_OVER + 1) own.shift();
      samples.set(id, own);
    }
  }

  function rate({ id, state, since, bytes_out }) {
    if (state !== "running") return "";
    const own = samples.get(id) ?? [];
    // Since it began, until there is enough to tell of the last seconds.
    if (own.length < 3) return `${bytes((1000 * bytes_out) / Math.max(1000, now() - Date.parse(since)))}/s`;
    const [first, last] = [own[0], own[own.length - 1]];
    return `${bytes((1000 * Math.max(0, last.bytes - first.bytes)) / (last.at - first.at))}/s`;
  }

  function showRequests({ rows: items, more: left }) {
    const table = $("requests");
    rows(
      table,
      items,
      (request) => request.id,
      (request) => {
        const made = row(table, "", "", "", "number", "number", "number", "number", "admin");
        const cancel = element("button", { type: "button" }, "Cancel");
        const whose = ` the request of ${short(request.node)}, ${request.endpoint}`;
        cancel.append(element("span", { class: "unseen" }, whose));
        cancel.addEventListener("click", () => ask(made.dataset.key));
        made.cells[7].append(cancel);
        return made;
      },
      ({ cells }, request) => {
        const age = Math.max(0, now() - Date.parse(request.since));
        peer(cells[0], request.node, request.principal);
        say(cells[1], request.endpoint);
        tag(cells[2], request.state, request.state === "running" ? "good" : "warn");
        say(cells[3], span(age));
        mark(cells[3], "title", `since ${absolute(request.since)}`);
        say(cells[4], bytes(request.bytes_in));
        say(cells[5], bytes(request.bytes_out));
        say(cells[6], rate(request));
      },
    );
    if ($("ask").open && !items.some((request) => request.id === asked)) {
      withdraw(heading(table));
      say($("said"), "The request has ended.");
    }
    more("requests-more", left > 0 ? `${count(left, "younger request")} left out.` : "");
  }

  function showPeers(peers) {
    const table = $("peers");
    // Who is there first; among these the order is that of the names.
    const there = [...peers.rows].sort((a, b) => Number(b.online) - Number(a.online));
    rows(
      table,
      there,
      (one) => `${one.node} ${one.principal}`,
      () => {
        const made = row(table);
        const list = element("details", {}, element("summary"), element("ul"));
        made.cells[1].append(list, element("span", { class: "sub" }));
        return made;
      },
      ({ cells }, one) => {
        peer(cells[0], one.node, one.principal);
        const [list, beside] = cells[1].children;
        const [summary, items] = list.children;
        const what = one.endpoints.length === 0 ? "nothing of Ollama" : count(one.endpoints.length, "endpoint");
        say(summary, [what, ...one.limits].join(", "));
        const grants = one.grants.map((grant) => `grant ${grant}`);
        const faults = one.faults.map((fault) => `faulty grant ${fault}`);
        const text = [one.endpoints.join(", "), ...grants, ...faults].filter(Boolean);
        if ([...items.children].map((item) => item.textContent).join("\n") !== text.join("\n")) {
          const kind = (line) => (line.startsWith("faulty") ? "fault" : "");
          items.replaceChildren(...text.map((line) => element("li", { class: kind(line) }, line)));
        }
        const also = [
          one.metrics && `${admin() ? "reads" : "you read"} the metrics`,
          one.page === "view" && (admin() ? "sees their own on this page" : "you see your own on this page"),
          one.page === "admin" && `${admin() ? "sees" : "you see"} all of this page and may cancel`,
          faults.length > 0 && count(faults.length, "faulty grant"),
        ];
        say(beside, also.filter(Boolean).join(", "));
        say(cells[2], one.through);
        tag(cells[3], one.online ? one.path ?? "online" : "offline", one.online ? "good" : "idle");
      },
    );
    const nobody = admin()
      ? "The tailnet policy lets nobody reach this node."
      : "The tailnet policy lets you see this page, and no more.";
    say($("peers-empty"), peers.joined ? nobody : "The node has not joined the tailnet yet.");
    const network = "Whoever the tailnet policy lets connect may use what the config allows; grants narrow it.";
    say($("peers-about"), peers.access === "grants" ? "Only what grants of the tailnet policy say may be used." : network);
    const left = [];
    if (peers.more > 0) left.push(`${count(peers.more, "more peer")} left out.`);
    if (admin() && peers.others > 0) left.push(`${count(peers.others, "other peer")} of the tailnet may do nothing here.`);
    more("peers-more", left.join(" "));
  }

  /** A bar for each day, each row by its own largest. */
  function bars(cell, values, days) {
    const most = Math.max(1, ...values);
    const space = "http://www.w3.org/2000/svg";
    const make = (name) => document.createElementNS(space, name);
    if (!cell.firstChild) {
      const picture = make("svg");
      mark(picture, "class", "bars");
      mark(picture, "viewBox", `0 0 ${8 * values.length} 28`);
      mark(picture, "preserveAspectRatio", "none");
      mark(picture, "role", "img");
      values.forEach((_, at) => {
        const bar = make("rect");
        mark(bar, "x", String(8 * at));
        mark(bar, "width", "6");
        bar.append(make("title"));
        picture.append(bar);
      });
      cell.append(picture);
    }
    const picture = cell.firstChild;
    const peak = values.lastIndexOf(most);
    const told = `most on ${days[peak]}: ${count(most, "request")}; today ${numbers.format(values.at(-1))}`;
    mark(picture, "aria-label", peak < 0 ? "no request" : told);
    values.forEach((value, at) => {
      const bar = picture.children[at];
      const height = value === 0 ? 2 : Math.max(3, Math.round((28 * value) / most));
      mark(bar, "class", value === 0 ? "" : "some");
      mark(bar, "y", String(28 - height));
      mark(bar, "height", String(height));
      say(bar.firstChild, `${days[at]}: ${count(value, "request")}`);
    });
  }

  /** Tokens, as far as answers told: what none has told is not known, which is not zero. */
  function showTokens(cell, tokens, { tokens_in, tokens_out, tokens_untold }) {
    if (!cell.firstChild) cell.append(element("span"), element("span", { class: "sub" }));
    // Not to be read twice: the words stand below the first of both.
    const [shown, hint] = cell.children;
    const told = tokens_in + tokens_out > 0;
    say(shown, told ? numbers.format(tokens) : "–");
    cell.classList.toggle("zero", !told || tokens === 0);
    const none = tokens_untold > 0 ? `${count(tokens_untold, "answer")} told none` : "";
    say(hint, cell.previousElementSibling.classList.contains("tokens") ? "" : none);
    mark(cell, "title", none ? `${none}: what they took is not known, and not in the sum` : undefined);
  }

  function showDays(past) {
    const table = $("days");
    const tokens = past.identities.some((one) => one.tokens_in + one.tokens_out + one.tokens_untold > 0);
    table.classList.toggle("no-tokens", !tokens);
    rows(
      table,
      past.identities,
      (one) => `${one.identity} ${one.principal}`,
      () => row(table, "", "", ...Array(5).fill("number"), "number tokens", "number tokens"),
      ({ cells }, one) => {
        if (one.identity === "others" && one.principal === "") peer(cells[0], "all others", "");
        else peer(cells[0], one.identity, one.principal);
        bars(cells[1], one.days, past.days);
        number(cells[2], numbers.format(one.requests), one.requests === 0);
        number(cells[3], numbers.format(one.refused), one.refused === 0);
        number(cells[4], bytes(one.bytes_in), one.bytes_in === 0);
        number(cells[5], bytes(one.bytes_out), one.bytes_out === 0);
        number(cells[6], span(one.ollama_ms), one.ollama_ms === 0);
        showTokens(cells[7], one.tokens_in, one);
        showTokens(cells[8], one.tokens_out, one);
      },
    );
    const since = known.reading ? READING : past.since === past.days[0] ? "" : `Counted since ${past.since}.`;
    say($("days-about"), `${admin() ? "By who asked; a" : "A"} bar for the requests of each day, in UTC. ${since}`);
    none("days", admin() ? "Nobody has asked for anything yet." : "You have not asked for anything yet.");
    const left = past.identities_more;
    more("days-more", left > 0 ? `${left === 1 ? "One more" : `${numbers.format(left)} more`}, less active, left out.` : "");
  }

  /** Rows that happened at a time; of those at once each has a key of its own. */
  function numbered(items, key) {
    const seen = new Map();
    return items.map((item) => {
      const name = key(item);
      const times = (seen.get(name) ?? 0) + 1;
      seen.set(name, times);
      return { ...item, key: `${name} ${times}` };
    });
  }

  /** What is to be had at one of the node's ports. */
  function portName(port) {
    const ports = known.health?.ports ?? {};
    return Object.keys(ports).find((name) => ports[name] === port) ?? `port ${port}`;
  }

  function showRefusals({ rows: items, more: left }) {
    none("refusals", "Nothing was refused.");
    const table = $("refusals");
    rows(
      table,
      numbered(items, (one) => `${one.time} ${one.node} ${one.method} ${one.asked}`),
      (one) => one.key,
      () => {
        const made = row(table);
        const sub = () => element("span", { class: "sub" });
        made.cells[2].append(element("span", { class: "asked" }), sub(), sub());
        return made;
      },
      ({ cells }, one) => {
        time(cells[0], one.time);
        peer(cells[1], one.node, one.principal);
        const [what, where, others] = cells[2].children;
        say(what, `${one.method} ${one.asked}`);
        const told = [one.port && `at ${portName(one.port)}`, one.model && `model ${one.model}`];
        say(where, told.filter(Boolean).join(", "));
        say(others, one.more > 0 ? `and ${count(one.more, "earlier one")} of the same identity` : "");
        tag(cells[3], one.rule, "bad");
      },
    );
    more("refusals-more", left > 0 ? `${count(left, "earlier one")} left out.` : "");
  }

  const ACCESS = { gained: ["+ gained", "good"], lost: ["− lost", "bad"], changed: ["± changed", "warn"] };

  function showChanges({ rows: items, more: left }) {
    none("changes", admin() ? "Nobody’s access has changed." : "Your access has not changed.");
    const table = $("changes");
    rows(
      table,
      numbered(items, (one) => `${one.time} ${one.node} ${one.access}`),
      (one) => one.key,
      () => row(table),
      ({ cells }, one) => {
        const [text, kind] = ACCESS[one.access] ?? [one.access, "idle"];
        time(cells[0], one.time);
        peer(cells[1], one.node, one.principal);
        tag(cells[2], text, kind);
        say(cells[3], one.ports.map(portName).join(", "));
      },
    );
    more("changes-more", left > 0 ? `${count(left, "earlier one")} left out.` : "");
  }

  /** In this order: what comes first decides how the others are shown. */
  const SECTIONS = {
    health: showHealth,
    you: showYou,
    requests: showRequests,
    peers: showPeers,
    days: showDays,
    refusals: showRefusals,
    changes: showChanges,
  };

  // --- cancelling -----------------------------------------------------------------------------------------------------

  let asked = null;

  function ask(id) {
    const request = known.requests.rows.find((one) => one.id === id);
    if (!request) return;
    asked = id;
    const { endpoint, node, principal, state, since } = request;
    say($("ask-what"), `${endpoint} of ${short(node)} (${principal}), ${state}, ${span(now() - Date.parse(since))} old.`);
    $("ask").showModal();
  }

  async function cancel(id) {
    let told;
    say($("said"), "Cancelling…");
    try {
      // It may wait for a connection: browsers make six to one host, and other tabs may have them.
      const how = { method: "POST", headers: { "X-Remote-Ollama-Proxy": "page" }, signal: AbortSignal.timeout(CANCEL_TIME) };
      const answer = await fetch(`requests/${encodeURIComponent(id)}/cancel`, how);
      const body = await answer.json();
      if (!answer.ok) told = words(body.error ?? "It was refused.");
      else told = body.cancelled ? "The request is cancelled." : "The request had ended already.";
    } catch {
      told = "The node did not answer: whether the request is cancelled is not known.";
    }
    say($("said"), told);
  }

  /** Nobody is asked any longer; whoever was goes on from the heading. */
  function withdraw(title) {
    if (!$("ask").open) return;
    $("ask").close();
    title.focus();
  }

  $("ask-no").addEventListener("click", () => $("ask").close());
  $("ask-yes").addEventListener("click", () => {
    const id = asked;
    $("ask").close();
    heading($("requests")).focus(); // the button that had it goes with the request
    cancel(id);
  });

  // --- the stream -----------------------------------------------------------------------------------------------------

  function live(is, text) {
    const pill = $("stream");
    say(pill, text);
    pill.classList.toggle("live", is);
    pill.classList.toggle("lost", !is);
    $("main").classList.toggle("stale", !is);
  }

  function lost(why) {
    const as_of = lastEvent === 0 ? "" : ` What is shown is of ${new Date(lastEvent).toLocaleTimeString()}.`;
    live(false, `${why}${as_of}`);
  }

  function take(data) {
    const { now: at, ...sections } = JSON.parse(data);
    skew = Date.parse(at) - Date.now();
    lastEvent = Date.now();
    wait = AGAIN;
    Object.assign(known, sections);
    for (const [name, show] of Object.entries(SECTIONS)) if (name in sections) show(sections[name]);
    $("main").hidden = false;
    live(true, "Live");
  }

  /** A refusal without what the page itself asked for, which nobody has to know. */
  const words = (error) => error.replace(/^remote-ollama-proxy: \S+ \S+: /, "");

  function forget() {
    known = {};
    withdraw($("title"));
    $("main").hidden = true;
    for (const table of document.querySelectorAll("table")) table.tBodies[0].replaceChildren();
    $("health").replaceChildren();
    say($("you"), "");
  }

  /** Takes the events of a stream (HTML standard, "Server-sent events"; the node sends data alone) to its end. */
  async function read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) take(event.slice("data: ".length));
    }
  }

  let stream = new AbortController();
  let again;

  /**
   * Listens for as long as the page is shown; each refusal is a line in the node's log, so the node is asked
   * ever less often. It takes no EventSource, which says nothing of why there is no stream.
   */
  async function listen() {
    clearTimeout(again);
    stream.abort();
    listening = false;
    if (document.hidden) return lost("Paused while it is not shown.");
    const { signal } = (stream = new AbortController());
    let longest = LONGEST_LOST;
    try {
      // Not from the cache, where one tab would wait for the end of another's.
      const answer = await fetch("events", { signal, cache: "no-store", headers: { Accept: "text/event-stream" } });
      if (answer.ok) {
        listening = true;
        await read(answer.body);
        lost("Connection lost, trying again…");
      } else {
        const { error } = await answer.json();
        if (answer.status === 403) forget();
        live(false, words(error));
        longest = LONGEST;
      }
    } catch (error) {
      if (signal.aborted) return;
      console.error(error);
      lost("Connection lost, trying again…");
    }
    listening = false;
    again = setTimeout(listen, wait);
    wait = Math.min(2 * wait, longest);
  }

  document.addEventListener("visibilitychange", () => {
    wait = AGAIN;
    listen();
  });

  setInterval(() => {
    if (lastEvent === 0) return;
    sample();
    // What goes on by the clock alone.
    for (const name of ["requests", "days", "refusals", "changes"]) if (known[name]) SECTIONS[name](known[name]);
    if (known.health) showExpiry(known.health.node.key_expiry);
    if (listening && Date.now() - lastEvent > PATIENCE) lost("No word from the node, waiting…");
  }, 1000);

  listen();
})();
