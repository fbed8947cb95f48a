"""Asks a running Prometheus.

usage: live.py URL seen QUERY | alert NAME | queries | address TITLE N

`seen` and `alert` wait for it, for a minute at most. `address` prints the part of the
address of Prometheus' own page that shows a panel's query as its Nth graph."""

import json
import sys
import time
import urllib.parse
import urllib.request

import dashboard

# Queries without an answer in the test, each with the reason.
EMPTY = {
    "Certificate expires in: A": "the test has no certificate",
}


def get(url, path, **parameters):
    """What the API answers; an error of a query is an exception."""
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=20) as answer:
        return json.load(answer)["data"]


def seen(url, query):
    return bool(get(url, "query", query=query)["result"])


def rules(url):
    return [rule for group in get(url, "rules")["groups"] for rule in group["rules"]]


def alert(url, name):
    return any(rule["name"] == name and rule["state"] in ("pending", "firing") for rule in rules(url))


def until(condition, fault):
    for _ in range(300):
        if condition(url, *rest):
            return
        time.sleep(0.2)
    sys.exit(f"error: Prometheus shows after a minute {fault}")


def values(url, instant, expr):
    """How many series a query returns, and whether one has a number above zero."""
    if instant:
        series = [[one["value"]] for one in get(url, "query", query=expr)["result"]]
    else:
        now = time.time()
        found = get(url, "query_range", query=expr, start=now - 120, end=now, step=1)
        series = [one["values"] for one in found["result"]]
    numbers = [float(value) for one in series for _, value in one]
    return len(series), any(number > 0 for number in numbers)


def queries(url):
    faults = []
    for title, instant, expr in dashboard.queries():
        series, above = values(url, instant, expr)
        print(f"{series:3} series{'' if above else ', only 0':9} {title}")
        if (series == 0) != (title in EMPTY):
            faults.append(f"{title}: {series} series: {expr}")
    instances = get(url, "label/instance/values", **{"match[]": "remote_ollama_proxy_build_info"})
    if len(instances) != 1:
        faults.append(f"the variable instance has these values: {instances}")
    exported = set().union(*(dashboard.metrics(name) for name in get(url, "label/__name__/values")))
    for name in sorted(exported - dashboard.shown()):
        faults.append(f"no panel shows {name}, which the proxy exports")
    for rule in rules(url):
        print(f"alert {rule['name']}: {rule['health']}, {rule['state']}")
        if rule["health"] != "ok":
            faults.append(f"{rule['name']}: {rule.get('lastError', rule['health'])}")
    sys.exit("\n".join(f"error: {fault}" for fault in faults) or None)


url, command, *rest = sys.argv[1:]
match command:
    case "seen":
        until(seen, f"no result of the query {rest[0]}")
    case "alert":
        until(alert, f"no pending or firing alert {rest[0]}")
    case "queries":
        queries(url)
    case "address":
        title, n = rest
        expr = next(expr for of, _, expr in dashboard.queries() if of == f"{title}: A")
        print(urllib.parse.urlencode({f"g{n}.expr": expr, f"g{n}.tab": 0, f"g{n}.range_input": "90s"}), end="&")
