"""A leaderboard to publish: static pages that need no network and no server."""

from volbench.site.make_site import make_site
from volbench.site.write_site import write_site

__all__ = ["make_site", "write_site"]
