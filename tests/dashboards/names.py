"""Checks packaging/grafana against the documents: every metric, page and section that it names exists, and every metric is
on the dashboard. Checks the dashboard's form as far as Grafana needs it to import the file."""

import re
import sys

import dashboard
from dashboard import DASHBOARD, ROOT, RULES

# Not on the dashboard: what another query shows as well.
ELSEWHERE = {
    "identity_bytes_in_total": "bytes_in_total",
    "identity_bytes_out_total": "bytes_out_total",
}

faults = []


def metrics():
    page = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(remote_ollama_proxy_\w+)` \|", page, re.M))
    assert len(documented) > 20, "docs/metrics.md: its table has another form"
    for path in DASHBOARD, RULES:
        for name in dashboard.metrics(path.read_text()) - documented:
            faults.append(f"{path.name}: {name} is not in docs/metrics.md")
    elsewhere = {f"remote_ollama_proxy_{name}" for name in ELSEWHERE}
    for name in documented - elsewhere - dashboard.metrics(DASHBOARD.read_text()):
        faults.append(f"dashboard.json: no panel shows {name}")


def sections():
    """Links and pages in texts. A section's anchor is its title in lower case with hyphens, as GitHub makes it."""
    for path in DASHBOARD, RULES:
        for page, anchor in re.findall(r"\b(docs/[a-z-]+\.md)(?:#([\w-]+))?", path.read_text()):
            if not (ROOT / page).is_file():
                faults.append(f"{path.name}: {page} does not exist")
                continue
            titles = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.M)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            if anchor and anchor not in anchors:
                faults.append(f"{path.name}: {page} has no section #{anchor}")


def rules():
    """Each rule tells what is wrong and the way out, and where to read more. promtool checks the rest."""
    for rule in RULES.read_text().split("- alert: ")[1:]:
        for key in "summary", "description", "docs":
            if not re.search(rf"^ +{key}: \S", rule, re.M):
                faults.append(f"alerts.yml: {rule.split()[0]} has no {key}")


def form():
    source = {"type": "prometheus", "uid": "${datasource}"}
    whole = dashboard.dashboard()
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource", "the data source is a variable"
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(ids) == len(set(ids)), "two panels have the same id"
    cells = {}
    for panel in whole["panels"]:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell[0] >= 24 or cells.setdefault(cell, panel["id"]) != panel["id"]:
                faults.append(f"dashboard.json: {panel['title']} overlaps another panel or the edge")
                break
    for panel in dashboard.panels():
        for part in [panel, *panel["targets"]]:
            if part["datasource"] != source:
                faults.append(f"dashboard.json: {panel['title']} has a data source of its own")
        if not panel["description"]:
            faults.append(f"dashboard.json: {panel['title']} has no description")
    for title, _, expr in dashboard.queries():
        if "$" in expr.replace('"$1"', ""):
            faults.append(f"dashboard.json: {title} has an unknown variable: {expr}")


for check in metrics, sections, rules, form:
    check()
sys.exit("\n".join(f"error: {fault}" for fault in faults) or None)
