"use strict";
(() => {
  /** How long, in ms, a button says what it did. */
  const SAID = 4000;

  /** Copies `text`; returns whether that worked. navigator.clipboard would need HTTPS, which this page does not have. */
  function copyText(text) {
    const fill = (event) => {
      event.clipboardData.setData("text/plain", text);
      event.preventDefault();
    };
    document.addEventListener("copy", fill);
    const copied = document.execCommand("copy");
    document.removeEventListener("copy", fill);
    return copied;
  }

  function copyLines(button) {
    const lines = button.parentElement.querySelector("pre");
    // If copying fails, the lines are selected at least. Some browsers copy only if something is.
    getSelection().selectAllChildren(lines);
    const said = copyText(lines.textContent) ? "Copied" : "Selected";
    const [visible, rest] = button.childNodes;
    visible.textContent = said;
    const status = document.getElementById("copied");
    status.textContent = said + rest.textContent;
    setTimeout(() => {
      visible.textContent = "Copy";
      status.textContent = ""; // the same text again would not be read out
    }, SAID);
  }

  for (const button of document.querySelectorAll(".lines button")) {
    button.hidden = false;
    button.addEventListener("click", () => copyLines(button));
  }
})();
