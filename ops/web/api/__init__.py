"""JSON for programs. Each module has its routes beside its handlers."""
