"""Parses metrics as OpenMetrics text, strictly, and as the older Prometheus text, which node_exporter's textfile
collector reads. Prints the name and type of each metric."""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

text = sys.stdin.read()
families = list(openmetrics(text))
for family in families:
    print(family.name, family.type)

samples = {(s.name, *sorted(s.labels.items())): s.value for f in families for s in f.samples}
older = {(s.name, *sorted(s.labels.items())): s.value for f in prometheus(text) for s in f.samples}
sys.exit(None if samples == older else f"the two formats differ: {samples.items() ^ older.items()}")
