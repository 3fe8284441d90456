"""Reads /metrics in both formats with the parsers of prometheus_client, which refuse what breaks the format.

Usage: openmetrics_check.py URL. Prints as JSON: for each format its content type, the names of its families with their
types, and its samples; and the exemplars of OpenMetrics.
"""

import json
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families


def fetch(accept):
    request = urllib.request.Request(sys.argv[1], headers={"Accept": accept})
    with urllib.request.urlopen(request) as response:
        return response.headers["Content-Type"], response.read().decode()


def read(accept, parse):
    content_type, text = fetch(accept)
    families = list(parse(text))
    samples = [sample for family in families for sample in family.samples]
    exemplars = [
        {"name": sample.name, "labels": sample.labels, "trace_id": sample.exemplar.labels["trace_id"], "value": sample.exemplar.value}
        for sample in samples
        if getattr(sample, "exemplar", None)
    ]
    return {
        "content_type": content_type,
        "types": {family.name: family.type for family in families},
        "units": {family.name: family.unit for family in families if family.unit},
        "samples": sorted({f"{sample.name} {sorted((k, v) for k, v in sample.labels.items() if k != 'le')}" for sample in samples}),
        "exemplars": exemplars,
    }


print(
    json.dumps(
        {
            "open": read("application/openmetrics-text; version=1.0.0", open_families),
            "text": read("text/plain; version=0.0.4", text_families),
        }
    )
)
