"""Floor 5: what is measured: the audit, and one module for each paper."""
