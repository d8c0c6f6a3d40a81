"""Pack verified results for publication: one zip file, an RO-Crate with article and site.

python tools/pack.py results dist/results.zip
"""

import mimetypes
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import yaml
from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate
from verify import ROOT, results_parser, verified

from patchmosaic.publish.article import article_of
from patchmosaic.publish.manifest import NAME, ManifestError
from patchmosaic.publish.site import SiteError, write_site
from patchmosaic.system.files import sha256_of, written_whole

LICENCES = "https://spdx.org/licenses/"
BESIDE = ("CITATION.cff", "LICENSE", "config.yaml")
LEFT_OUT = ("banks/*", "networks/*.safetensors", "networks/snapshots/*")  # images, weights: large


def entry(path: Path, description: str) -> dict:
    """What the crate says of a file."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {
        "name": path.name,
        "description": description,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": kind,
        "sha256": sha256_of(path),
    }


def build_crate(results: Path, manifest: dict, citation: dict, site: Path) -> ROCrate:
    """The crate of verified results.

    Under results/ are the files of the manifest, and the manifest, but for patch banks and weights,
    of which the manifest has the digests, and the article where it was set from this manifest;
    beside it are the workflow and its sources, and the pages of the site, whose first is
    index.html. What the site shows of the results is there already.

    Args:
        results: the folder.
        manifest: its manifest.
        citation: title, licence and authors, as CITATION.cff gives them.
        site: as :func:`patchmosaic.publish.site.write_site` wrote it of these results.
    """
    crate = ROCrate()
    crate.name = f"{citation['title']}: results of the experiment {manifest['experiment']}"
    crate.description = (
        "Samples that analytic score machines and trained diffusion networks drew from the same "
        "noise, with tables, figures and a report of how they agree; index.html leads to all. "
        f"results/{NAME} has config, seeds, versions, and the digest and origin of every file."
    )
    licence = LICENCES + citation["license"]
    crate.license = crate.add(
        ContextEntity(
            crate, licence, {"@type": "CreativeWork", "name": citation["license"], "url": licence}
        )
    )
    crate.creator = [
        crate.add(
            ContextEntity(crate, f"#author-{i}", {"@type": "Organization", "name": author["name"]})
        )
        for i, author in enumerate(citation["authors"], start=1)
    ]
    crate.root_dataset["version"] = manifest["versions"]["patchmosaic"]
    for name in sorted(manifest["sources"]):
        if name == "Snakefile":
            properties = entry(ROOT / name, "the workflow that made the results")
            crate.add_workflow(
                ROOT / name, name, properties=properties, main=True, lang="snakemake"
            )
        else:
            crate.add_file(ROOT / name, name, properties=entry(ROOT / name, "source"))
    for name in BESIDE:
        crate.add_file(ROOT / name, name, properties=entry(ROOT / name, "of the workflow"))
    crate.add_file(results / NAME, f"results/{NAME}", properties=entry(results / NAME, "manifest"))
    for name, file in sorted(manifest["files"].items()):
        if not any(Path(name).match(pattern) for pattern in LEFT_OUT):
            properties = entry(results / name, f"made by rule {file['rule']}")
            crate.add_file(results / name, f"results/{name}", properties=properties)
    for name in article_of(results, manifest):
        properties = entry(results / name, "made by rule article, from this manifest")
        crate.add_file(results / name, f"results/{name}", properties=properties)
    packed = {entity.id for entity in crate.data_entities}
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.is_file() and quote(name) not in packed:
            crate.add_file(path, name, properties=entry(path, "of the site"))
    return crate


if __name__ == "__main__":
    parser = results_parser(__doc__)
    parser.add_argument("crate", type=Path, help="the zip file to write")
    arguments = parser.parse_args()
    try:
        manifest = verified(arguments.results, arguments.configfile)
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder, written_whole(arguments.crate) as temporary:
            site = Path(folder, "site")
            write_site(arguments.results, ROOT, site)
            build_crate(arguments.results, manifest, citation, site).write_zip(temporary)
    except (ManifestError, SiteError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{arguments.crate}: {arguments.crate.stat().st_size / 1e6:.1f} MB")
