"""Checks packaging/grafana against the documents: every metric, page and section that it names exists, and every metric is
on the dashboard. Checks the dashboard's form as far as Grafana needs it to import the file."""

import re
import sys

import dashboard
from dashboard import DASHBOARD, ROOT, RULES

faults = []


def metrics():
    page = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(remote_ollama_proxy_\w+)` \|", page, re.M))
    assert len(documented) > 20, "docs/metrics.md: its table has another form"
    for path in DASHBOARD, RULES:
        for name in dashboard.metrics(path.read_text()) - documented:
            faults.append(f"{path.name}: {name} is not in docs/metrics.md")
    for name in documented - dashboard.shown():
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
    """Each rule tells what is wrong and the way out, and where to read more. The documentation lists it, and a unit test sees it
    fire. promtool checks the rest."""
    rules = RULES.read_text().split("- alert: ")[1:]
    names = {rule.split()[0] for rule in rules}
    page = (ROOT / "docs/metrics.md").read_text().split("\n**The alerts.**")[1].split("\n### ")[0]
    listed = {f"RemoteOllamaProxy{name}" for name in re.findall(r"^\| `(\w+)` \|", page, re.M)}
    if names != listed:
        faults.append(f"docs/metrics.md: its list of alerts differs in {sorted(names ^ listed)}")
    tested = set(re.findall(r"alertname(?:=\"|: )(\w+)", (ROOT / "tests/dashboards/alerts.yml").read_text()))
    for name in names - tested:
        faults.append(f"tests/dashboards/alerts.yml: no test sees {name} fire")
    for rule in rules:
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
