"""Configure Sphinx, which builds the site from the pages in this folder: `make docs`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from restate_identity import __version__  # noqa: E402 (it is found only now)

project = "restate-identity"
author = project_copyright = "The restate-identity maintainers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
copybutton_prompt_text = "$ "
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 3

# Our docstrings write Python names in single backquotes.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
nitpicky = True
# Names of other projects, whose inventories would have to be fetched, and of a module that is not public.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|datetime|os|restate|ssl)\..*"),
    ("py:exc", "ImproperlyConfigured"),
    ("py:class", "ASGIApp|CollectorRegistry|MeterProvider|TargetSource|TunnelOptions|WSGIApplication"),
    ("py:class", r"restate_identity\.aws_lambda\.Handler"),
    ("py:obj", "tokens"),
]

# Files outside this folder, and the pages that include them. On GitHub the links lead to the files themselves.
SHOWN_BY = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    **{
        f"integrations/{page.stem}/README.md": f"platforms/{page.name}"
        for page in Path(__file__).parent.glob("platforms/*.md")
    },
}


def lead_to_the_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to files outside this folder into links to the pages that include them."""
    up = "../" * docname.count("/")

    def shown(link: re.Match[str]) -> str:
        page = SHOWN_BY.get(link[1])
        return f"]({up}{page})" if page else link[0]

    source[0] = re.sub(rf"\]\({re.escape(up)}\.\./([^)#]+)\)", shown, source[0])


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, reference: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve a name that a docstring gives without its module, if it is unique."""
    domain = env.get_domain("py")
    if reference.get("refdomain") != "py" or not isinstance(domain, PythonDomain):
        return None
    name = reference["reftarget"].removesuffix("()")
    found = {entry.node_id: entry for _, entry in domain.find_obj(env, "", "", name, None, 1) if not entry.aliased}
    if len(found) != 1:
        return None
    (entry,) = found.values()
    uri = app.builder.get_relative_uri(reference["refdoc"], entry.docname)
    return nodes.reference("", "", content, internal=True, refuri=f"{uri}#{entry.node_id}")


HIDDEN_COLON = "\0"


def hide_colons(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep napoleon from reading the part of a sentence before a colon as the type of an attribute."""
    if what in ("attribute", "data", "property"):
        lines[:1] = [line.replace(":", HIDDEN_COLON) for line in lines[:1]]


def show_colons(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Undo `hide_colons`, after napoleon."""
    lines[:] = [line.replace(HIDDEN_COLON, ":") for line in lines]


def draw_the_plots(app: Sphinx) -> None:
    """Draw what the newest run of `make bench` measured."""
    from benchmarks.plots import draw

    newest = max((ROOT / "benchmarks" / "results").glob("*.json"))  # a name begins with the date
    draw(json.loads(newest.read_text("utf-8")), Path(app.srcdir, "performance"))


def setup(app: Sphinx) -> None:
    """Register the functions above; Sphinx calls this."""
    app.connect("builder-inited", draw_the_plots)
    app.connect("source-read", lead_to_the_page)
    app.connect("missing-reference", find_by_last_name)
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)
