// Elements, tables and cells. An update changes only what differs, so that nothing moves and no selection is lost.

function element(name, attributes = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.append(...children);
  return created;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute; `undefined` removes it. */
function setAttribute(node, name, value) {
  if (value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Shows `text` in the paragraph with this id, or hides the paragraph if it is empty. */
function setNote(id, text) {
  setText($(id), text);
  $(id).hidden = text === "";
}

/** Shows one row for each item. A row is created once for its key, and filled at each update. */
function updateRows(table, items, key, create, fill) {
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  let next = body.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let row = old.get(name);
    old.delete(name);
    if (!row) {
      row = create(item);
      row.dataset.key = name;
      row.setAttribute("role", "row");
    }
    if (row === next) next = next.nextElementSibling;
    else body.insertBefore(row, next);
    fill(row, item);
  }
  for (const row of old.values()) {
    const hadFocus = row.contains(document.activeElement);
    row.remove();
    if (hadFocus) focusableTitle(table).focus();
  }
  table.hidden = items.length === 0;
  $(`${table.id}-empty`).hidden = items.length > 0;
}

/** The title of a table, which takes the focus when the element that had it is gone. */
function focusableTitle(table) {
  const title = $(`${table.id}-title`);
  title.tabIndex = -1;
  return title;
}

/** A row with a cell for each column of the table, labelled for narrow screens. */
function newRow(table, ...classes) {
  const row = element("tr");
  const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  labels.forEach((label, column) => {
    const role = column === 0 ? "rowheader" : "cell";
    const attributes = { role, "data-label": label, class: classes[column] ?? "" };
    const cell = element(column === 0 ? "th" : "td", attributes);
    if (column === 0) cell.scope = "row";
    row.append(cell);
  });
  return row;
}

const subline = () => element("span", { class: "sub" });

function fillPeer(cell, node, principal) {
  if (!cell.firstChild) cell.append(element("span", { class: "name" }), subline());
  setText(cell.firstChild, shortName(node));
  setAttribute(cell.firstChild, "title", node);
  setText(cell.lastChild, principal === node ? "" : principal);
}

function fillTag(cell, text, kind) {
  if (!cell.firstChild) cell.append(element("span"));
  setText(cell.firstChild, text);
  setAttribute(cell.firstChild, "class", `tag ${kind}`);
}

function fillTime(cell, at) {
  if (!cell.firstChild) cell.append(element("time", { class: "nowrap" }));
  const time = cell.firstChild;
  setAttribute(time, "datetime", at);
  setAttribute(time, "title", absolute(at));
  setText(time, ago(now() - Date.parse(at)));
}

function fillNumber(cell, text, isZero) {
  setText(cell, text);
  cell.classList.toggle("zero", isZero);
}
