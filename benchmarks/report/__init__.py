"""Finished runs as a report: Markdown, CSV, pictures, and one self-contained HTML page."""
