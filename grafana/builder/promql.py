"""Selectors and idioms of the queries, so that each is written in one way."""

from __future__ import annotations

SELECTION = 'cluster=~"$cluster", job=~"$job", instance=~"$instance"'
ACROSS_NODES = 'cluster=~"$cluster", job=~"$job"'
NODE = "cluster, job, instance"
IDENTITY = "kind, id, name, pod_namespace, pod_name, container_name"
NODE_NAME = "{{cluster}} {{instance}}"
WORKLOAD_NAME = "{{kind}} {{pod_namespace}} {{pod_name}} {{name}} {{id}}"


def of(name: str, *matchers: str) -> str:
    """The series of the nodes that are chosen."""
    return f"{name}{{{', '.join((SELECTION, *matchers))}}}"


def across(name: str, *matchers: str) -> str:
    """Series that have no instance, because they add up nodes."""
    return f"{name}{{{', '.join((ACROSS_NODES, *matchers))}}}"


def rate(name: str, *matchers: str) -> str:
    """Per second, over the interval that Grafana finds wide enough for the scrape interval."""
    return f"rate({of(name, *matchers)}[$__rate_interval])"


def grown(name: str, *matchers: str) -> str:
    """By how much a counter grew over the time shown."""
    return f"increase({of(name, *matchers)}[$__range])"


def integral(recorded: str) -> str:
    """What a recorded rate of five minutes adds up to over the time shown.

    One value a minute times 60 s: cheap for a thousand nodes, and independent of the scrape interval.
    The window ends at the last full minute; without the offset Prometheus 2 counts one minute too many when
    it is asked exactly on a minute.
    """
    return f"60 * sum_over_time({recorded}[$__range:1m] offset 1ms)"


def kwh(joules: str) -> str:
    """Joules as kilowatt hours."""
    return f"{joules} / 3600000"


def total(expression: str, by: str = "") -> str:
    """The sum, by labels or of all."""
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def count_or_zero(expression: str) -> str:
    """How many series there are; 0 where there are none."""
    return f"count({expression}) or vector(0)"


def newest(info: str, by: str) -> str:
    """One series of an info family per `by`; for a while there are two when a label of it changed."""
    return f"topk by ({by}) (1, {info})"


def largest(expression: str, ranked: str, by: str, count: int) -> str:
    """`expression` for the `count` series with the largest `ranked`.

    Over time these are the same at every step only if all of `ranked` is taken `@ end()`.
    """
    return f"{expression}\nand on ({by})\ntopk({count}, {ranked})"


def at_end(selector: str) -> str:
    """The highest value of a gauge over the time shown, to rank by."""
    return f"max_over_time({selector}[$__range] @ end())"


def grown_at_end(name: str, *matchers: str) -> str:
    """What a counter grew by over the time shown, to rank by."""
    return f"increase({of(name, *matchers)}[$__range] @ end())"


def largest_recorded(recorded: str, by: str, count: int) -> str:
    """Sums of a recorded rate by a label, of the `count` that add up to most over the time shown."""
    ranked = total(f"sum_over_time({recorded}[$__range] @ end())", by)
    return largest(total(recorded, by), ranked, by, count)


def happening(expression: str) -> str:
    """What is not 0: counters of what may go wrong are there, and stand still, while nothing does."""
    return f"{expression} > 0"


def short_ids(expression: str) -> str:
    """Ids of containers cut to the twelve digits that their runtimes show, for legends."""
    return f'label_replace({expression}, "id", "$1", "id", "([0-9a-f]{{12}})[0-9a-f]{{52}}")'


def of_our_jobs(expression: str) -> str:
    """Series of the scrape jobs that have agents, or had: by name when none of a job's agents answers.

    The alert WattledgerAgentDown knows a job by the same name.
    """
    named = of("up", 'job=~".*wattledger.*"')
    return f"{expression} and on (job) ({of('wattledger_build_info')} or {named})"
