"""HTML pages that need nothing but themselves: no other file, and no network."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from memory_agents.benchmarks.report.palette import N_SERIES, stylesheet

PACKAGE, FOLDER = "memory_agents.benchmarks.report", "templates"


def render(template: str, **content: Any) -> str:
    """
    :param template: name of the page's template
    :param content: what the template asks for
    :return: the page
    """
    environment = Environment(
        loader=PackageLoader(PACKAGE, FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(colors=Markup(stylesheet()), asset=asset, n_series=N_SERIES, safe=Markup)
    return environment.get_template(template).render(**content)


def asset(name: str) -> Markup:
    """
    :param name: name of a style sheet or a script beside the templates
    :return: its text, to be put into a page as it is
    """
    return Markup(files(PACKAGE).joinpath(FOLDER, name).read_text(encoding="utf-8"))
