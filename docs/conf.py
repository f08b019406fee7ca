"""How the pages are built: ``make docs``. Nothing is fetched from the network."""

import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402 - beside this file

import aseptic  # noqa: E402 - sorted behind the file above

project = "aseptic"
author = "the aseptic authors"
copyright = "the aseptic authors; Apache-2.0"  # noqa: A001 - Sphinx calls it so
release = version = aseptic.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"aseptic {release}"
html_copy_source = False
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_default_options["exclude-members"] = "model_config"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

LIBRARIES = (
    *("abc", "collections", "contextlib", "contextvars", "dataclasses", "datetime", "enum", "functools", "io"),
    *("pathlib", "types", "typing"),
    *("annotated_types", "jaxtyping", "jinja2", "lightning_fabric", "markupsafe", "matplotlib", "nibabel", "numpy"),
    *("pandas", "PIL", "pyarrow", "pydantic", "pydantic_core", "pydicom", "torch", "torchvision"),
)
"""Their types stand in signatures; without the network their own references cannot be looked up."""
SHORT = ("Tensor", "ndarray", "NoneType", "FieldInfo", "Ge", "MinLen", "MaxLen", "PydanticUndefined")
SHORT += ("_PydanticGeneralMetadata",)
"""Types of these libraries that jaxtyping and pydantic write without their module."""
PRIVATE = (
    *(r".*\._Strict", r"aseptic\.core\.(registry|making)\.T", r"aseptic\.data\.parallel\.(Job|Result)"),
    r"aseptic\.triggers\.base\._(level|pixels)",
)
"""A base class without a page, type variables, and readers of values as plans write them."""
WORDS = ("n", "unreadable", r"model\.yaml", r"monai\.networks\.nets")
"""What docstrings put between single backticks though it has no page."""
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(LIBRARIES)})(\..*)?"),
    ("py:.*", "|".join(SHORT)),
    ("py:.*", "|".join(PRIVATE)),
    ("py:obj", "|".join(WORDS)),
]


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Node) -> nodes.Node | None:
    """Link a short name in a docstring to the one object that is called so; those of the same package come first."""
    if node.get("refdomain") != "py" or not (target := node.get("reftarget")):
        return None
    objects = {
        name: one for name, one in env.domains.python_domain.objects.items() if one.objtype not in {"module", "method"}
    }
    found = [name for name in objects if name.endswith(f".{target}")]
    module = node.get("py:module") or ""
    places = (module, module.rpartition(".")[0])
    for names in (*([name for name in found if name.startswith(f"{place}.")] for place in places), found):
        if len(names) == 1:
            one = objects[names[0]]
            uri = app.builder.get_relative_uri(node["refdoc"], one.docname)
            return nodes.reference("", "", content, internal=True, refuri=f"{uri}#{one.node_id}")
    return None


def _whole_sentence(_app: Sphinx, what: str, *rest: object) -> None:
    """Keep napoleon from taking the words before the first colon of a field's docstring for its type."""
    lines = rest[-1]
    assert isinstance(lines, list)  # noqa: S101 - the last argument of autodoc-process-docstring
    if what in {"attribute", "data", "property"} and lines and ":" in lines[0]:
        lines[:0] = ["..", ""]


def _parseable(_app: Sphinx, *rest: object) -> tuple[object, object]:
    """Write a default that is made anew for each object so that the signature is still Python."""
    signature, returned = rest[-2:]
    return (signature.replace("<factory>", "...") if isinstance(signature, str) else signature), returned


def _mathml(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write formulas as MathML, which browsers show without a script from the network."""
    self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def _generate(app: Sphinx) -> None:
    generate.write(Path(app.srcdir) / "reference" / "generated")


def setup(app: Sphinx) -> None:
    """Write the generated pages before Sphinx looks for pages, and help short names to their objects."""
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
    app.connect("builder-inited", _generate)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", _parseable)
    app.connect("autodoc-process-docstring", _whole_sentence, priority=400)
