"""A page of ours as PDF, by WeasyPrint (extra `pdf`): its print style, without a browser."""

import re
from pathlib import Path

from edgecomp.errors import FileError, RuntimeUnavailableError
from edgecomp.files.scratch import replacing

VARIABLE = re.compile(r"var\(--[a-z]+, (#[0-9a-f]{6})\)")
"""A colour by theme in a picture (edgecomp.report.pictures.drawing), of which WeasyPrint knows none: on paper it is the light one."""


def write_pdf(page: Path, file: Path) -> None:
    """Writes what `page`, an HTML file of ours, looks like on paper, with its folds open. file: the PDF.

    Nothing is loaded but what the page holds itself. Raises RuntimeUnavailableError where WeasyPrint or the libraries that it draws
    with are not installed, FileError where a file cannot be read or written.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except (ImportError, OSError) as error:  # OSError: without Pango
        raise RuntimeUnavailableError(
            f"a PDF takes WeasyPrint, which cannot be imported ({error}): pip install 'edgecomp[pdf]', and Debian's libpango-1.0-0 and "
            "libpangoft2-1.0-0; or print the page from a browser"
        ) from error
    try:
        text = VARIABLE.sub(r"\1", page.read_text(encoding="utf-8"))
        drawn = HTML(string=text, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf()
        with replacing(file) as temporary:
            temporary.write_bytes(drawn)
    except OSError as error:
        raise FileError(f"{file} cannot be written from {page}: {error}") from error
