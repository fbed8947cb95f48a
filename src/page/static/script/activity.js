// The sections about the last days: requests by identity and day, refusals, changes of access.

/** While the node reads the records of earlier runs. */
const READING = "Still reading earlier records…";

const TAGS = { gained: ["+ gained", "good"], lost: ["− lost", "bad"], changed: ["± changed", "warn"] };

/** What a table without rows says. */
const setEmptyText = (id, text) => setText($(`${id}-empty`), sections.reading ? READING : text);

const noteEarlier = (id, more) => setNote(id, more > 0 ? `${count(more, "earlier one")} not shown.` : "");

function newBars(values) {
  const create = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const picture = create("svg");
  setAttribute(picture, "class", "bars");
  setAttribute(picture, "viewBox", `0 0 ${8 * values.length} 28`);
  setAttribute(picture, "preserveAspectRatio", "none");
  setAttribute(picture, "role", "img");
  values.forEach((_, day) => {
    const bar = create("rect");
    setAttribute(bar, "x", String(8 * day));
    setAttribute(bar, "width", "6");
    bar.append(create("title"));
    picture.append(bar);
  });
  return picture;
}

/** A bar for each day. The scale of a row is its own largest value. */
function fillBars(cell, values, days) {
  if (!cell.firstChild) cell.append(newBars(values));
  const picture = cell.firstChild;
  const most = Math.max(1, ...values);
  const peak = values.lastIndexOf(most);
  const label = `most on ${days[peak]}: ${count(most, "request")}; today ${numbers.format(values.at(-1))}`;
  setAttribute(picture, "aria-label", peak < 0 ? "no request" : label);
  values.forEach((value, day) => {
    const bar = picture.children[day];
    const height = value === 0 ? 2 : Math.max(3, Math.round((28 * value) / most));
    setAttribute(bar, "class", value === 0 ? "" : "some");
    setAttribute(bar, "y", String(28 - height));
    setAttribute(bar, "height", String(height));
    setText(bar.firstChild, `${days[day]}: ${count(value, "request")}`);
  });
}

/** A sum of tokens over the answers with a token count. Without any the sum is unknown, which is not zero. */
function fillTokens(cell, tokens, { tokens_in, tokens_out, tokens_untold }) {
  if (!cell.firstChild) cell.append(element("span"), subline());
  const [sum, hint] = cell.children;
  const known = tokens_in + tokens_out > 0;
  setText(sum, known ? numbers.format(tokens) : "–");
  cell.classList.toggle("zero", !known || tokens === 0);
  const uncounted = tokens_untold > 0 ? `${count(tokens_untold, "answer")} without a count` : "";
  // The hint is for both columns of tokens, so it is only in the first.
  setText(hint, cell.previousElementSibling.classList.contains("tokens") ? "" : uncounted);
  setAttribute(cell, "title", uncounted ? `${uncounted}: not in the sum` : undefined);
}

function fillIdentityRow({ cells }, row, days) {
  if (row.identity === "others" && row.principal === "") fillPeer(cells[0], "all others", "");
  else fillPeer(cells[0], row.identity, row.principal);
  fillBars(cells[1], row.days, days);
  fillNumber(cells[2], numbers.format(row.requests), row.requests === 0);
  fillNumber(cells[3], numbers.format(row.refused), row.refused === 0);
  fillNumber(cells[4], bytes(row.bytes_in), row.bytes_in === 0);
  fillNumber(cells[5], bytes(row.bytes_out), row.bytes_out === 0);
  fillNumber(cells[6], duration(row.ollama_ms), row.ollama_ms === 0);
  fillTokens(cells[7], row.tokens_in, row);
  fillTokens(cells[8], row.tokens_out, row);
}

function showDays({ identities, identities_more, days, since }) {
  const table = $("days");
  const hasTokens = identities.some((row) => row.tokens_in + row.tokens_out + row.tokens_untold > 0);
  table.classList.toggle("no-tokens", !hasTokens);
  updateRows(
    table,
    identities,
    (row) => `${row.identity} ${row.principal}`,
    () => newRow(table, "", "", ...Array(5).fill("number"), "number tokens", "number tokens"),
    (row, identity) => fillIdentityRow(row, identity, days),
  );
  const counted = sections.reading ? READING : since === days[0] ? "" : `Counted since ${since}.`;
  setText($("days-about"), `${isAdmin() ? "By identity; a" : "A"} bar for the requests of each day, in UTC. ${counted}`);
  setEmptyText("days", isAdmin() ? "No requests yet." : "You have sent no requests yet.");
  const more = `${numbers.format(identities_more)} less active ${identities_more === 1 ? "identity" : "identities"} not shown.`;
  setNote("days-more", identities_more > 0 ? more : "");
}

/** The items with a key each. Items with equal names are numbered. */
function withKeys(items, name) {
  const seen = new Map();
  return items.map((item) => {
    const times = (seen.get(name(item)) ?? 0) + 1;
    seen.set(name(item), times);
    return { ...item, key: `${name(item)} ${times}` };
  });
}

function newRefusalRow(table) {
  const row = newRow(table);
  row.cells[2].append(element("span", { class: "asked" }), subline(), subline());
  return row;
}

function fillRefusalRow({ cells }, refusal) {
  fillTime(cells[0], refusal.time);
  fillPeer(cells[1], refusal.node, refusal.principal);
  const [request, where, others] = cells[2].children;
  setText(request, `${refusal.method} ${refusal.asked}`);
  const details = [refusal.port && `at ${portName(refusal.port)}`, refusal.model && `model ${refusal.model}`];
  setText(where, details.filter(Boolean).join(", "));
  setText(others, refusal.more > 0 ? `and ${count(refusal.more, "earlier one")} of the same identity` : "");
  fillTag(cells[3], refusal.rule, "bad");
}

function showRefusals({ rows, more }) {
  setEmptyText("refusals", "No request was refused.");
  const table = $("refusals");
  const refusals = withKeys(rows, (row) => `${row.time} ${row.node} ${row.method} ${row.asked}`);
  updateRows(table, refusals, (row) => row.key, () => newRefusalRow(table), fillRefusalRow);
  noteEarlier("refusals-more", more);
}

function fillChangeRow({ cells }, change) {
  const [text, kind] = TAGS[change.access] ?? [change.access, "idle"];
  fillTime(cells[0], change.time);
  fillPeer(cells[1], change.node, change.principal);
  fillTag(cells[2], text, kind);
  setText(cells[3], change.ports.map(portName).join(", "));
}

function showChanges({ rows, more }) {
  setEmptyText("changes", isAdmin() ? "No access has changed." : "Your access has not changed.");
  const table = $("changes");
  const changes = withKeys(rows, (row) => `${row.time} ${row.node} ${row.access}`);
  updateRows(table, changes, (row) => row.key, () => newRow(table), fillChangeRow);
  noteEarlier("changes-more", more);
}
