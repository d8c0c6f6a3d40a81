"""Set the article of an experiment whose results are complete."""

import json
from pathlib import Path

from patchmosaic.publish.article import typeset
from patchmosaic.publish.article_content import gather
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, made = snakemake.input, snakemake.output
        results, project = Path(given.manifest).parent, Path(given.snakefile).parent
        content = gather(results, project, snakemake.params.figures)
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        Path(made.content).write_text(text + "\n", encoding="utf-8")
        Path(made.article).write_bytes(typeset(content, results))
