"""Text that somebody else wrote (names, reasons, paths, a process's last words), made safe for each medium that shows it.

Nothing is shown in another way: consoles, templates and writers of files pass every text through here. What a terminal obeys, and
what changes the order in which characters are read (Unicode's bidirectional controls, https://trojansource.codes), is left out.
"""

import os
import re

# Control sequences (ECMA-48, 5.4), control characters but tab and newline, direction controls, what is invisible, and what XML 1.0 (2.2)
# does not allow or advises against.
UNSAFE = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|[^\t\n -~\xa0-\U0010ffff]"
    "|[\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
    "|[\ufdd0-\ufdef\ufffe\uffff]"
)
LINE_ENDS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def plain(text: str) -> str:
    """`text` for XML, HTML before it is escaped, and pictures: lines and tabs stay."""
    return UNSAFE.sub("", LINE_ENDS.sub("\n", text))


def inline(text: str) -> str:
    """`text` on one line."""
    return UNSAFE.sub("", LINE_ENDS.sub(" ", text))


def terminal(text: str) -> str:
    """`text` as one line of a terminal, or of a log, in which GitHub Actions looks for commands: at the start
    of a line, which may be broken anywhere.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    shown = inline(text)
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return shown
    return re.sub(":(?=:)", ": ", shown).replace("##[", "# #[")


def lines(text: str) -> str:
    """`text` as several lines of a terminal."""
    return "\n".join(map(terminal, plain(text).split("\n")))


def markdown(text: str) -> str:
    """`text` within a paragraph, a heading or a table's cell of Markdown, as itself: no end of a cell, no
    tag, entity, code, emphasis or link."""
    shown = re.sub(r"[\\|`*]", r"\\\g<0>", " ".join(inline(text).split()))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")


def markdown_code(text: str) -> str:
    """`text` within a line of Markdown, in type of one width."""
    shown = inline(text).replace("`", "'") or " "
    return f"`{shown}`"


def workflow_message(text: str) -> str:
    """`text` as the message of a command of GitHub Actions."""
    return plain(text).replace("%", "%25").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """`text` as a property of a command of GitHub Actions, such as its title."""
    return workflow_message(text).replace(":", "%3A").replace(",", "%2C")


def openmetrics_label(text: str) -> str:
    """`text` as the value of a label in OpenMetrics, without its quotes."""
    return plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def json_line(text: str) -> str:
    """`text`, a line of JSON, for standard output: the brackets of a workflow command, which only stand in
    strings, as JSON may write them."""
    return text.replace("##[", "##\\u005b")
