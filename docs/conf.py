"""Sphinx: how the documentation becomes a site."""

project = "characterflow"
author = "the characterflow authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["tools", "examples"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_show_copyright = False
