// The section about running and waiting requests.

/** The seconds over which a rate is measured. */
const RATE_SECONDS = 5;

/** The bytes received by each running request, sampled once a second, by its id. */
const samples = new Map();

function sampleRates() {
  const running = (sections.requests?.rows ?? []).filter((request) => request.state === "running");
  const ids = new Set(running.map((request) => request.id));
  for (const id of samples.keys()) if (!ids.has(id)) samples.delete(id);
  for (const { id, bytes_out } of running) {
    const own = samples.get(id) ?? [];
    own.push({ at: performance.now(), bytes: bytes_out });
    if (own.length > RATE_SECONDS + 1) own.shift();
    samples.set(id, own);
  }
}

function rate({ id, state, since, bytes_out }) {
  if (state !== "running") return "";
  const own = samples.get(id) ?? [];
  // With too few samples the rate is that since the request began.
  if (own.length < 3) return `${bytes((1000 * bytes_out) / Math.max(1000, now() - Date.parse(since)))}/s`;
  const [first, last] = [own[0], own[own.length - 1]];
  return `${bytes((1000 * Math.max(0, last.bytes - first.bytes)) / (last.at - first.at))}/s`;
}

function newRequestRow(table, request) {
  const row = newRow(table, "", "", "", "number", "number", "number", "number", "admin");
  const cancel = element("button", { type: "button" }, "Cancel");
  const which = ` the request of ${shortName(request.node)}, ${request.endpoint}`;
  cancel.append(element("span", { class: "unseen" }, which));
  cancel.addEventListener("click", () => openCancelDialog(row.dataset.key));
  row.cells[7].append(cancel);
  return row;
}

function fillRequestRow({ cells }, request) {
  const age = Math.max(0, now() - Date.parse(request.since));
  fillPeer(cells[0], request.node, request.principal);
  setText(cells[1], request.endpoint);
  fillTag(cells[2], request.state, request.state === "running" ? "good" : "warn");
  setText(cells[3], duration(age));
  setAttribute(cells[3], "title", `since ${absolute(request.since)}`);
  setText(cells[4], bytes(request.bytes_in));
  setText(cells[5], bytes(request.bytes_out));
  setText(cells[6], rate(request));
}

function showRequests({ rows, more }) {
  const table = $("requests");
  updateRows(table, rows, (request) => request.id, (request) => newRequestRow(table, request), fillRequestRow);
  if ($("cancel-dialog").open && !rows.some((request) => request.id === requestToCancel)) {
    closeCancelDialog(focusableTitle(table));
    setText($("notice"), "The request has ended.");
  }
  setNote("requests-more", more > 0 ? `${count(more, "newer request")} not shown.` : "");
}
