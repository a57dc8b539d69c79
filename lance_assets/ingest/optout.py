"""X-Robots-Tag: owners who do not want an image indexed, or used for machine learning."""

from __future__ import annotations

from collections.abc import Iterable

AGENT = "lance-assets"

#: What keeps an image out of a data set; the first four are also img2dataset's default.
OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})

#: Directives with a value behind a colon, which therefore name no agent.
VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


def opt_out(headers: Iterable[str]) -> str | None:
    """The first directive among X-Robots-Tag header values that speaks to us, or None. A value is a comma list; an
    agent in front (`lance-assets: noai`) addresses what follows it in the same header to that agent alone."""
    for header in headers:
        ours = True
        for part in header.lower().split(","):
            name, colon, rest = part.partition(":")
            directive = name.strip()
            if colon and directive not in VALUED:
                ours = directive in (AGENT, "*")
                directive = rest.strip()
            if ours and directive in OPT_OUTS:
                return directive
    return None
