"""From a store's draws to summaries, decay-rate fits, verdicts and figures."""
