"""Turns a terminal captured by tmux, on standard input, into an SVG without external resources.

usage: picture.py COLUMNS TITLE DESCRIPTION >FILE
"""

import io
import re
import sys
from html import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

# Background, foreground, eight colours and eight bright ones. Each has a contrast above 4.5 on the background.
THEME = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [(110, 118, 129), (255, 123, 114), (86, 211, 100), (227, 179, 65),
     (121, 192, 255), (210, 168, 255), (86, 212, 221), (177, 186, 196)],
    [(139, 148, 158), (255, 161, 152), (126, 231, 135), (242, 204, 96),
     (165, 214, 255), (226, 197, 255), (179, 240, 255), (255, 255, 255)],
)  # fmt: skip

# rich's own format loads fonts from another host.
FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title desc">
<title id="title">TITLE</title>
<desc id="desc">DESCRIPTION</desc>
<style>
.{unique_id}-matrix {{
  font: {char_height}px/{line_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}}
.{unique_id}-title {{ font: bold 18px -apple-system, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main():
    columns, title, description = sys.argv[1:]
    captured = sys.stdin.read().strip("\n")
    console = Console(
        record=True, width=int(columns), file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    for line in captured.split("\n"):
        console.print(Text.from_ansi(line), no_wrap=True, crop=True, soft_wrap=True, highlight=False)
    for_people = {"TITLE": escape(title), "DESCRIPTION": escape(description)}
    code = re.sub("TITLE|DESCRIPTION", lambda word: for_people[word[0]].replace("{", "{{").replace("}", "}}"), FORMAT)
    svg = console.export_svg(title=title, theme=THEME, code_format=code, unique_id="t")
    # One line each, so that diffs of a picture are readable.
    svg = re.sub(r"(?<=>)\s*(?=<(text|rect|circle|clipPath|g)\b)", "\n", svg)
    print("\n".join(line.strip() for line in svg.split("\n") if line.strip()))


main()
