"""The page of a study: claims, traps, charts and every number, as HTML and as Markdown, from the record alone."""
