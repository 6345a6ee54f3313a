"""Equations as MathML, which browsers draw themselves: no script, and nothing from the network."""

import html
import re

from math_core import LatexToMathML
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

INLINE = re.compile(r'<span class="arithmatex">\\\((.+?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.+?)\\\]\s*</div>', re.DOTALL)
CELL = re.compile(
    r'(?<=<div class="jp-RenderedHTMLCommon)[^>]*"text/markdown">.*?</div>', re.DOTALL
)
CODE_OR_MATH = re.compile(r"<(pre|code)\b.*?</\1>|\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
SCRIPTS = re.compile(  # MathJax's and Mermaid's, in the head of every notebook
    r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->"
    r'|<script type="module">(?:(?!</script>).)*?mermaid.*?</script>',
    re.DOTALL,
)
CONVERTER = LatexToMathML()


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Those of a page, which arithmatex has marked, and those of a notebook's Markdown cells."""
    content = INLINE.sub(lambda match: _mathml(match[1], block=False), content)
    content = BLOCK.sub(lambda match: _mathml(match[1], block=True), content)
    content = CELL.sub(lambda match: CODE_OR_MATH.sub(_in_cell, match[0]), content)
    content = SCRIPTS.sub("", content)
    if "cdnjs" in content:
        raise ValueError(f"{page.file.src_uri} loads a script from the network")
    return content


def _in_cell(match: re.Match[str]) -> str:
    if match[1]:
        return match[0]
    return _mathml(match[2] or match[3], block=match[2] is not None)


def _mathml(tex: str, block: bool) -> str:
    """An equation, and an error where it cannot be read."""
    return CONVERTER.convert_with_local_state(html.unescape(tex).strip(), displaystyle=block)
