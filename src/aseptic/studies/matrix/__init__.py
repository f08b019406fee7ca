"""Every trigger against every defence: networks of several seeds, cells, numbers over the seeds, and the table."""
