"""The report: one self-contained page, a section for each kind of evidence."""
