// Cancelling a request, after a question.

/** How long, in ms, the node has to answer. */
const CANCEL_TIME = 10_000;

/** The id of the request in the dialog. */
let requestToCancel = null;

function openCancelDialog(id) {
  const request = sections.requests.rows.find((row) => row.id === id);
  if (!request) return;
  requestToCancel = id;
  const { endpoint, node, principal, state, since } = request;
  const age = duration(now() - Date.parse(since));
  setText($("cancel-what"), `${endpoint} of ${shortName(node)} (${principal}), ${state}, ${age} old.`);
  $("cancel-dialog").showModal();
}

/** Closes the dialog without an answer, and moves the focus to `title`. */
function closeCancelDialog(title) {
  if (!$("cancel-dialog").open) return;
  $("cancel-dialog").close();
  title.focus();
}

async function cancelRequest(id) {
  setText($("notice"), "Cancelling…");
  setText($("notice"), await sendCancel(id));
}

/** The outcome, as text. */
async function sendCancel(id) {
  try {
    // The time limit covers the wait for a connection: browsers make six to one host, for all tabs together.
    const signal = AbortSignal.timeout(CANCEL_TIME);
    const options = { method: "POST", headers: { "X-Remote-Ollama-Proxy": "page" }, signal };
    const answer = await fetch(`requests/${encodeURIComponent(id)}/cancel`, options);
    const body = await answer.json();
    if (!answer.ok) return reason(body.error ?? "The node refused.");
    return body.cancelled ? "The request is cancelled." : "The request had ended already.";
  } catch {
    return "The node did not answer: whether the request is cancelled is not known.";
  }
}

$("cancel-no").addEventListener("click", () => $("cancel-dialog").close());
$("cancel-yes").addEventListener("click", () => {
  const id = requestToCancel;
  $("cancel-dialog").close();
  // The button that opened the dialog disappears with the request.
  focusableTitle($("requests")).focus();
  cancelRequest(id);
});
