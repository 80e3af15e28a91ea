"""What a paper needs of a run: methods, results, tables, checklists and references."""
