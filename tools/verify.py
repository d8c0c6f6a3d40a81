"""Compare the results of an experiment with their manifest, and say what is no longer as it says.

python tools/verify.py results
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the package and the workflow beside this file

from patchmosaic.publish.manifest import (  # noqa: E402
    Difference,
    ManifestError,
    compare_files,
    compare_origin,
    format_differences,
    git_state,
    read_manifest,
    source_digests,
)
from workflow.config_files import BASE, completed  # noqa: E402


def config_now(files: list[str]) -> dict:
    """The config that these files give over the project's own, each overriding those before it."""
    overrides = []
    for file in files:
        try:
            overrides.append(load_configfile(file))
        except (WorkflowError, OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{file}: not readable as config of these results ({error}); start from the folder "
                "in which snakemake was started, or name the files with --configfile"
            ) from None
    return completed(ROOT, *overrides)[0]


def verify(results: Path, config_files: list[str] | None = None) -> tuple[dict, list[Difference]]:
    """The manifest of a results folder, and every difference from it.

    Args:
        results: the folder.
        config_files: what overrides the project's config.yaml; by default what the manifest names.
    """
    manifest = read_manifest(results)
    recorded = manifest["config_files"]
    config = config_now(config_files or recorded[recorded[:1] == [BASE] :])
    differences = compare_files(results, manifest)
    differences += compare_origin(manifest, config, source_digests(ROOT), git_state(ROOT))
    return manifest, differences


def summary(results: Path, manifest: dict, differences: list[Difference]) -> str:
    """How many files there are and how many differences of each kind, in one line."""
    counts = Counter(difference.state for difference in differences)
    kinds = ", ".join(f"{count} {state}" for state, count in counts.items())
    total = sum(entry["bytes"] for entry in manifest["files"].values()) / 1e6
    return f"{results}: {kinds or 'verified'}; {len(manifest['files'])} files, {total:.1f} MB"


def fails(differences: list[Difference]) -> bool:
    """Whether results do not verify: anything but files that the manifest does not list."""
    return any(difference.state != "unlisted" for difference in differences)


def verified(results: Path, config_files: list[str] | None = None) -> dict:
    """The manifest of results that verify; a ManifestError says in what others differ from it."""
    manifest, differences = verify(results, config_files)
    if fails(differences):
        raise ManifestError(
            f"{summary(results, manifest, differences)}; only results that verify are taken\n"
            f"{format_differences(differences)}"
        )
    return manifest


def results_parser(docstring: str) -> argparse.ArgumentParser:
    """The command line of a script that verifies results, described by its docstring."""
    parser = argparse.ArgumentParser(description=docstring.splitlines()[0])
    parser.add_argument("results", type=Path, help="the directories.results of the experiment")
    parser.add_argument(
        "--configfile",
        nargs="+",
        help="what overrides config.yaml, where these files have moved",
    )
    return parser


if __name__ == "__main__":
    arguments = results_parser(__doc__).parse_args()
    try:
        manifest, differences = verify(arguments.results, arguments.configfile)
    except (ManifestError, OSError) as error:
        sys.exit(f"error: {error}")
    if differences:
        print(format_differences(differences), end="\n\n")
    print(summary(arguments.results, manifest, differences))
    if any(difference.state == "old" for difference in differences):
        print("Old: snakemake, with the same config files, makes a manifest of today.")
    if any(difference.state == "stale" for difference in differences):
        print("Stale: snakemake, with the same config files, makes anew what is out of date.")
    sys.exit(1 if fails(differences) else 0)
