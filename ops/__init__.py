"""Around it all: plumbing, the command line, deployment, the runbook."""
