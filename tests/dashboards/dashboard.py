"""Reads packaging/grafana: the queries of the dashboard and of the alert rules, and the metrics that they name."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "packaging/grafana/dashboard.json"
RULES = ROOT / "packaging/grafana/alerts.yml"

# Not on the dashboard: what another query shows as well.
ELSEWHERE = {
    "remote_ollama_proxy_identity_bytes_in_total": "bytes_in_total",
    "remote_ollama_proxy_identity_bytes_out_total": "bytes_out_total",
}

# As Grafana fills them in, with "All" for the instance. The times suit a scrape each second.
VARIABLES = {"$__rate_interval": "30s", "$__range": "10m", "$instance": ".*"}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    """The panels that show something, not the rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries():
    """Title, whether the query is for one moment, and expression of each query, with the variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"]
            for name, value in VARIABLES.items():
                expr = expr.replace(name, value)
            yield f"{panel['title']}: {target['refId']}", target.get("instant", False), expr


def shown():
    """The metrics that the dashboard shows, or leaves out on purpose."""
    return metrics(DASHBOARD.read_text()) | set(ELSEWHERE)


def metrics(text):
    """The metrics that a text names, as docs/metrics.md names them: a histogram's parts are the histogram."""
    names = re.findall(r"\bremote_ollama_proxy_[a-z_]+", text)
    return {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name) for name in names}
