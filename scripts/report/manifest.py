"""Write the manifest of an experiment whose results are complete."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.records import verify_checkpoint
from patchmosaic.publish.manifest import (
    describe_files,
    git_state,
    hardware,
    library_versions,
    portable_config,
    source_digests,
    write_manifest,
)
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged
from patchmosaic.system.records import load_record

SAMPLING_RULES = (
    *("sample_machine", "sample_network"),
    *("sample_variant_machine", "sample_variant_network"),
)


def files_of_experiment(snakefile, config, folder):
    """The files of the default target and the rule of each: Snakemake's own list.

    For it the config is written, for a moment, into a folder.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=folder) as file:
        json.dump(config, file)
        file.flush()
        command = [sys.executable, "-m", "snakemake", "--summary", "--nolock", "--rerun-incomplete"]
        command += ["--snakefile", snakefile, "--configfile", file.name]
        command += ["--replace-workflow-config"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"snakemake cannot list the files of the experiment:\n{done.stderr}")
    rows = csv.DictReader(done.stdout.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {Path(row["output_file"]): row["rule"] for row in rows}


def sampling(record):
    """How a shard was sampled; of the audit all but its single steps."""
    audit = record.get("audit")
    if audit is None:
        return record
    return {**record, "audit": {key: audit[key] for key in audit if key != "steps"}}


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        output, config = Path(snakemake.output[0]), snakemake.config
        results = output.parent
        snakefile, logs = Path(snakemake.input.snakefile), Path(snakemake.log[0]).parent
        files = files_of_experiment(snakefile, config, logs)
        del files[output]
        described = describe_files(
            results,
            {
                path.relative_to(results).as_posix(): rule
                for path, rule in files.items()
                if path.is_relative_to(results)
            },
        )

        def made_by(*rules, suffix=""):
            return [p for p, rule in files.items() if rule in rules and p.name.endswith(suffix)]

        noise = [load_samples(path) for path in made_by("noise")]
        scales = {
            path.relative_to(results / "calibration").as_posix().removesuffix(".scales.json"): (
                load_record(path)
            )
            for path in made_by("calibrate", "packaged_scales", "calibrate_machine", suffix=".json")
        }
        images = {
            path.stem: load_images(path).record for path in made_by("prepare", "prepare_held_out")
        }
        git = git_state(snakefile.parent)
        content = {
            "experiment": config["experiment"],
            "config": portable_config(config),
            "config_files": snakemake.params.config_files,
            **({"git": git} if git else {}),
            "sources": source_digests(snakefile.parent),
            "versions": library_versions(),
            "hardware": hardware(),
            "seeds": {s.record["purpose"]: s.seeds.tolist() for s in noise},
            "datasets": {
                name: {
                    key: r[key]
                    for key in ("dataset", "split", "count", "licence", "sha256", "sources")
                }
                for name, r in images.items()
            },
            "networks": {
                path.stem: verify_checkpoint(path)["weights_sha256"]
                for path in files
                if path.parent == results / "networks" and path.suffix == ".safetensors"
            },
            "calibration": {
                name: {key: record[key] for key in ("engine", "seeds", "bank_sha256")}
                for name, record in scales.items()
            },
            "samples": {
                path.relative_to(results).as_posix(): sampling(load_samples(path).record)
                for path in made_by(*SAMPLING_RULES)
                if path.relative_to(results).parts[0] != "trajectories"
            },
            "files": described,
        }
        write_manifest(output, content)
