"""Write results that verify, with the project's pages, as a site: a folder of static files.

python tools/write_site.py results dist/site
"""

import sys
from pathlib import Path

from verify import ROOT, results_parser, verified

from patchmosaic.publish.article import article_of
from patchmosaic.publish.manifest import ManifestError
from patchmosaic.publish.site import SiteError, write_site

if __name__ == "__main__":
    parser = results_parser(__doc__)
    parser.add_argument("site", type=Path, help="the folder to write")
    arguments = parser.parse_args()
    try:
        manifest = verified(arguments.results, arguments.configfile)
        write_site(arguments.results, ROOT, arguments.site)
    except (ManifestError, SiteError, OSError) as error:
        sys.exit(f"error: {error}")
    if not article_of(arguments.results, manifest):
        print("without the article, which was not set from these results")
    print(f"{arguments.site / 'index.html'}")
