// The section about the usage by model of the last days. Only admins get rows.

function fillModelRow({ cells }, row) {
  setText(cells[0], row.model);
  fillNumber(cells[1], numbers.format(row.requests), row.requests === 0);
  fillTokens(cells[2], row.tokens_in, row);
  fillTokens(cells[3], row.tokens_out, row);
  fillNumber(cells[4], duration(row.ollama_ms), row.ollama_ms === 0);
}

function showModels({ rows, more }) {
  const table = $("models");
  $("models-section").hidden = rows.length === 0;
  const create = () => newRow(table, "", "number", "number tokens", "number tokens", "number");
  updateRows(table, rows, (row) => row.model, create, fillModelRow);
  setNote("models-more", more > 0 ? `${count(more, "less used model")} not shown.` : "");
}
