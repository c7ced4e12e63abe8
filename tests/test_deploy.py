"""The dashboard and the alerts ask for what the gateway tells, and for nothing else."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gateway.metrics import METRICS, all_metrics

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "deploy/grafana/anbar.json"
ALERTS = ROOT / "deploy/prometheus/anbar-alerts.yml"
NAME = re.compile(r"\b(?:anbar|process|python)_[a-z0-9_]+")
SERIES = {
    f"{metric.name}{suffix}": metric
    for metric in all_metrics()
    for suffix in (("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",))
}
OF_SCRAPES = {"instance", "job", "le"}


def panels() -> list[dict]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def rules() -> list[dict]:
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


def expressions() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in rules())


EXPRESSIONS = sorted(set(expressions()))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_series_and_labels_that_there_are(expression):
    names = NAME.findall(expression)
    assert set(names) <= set(SERIES)
    labels = {label for name in names for label in SERIES[name].labels} | OF_SCRAPES
    asked = re.findall(r"[{,]([a-z_]+)(?:=|!)", expression)
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        asked += group.split(", ")
    assert set(asked) <= labels
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_asked_for_their_growth_and_gauges_for_their_value(expression):
    for name in NAME.findall(expression):
        counts = SERIES[name].kind != "gauge"
        grows = re.search(rf"(?:rate|increase)\({name}\b", expression) is not None
        assert counts == grows, name


def test_panels_are_told_apart_and_do_not_overlap():
    board = json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        squares = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & squares, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= squares


def test_every_metric_is_on_the_dashboard():
    shown = {
        SERIES[name].name for panel in panels() for target in panel["targets"] for name in NAME.findall(target["expr"])
    }
    assert {metric.name for metric in METRICS} <= shown


def test_every_alert_says_what_is_the_matter_and_how_urgent_it_is():
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        for label in re.findall(r"\$labels\.([a-z_]+)", rule["annotations"]["summary"]):
            assert label in OF_SCRAPES | {each for name in NAME.findall(rule["expr"]) for each in SERIES[name].labels}


def test_the_configuration_of_prometheus_reads_the_alerts_and_the_admin_address():
    config = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())
    assert config["rule_files"] == [ALERTS.name]
    [job] = config["scrape_configs"]
    assert job["job_name"] == "anbar"
    assert job["metrics_path"] == "/-/metrics"
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9001"]}]
