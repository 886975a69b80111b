"""Grafana dashboards of Wattledger: a typed builder, the boards, and the JSON that they give."""
