"""Names for ids: who a workload is, resolved beside the sampling path."""
