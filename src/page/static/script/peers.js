// The section about the peers and their rights.

function newPeerRow(table) {
  const row = newRow(table);
  row.cells[1].append(element("details", {}, element("summary"), element("ul")), subline());
  return row;
}

function fillPeerRow({ cells }, peer) {
  fillPeer(cells[0], peer.node, peer.principal);
  fillRights(cells[1], peer);
  setText(cells[2], peer.through);
  fillTag(cells[3], peer.online ? peer.path ?? "online" : "offline", peer.online ? "good" : "idle");
}

/** The endpoints and limits, with grants to unfold, and the rights at other ports below. */
function fillRights(cell, peer) {
  const [list, others] = cell.children;
  const [summary, items] = list.children;
  const endpoints = peer.endpoints.length === 0 ? "no endpoint" : count(peer.endpoints.length, "endpoint");
  setText(summary, [endpoints, ...peer.limits].join(", "));
  const grants = peer.grants.map((grant) => `grant ${grant}`);
  const faults = peer.faults.map((fault) => `faulty grant ${fault}`);
  const lines = [peer.endpoints.join(", "), ...grants, ...faults].filter(Boolean);
  if ([...items.children].map((item) => item.textContent).join("\n") !== lines.join("\n")) {
    const kind = (line) => (line.startsWith("faulty") ? "fault" : "");
    items.replaceChildren(...lines.map((line) => element("li", { class: kind(line) }, line)));
  }
  const more = [
    peer.metrics && "may read the metrics",
    peer.page === "view" && "may see its own part of this page",
    peer.page === "admin" && "may see all of this page and cancel requests",
    faults.length > 0 && count(faults.length, "faulty grant"),
  ];
  setText(others, more.filter(Boolean).join(", "));
}

function showPeers(peers) {
  const table = $("peers");
  // Sorting is stable: the node sends the rows by name.
  const onlineFirst = [...peers.rows].sort((a, b) => Number(b.online) - Number(a.online));
  updateRows(table, onlineFirst, (peer) => `${peer.node} ${peer.principal}`, () => newPeerRow(table), fillPeerRow);

  const none = isAdmin()
    ? "The tailnet policy admits no peer to this node."
    : "The tailnet policy lets you see this page, and nothing else.";
  setText($("peers-empty"), peers.joined ? none : "The node has not joined the tailnet yet.");
  const byGrants = "A peer may use only what grants in the tailnet policy file give it.";
  const byNetwork = "A peer that the tailnet policy admits may use all that the config allows; grants narrow it.";
  setText($("peers-about"), peers.access === "grants" ? byGrants : byNetwork);

  const notes = [];
  if (peers.more > 0) notes.push(`${count(peers.more, "more peer")} not shown.`);
  if (isAdmin() && peers.others > 0) notes.push(`${count(peers.others, "other peer")} without rights here.`);
  setNote("peers-more", notes.join(" "));
}
