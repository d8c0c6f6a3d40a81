"""Convert a published network of EDM to safetensors that `checkpoint: edm` reads.

python tools/convert_edm.py edm-cifar10-32x32-uncond-vp.pkl data/edm.safetensors

Nothing in the file is run. Where something in it is not read, convert it apart, by the published
code and where no harm can be done, as docs/own_network.md says.
"""

import argparse
import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from patchmosaic.networks.edm import build_edm
from patchmosaic.networks.edm_files import read_published
from patchmosaic.networks.edm_header import KEY
from patchmosaic.system.files import written_whole
from patchmosaic.system.records import RecordError


def convert(published: Path, target: Path) -> list[str]:
    """Write the network of a published file, and build it once; lines on what it is."""
    header, weights, remarks = read_published(published)
    with written_whole(target) as temporary:
        save_file(weights, temporary, metadata={KEY: json.dumps(header, sort_keys=True)})
        try:
            build_edm(published, header, temporary)
        except RecordError as error:
            raise RecordError(str(error).replace(str(temporary), str(published))) from None
    least, largest = header["sigma_range"]
    labels = f"{header['labels']} classes" if header["labels"] else "no classes"
    return [
        f"{target}: {header['network']['model_type']}, preconditioning "
        f"{header['preconditioning']}, sigma {least:g} to {largest:g}, {labels}, "
        f"{header['channels']} channels of {header['size']} pixels, "
        f"{sum(w.numel() for w in weights.values()):,} numbers",
        *remarks,
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path, help="the pickle")
    parser.add_argument("target", type=Path, help="the safetensors file to be written")
    arguments = parser.parse_args()
    try:
        print("\n".join(convert(arguments.published, arguments.target)))
    except RecordError as error:
        sys.exit(f"error: {error}; docs/own_network.md says how to convert it apart")
