"""Pages of the site that are made when it is built, and checks of the files that were written.

The command line reference comes from the commands, the index of error messages from the source, and the changelog, the
promises about security and the guide for contributors from the files at the top of the repository.
"""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
AT_THE_TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
}
ROOMS = {
    "data": "Data",
    "catalog": "Datasets",
    "forecasters": "Forecasters",
    "adapters": "Models of other software",
    "sequences": "Recordings",
    "networks": "Networks",
    "training": "Training",
    "estimators": "All models",
    "evaluation": "Comparisons",
    "leakage": "The audit",
    "search": "Searches",
    "serving": "Servers",
    "tracking": "MLflow",
    "distributions": "Distributions",
    "saving": "Saved models",
    "cli": "The command line",
}
NONE = ast.Constant("")


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links of a notebook, which lead to files of Markdown where it lies, lead to their pages."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    return re.sub(r'(href="(?!\w+:)[\w./-]+)\.(?:md|ipynb)\b', r"\1.html", html)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from other files than pages."""
    made = {"reference/cli.md": _commands(), "reference/messages.md": _messages()}
    for name, page in AT_THE_TOP.items():
        if (ROOT / name).exists():
            made[page] = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files at the top of the repository to their pages."""
    up = page.file.src_uri.count("/")
    for name, target in AT_THE_TOP.items():
        markdown = markdown.replace(f"]({'../' * (up + 1)}{name}", f"]({'../' * up}{target}")
        if page.file.src_uri in AT_THE_TOP.values():
            markdown = markdown.replace(f"]({name}", f"]({target}")
    return markdown


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site with a link to a file that is not there, or with a part that comes from a network."""
    problems = []
    site = Path(config.site_dir)
    for path in sorted(site.rglob("*.html")):
        for tag, address in _addresses(path.read_text(encoding="utf-8")):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if tag != "a" and parts.scheme not in ("data", "blob", "about"):
                    problems.append(f"{path.relative_to(site)} loads {address}")
            elif parts.path and path.name != "404.html" and not (path.parent / unquote(parts.path)).exists():
                problems.append(f"{path.relative_to(site)} links to {address}, which is not there")
    if problems:
        raise PluginError("\n".join(problems))


def _addresses(text: str) -> list[tuple[str, str]]:
    """Return the addresses of a page, each with its tag: links, and what a browser loads."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            loads = {"script": "src", "img": "src", "iframe": "src", "link": "href", "a": "href"}
            address = dict(attrs).get(loads.get(tag, ""))
            if address and dict(attrs).get("rel") != "canonical":
                found.append((tag, address))

    Reader().feed(text)
    return found


def _commands() -> str:
    """Write the reference of the command line, from its commands."""
    import typer
    from typer.cli import get_docs_for_click

    from tsforecast.cli.app import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="tsforecast"), name="tsforecast")
    text = re.sub(r"```console\n\$ ", "```text\n", text).replace("* `--help`: Show this message and exit.\n", "")
    groups = {"": command} | {f"{name} ": part for name, part in command.commands.items() if hasattr(part, "commands")}
    parts = {f"{before}{name}": part for before, group in groups.items() for name, part in group.commands.items()}
    head, *sections = re.split(r"^(?=##+ `tsforecast )", text, flags=re.MULTILINE)
    for name, part in parts.items():
        whole = (part.help or "").strip().split("\n\n")[0].replace("\n", " ")
        link = f"* [`{name}`](#tsforecast-{name.replace(' ', '-')}): {whole}"
        pattern = rf"^\* `{name.split()[-1]}`: .*$"
        if " " not in name:
            head = re.sub(pattern, lambda _, line=link: line, head, flags=re.MULTILINE)
    pages = [_command(section, parts[re.match(r"#+ `tsforecast (.*)`", section)[1]]) for section in sections]
    return head.replace("# `tsforecast`", "# Command line", 1) + "".join(pages)


def _command(section: str, command: object) -> str:
    """Return the section of a command with its options in the groups of its help, and its examples as code."""
    titles = {
        name: part.rich_help_panel for part in command.params for name in part.opts if hasattr(part, "rich_help_panel")
    }
    found = re.search(r"\*\*Options\*\*:\n\n((?:\* .*\n)*)", section)
    if found:
        grouped: dict[str, list[str]] = {}
        for line in found[1].splitlines():
            option = re.match(r"\* `(--[a-z-]+)", line)
            title = titles.get(option[1]) if option else None
            grouped.setdefault(title or "Options", []).append(line)
        blocks = [f"**{title}**:\n\n" + "\n".join(lines) + "\n" for title, lines in grouped.items()]
        section = section.replace(found[0], "\n".join(blocks))
    before, title, examples = section.partition("Examples:\n\n")
    lines = [line for line in examples.splitlines() if line]
    return before + ("**Examples**:\n\n```sh\n" + "\n".join(lines) + "\n```\n\n" if title else "")


def _messages() -> str:
    """Write the index of error messages: each sentence of the source, and its remedy."""
    rooms: dict[str, dict[str, str]] = {}
    for path in sorted((ROOT / "tsforecast").rglob("*.py")):
        room = path.relative_to(ROOT / "tsforecast").parts[0].removesuffix(".py")
        found = rooms.setdefault(ROOMS.get(room, "Other"), {})
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for function in functions or [tree]:
            for sentence in _sentences(function):
                must, _, remedy = sentence.partition("; ")
                if len(re.sub(r"[…\W]", "", must)) > 15 and " " in must.strip("… "):
                    found.setdefault(must, remedy)
    lines = [
        "# Index of error messages",
        "",
        "An error is one sentence: what must hold, what was found instead, and a remedy. Search this page for words",
        "of a message; … stands for names and numbers of yours. The page is made from the source of this version.",
        "Parameters are those of Python; the command line shows its options in their place.",
    ]
    for title in sorted(rooms, key=lambda title: (title == "Other", title)):
        lines += ["", f"## {title}", "", "| message | remedy |", "|---|---|"]
        lines += [f"| {_cell(must)} | {_cell(remedy)} |" for must, remedy in sorted(rooms[title].items())]
    return "\n".join(lines) + "\n"


def _sentences(function: ast.AST) -> list[str]:
    """Return the sentences of the problems and errors that a function makes, with the texts of its variables."""
    texts = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    found = []
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        if node.func.id != "Problem" and not node.func.id.endswith("Error"):
            continue
        must, got, remedy = [_template(texts.get(getattr(part, "id", ""), part)) for part in (*node.args, *3 * [NONE])][
            :3
        ]
        about = next((_template(word.value) for word in node.keywords if word.arg == "parameter"), "")
        sentence = f"{about} {must}".strip() + (f": {got}" if got not in ("", "…") else "")
        found.append(sentence + (f"; {remedy}" if remedy not in ("", "…") else ""))
    return found


def _cell(text: str) -> str:
    return re.sub(r"([|*_\[\]`])", r"\\\1", " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;"))


def _template(node: ast.AST) -> str:
    """Return a text of the source with … for each value that is known only when the program runs."""
    if isinstance(node, ast.Constant):
        return "" if node.value is Ellipsis else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.Tuple):
        return re.sub("…+", "…", "".join(map(_template, node.elts)))
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Argument", "Parameter"):
        words = {word.arg: _template(word.value) for word in node.keywords}
        parts = [*map(_template, node.args), "", ""]
        value = f"={parts[1] or words.get('value', '…')}" if node.func.id == "Argument" else ""
        return f"{words.get('verb') or parts[2]} {parts[0]}{value}".strip()
    return "…"
