"""Writes the generated parts of all pages anew."""

from __future__ import annotations

from docs.generate import generated_pages, renewed

for page in generated_pages():
    page.write_text(renewed(page.read_text("utf-8")), encoding="utf-8")
