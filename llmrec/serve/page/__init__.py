"""The page: one HTML document with its style and script, which loads nothing but the server's JSON."""

from importlib.resources import files

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers by which a browser refuses what the page does not need."""


def page_html() -> str:
    """Returns the page."""
    page, style, script = (
        files(__package__).joinpath(f"page.{ending}").read_text(encoding="utf-8") for ending in ("html", "css", "js")
    )
    return page.replace("{{style}}", style).replace("{{script}}", script)
