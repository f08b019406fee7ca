"""What a study of a paper is made of: claims and traps, cells, raw rows, measures, charts; and what runs it."""
